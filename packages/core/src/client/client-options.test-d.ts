import { expectTypeOf, test } from "vitest";
import type { TlsClientOptions } from "../runtime.ts";
import type { ClientConfig, ClientOptions, Credentials, CredentialsSource, Password } from "./client-options.ts";

test("a password may be a function, asynchronous or not", () => {
  expectTypeOf<() => string>().toExtend<Password>();
  expectTypeOf<() => Promise<string>>().toExtend<Password>();
});

test("a client is given host and port, or a path", () => {
  expectTypeOf<{ host: string; port: number; password: string }>().toExtend<ClientOptions>();
  expectTypeOf<{ path: string; password: () => string }>().toExtend<ClientOptions>();
  expectTypeOf<{ password: string }>().not.toExtend<ClientOptions>();
  expectTypeOf<{ host: string; password: string }>().not.toExtend<ClientOptions>();
  expectTypeOf<{ port: number; password: string }>().not.toExtend<ClientOptions>();
  expectTypeOf<{ path: string | undefined; password: string }>().not.toExtend<ClientOptions>();
  expectTypeOf<{ host: string; port: number; path: string | undefined; password: string }>().toExtend<ClientOptions>();
  expectTypeOf<{ host: string; port: number; credentials: { token: string } }>().toExtend<ClientOptions>();
});

test("the configuration has every option filled in", () => {
  expectTypeOf<ClientConfig["host"]>().toEqualTypeOf<string>();
  expectTypeOf<ClientConfig["reconnect"]["delayMs"]>().toEqualTypeOf<number>();
  expectTypeOf<ClientConfig["reconnect"]["jitter"]>().toEqualTypeOf<boolean>();
  expectTypeOf<ClientConfig["tls"]>().toEqualTypeOf<TlsClientOptions | null>();
  expectTypeOf<ClientConfig["password"]>().toEqualTypeOf<Password | undefined>();
});

test("credentials may be a function that returns them, asynchronous or not", () => {
  expectTypeOf<() => Promise<{ token: string }>>().toExtend<CredentialsSource>();
  expectTypeOf<{ username: string; password: string }>().toExtend<Credentials>();
  expectTypeOf<{ certificate: false }>().not.toExtend<Credentials>();
});
