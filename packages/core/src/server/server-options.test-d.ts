import { expectTypeOf, test } from "vitest";
import type { TlsServerOptions } from "../runtime.ts";
import type { ServerConfig, ServerOptions } from "./server-options.ts";

test("a password or users are all a server needs", () => {
  expectTypeOf<{ password: string }>().toExtend<ServerOptions>();
  expectTypeOf<{ users: { ada: { password: string; roles: string[] } } }>().toExtend<ServerOptions>();
});

test("an option may be undefined, as one read from the environment is", () => {
  expectTypeOf<{ password: string; host: string | undefined }>().toExtend<ServerOptions>();
});

test("the configuration has every option filled in", () => {
  expectTypeOf<ServerConfig["port"]>().toEqualTypeOf<number>();
  expectTypeOf<ServerConfig["sendQueueBytes"]>().toEqualTypeOf<number>();
  expectTypeOf<ServerConfig["slowConsumer"]>().toEqualTypeOf<"drop" | "disconnect">();
  expectTypeOf<ServerConfig["tls"]>().toEqualTypeOf<TlsServerOptions | null>();
  expectTypeOf<ServerConfig["path"]>().toEqualTypeOf<string | undefined>();
});
