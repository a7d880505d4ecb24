import * as v from "valibot";
import { describe, expectTypeOf, test } from "vitest";
import type { Client } from "../client/client.ts";
import type { AnyConnection, Connection } from "../server/connection.ts";
import type { Server } from "../server/server.ts";
import { type ClientKind, type ForClient, forClient } from "./client-kinds.ts";
import type { Contract } from "./contract.ts";
import type { MiddlewareContext, Next } from "./middleware.ts";

const fleet = {
  server: { methods: { report: { result: v.string() } }, messages: { note: v.string() } },
  client: { methods: { ping: { result: v.string() } } },
  clients: {
    device: {
      methods: { record: { params: v.object({ seconds: v.number() }), result: v.string() } },
      messages: { limit: v.number() },
    },
    operator: { messages: { alarm: v.string() } },
  },
} satisfies Contract;
type Fleet = typeof fleet;

const text = v.string();
const first = v.object({ x: v.boolean() });
const second = v.object({ y: v.number() });

declare const server: Server<Fleet, { count: number }>;
declare const connection: Connection<Fleet, { count: number }>;

describe("a contract with kinds of clients", () => {
  test("names them", () => {
    expectTypeOf<ClientKind<Fleet>>().toEqualTypeOf<"device" | "operator">();
    expectTypeOf<ClientKind<Contract>>().toEqualTypeOf<string>();
    expectTypeOf<ClientKind<{ server: { methods: { report: object } } }>>().toEqualTypeOf<never>();
  });

  test("lets a server call what all clients have", () => {
    expectTypeOf(connection.call("ping")).toEqualTypeOf<Promise<string>>();
    // @ts-expect-error: it may be an operator
    void connection.call("record", { seconds: 1 });
    // @ts-expect-error: the same
    connection.send("limit", 1);
    // @ts-expect-error: the same
    server.broadcast("limit", 1);
  });

  test("narrows a connection by its kind", () => {
    if (connection.is("device")) {
      expectTypeOf(connection.call("record", { seconds: 1 })).toEqualTypeOf<Promise<string>>();
      expectTypeOf(connection.call("ping")).toEqualTypeOf<Promise<string>>();
      expectTypeOf(connection.data.count).toEqualTypeOf<number>();
      connection.send("limit", 1);
      // @ts-expect-error: operators have it
      connection.send("alarm", "smoke");
      // @ts-expect-error: seconds are a number
      void connection.call("record", { seconds: "1" });
    }
    // @ts-expect-error: no such kind
    connection.is("devise");
  });

  test("types handlers, connections and broadcasts of a kind", () => {
    const devices = server.clients("device");
    devices.rpc("report", (_params, { client }) => {
      expectTypeOf(client.call("record", { seconds: 1 })).toEqualTypeOf<Promise<string>>();
      return client.data.count.toFixed();
    });
    devices.on("note", (client, text) => {
      expectTypeOf(text).toEqualTypeOf<string>();
      client.send("limit", 1);
      // @ts-expect-error: operators have it
      client.send("alarm", "smoke");
    });
    devices.broadcast("limit", 1, { where: ({ data }) => data.count > 1 });
    // @ts-expect-error: operators have it
    devices.broadcast("alarm", "smoke");
    for (const device of devices.connections) device.send("limit", 1);
  });

  test("lets a server send what one kind has to a user or a connection, whose kind it may not know", () => {
    server.send({ user: "pump" }, "limit", 1);
    server.send("id", "alarm", "smoke");
    // @ts-expect-error: the limit is a number
    server.send({ user: "pump" }, "limit", "1");
    // @ts-expect-error: nobody has it
    server.send({ user: "pump" }, "limits", 1);
    const both = {} as Server<{
      client: { messages: { news: typeof text } };
      clients: { a: { messages: { set: typeof first } }; b: { messages: { set: { data: typeof second } } } };
    }>;
    both.send("id", "news", "new");
    both.send("id", "set", { x: true, y: 1 });
    // @ts-expect-error: clients of the kind b need y
    both.send("id", "set", { x: true });
    const open = {} as Server;
    open.send("id", "anything", 5);
    expectTypeOf(open.send("id", "anything", 5, { meta: { by: "a" } })).toEqualTypeOf<number>();
    expectTypeOf(open.send({ user: "ada" }, "anything", 5, { ack: true })).toEqualTypeOf<Promise<void>>();
    const simple = {} as Server<{ client: { messages: { news: typeof text } } }>;
    simple.send("id", "news", "new");
    // @ts-expect-error: news are text
    simple.send("id", "news", 5);
  });

  test("types the clients of a kind", () => {
    const contract = forClient(fleet, "device");
    expectTypeOf(contract).toEqualTypeOf<ForClient<Fleet, "device">>();
    const client = {} as Client<typeof contract>;
    client.implement({ ping: () => "pong", record: ({ seconds }) => seconds.toFixed() });
    client.on("limit", (mebibytes) => expectTypeOf(mebibytes).toEqualTypeOf<number>());
    expectTypeOf(client.call("report")).toEqualTypeOf<Promise<string>>();
    // @ts-expect-error: operators have it
    client.on("alarm", () => {});
    // @ts-expect-error: record is missing
    client.implement({ ping: () => "pong" });
  });

  test("takes middleware that is declared for any connection", () => {
    async function timed(_context: MiddlewareContext<AnyConnection>, next: Next) {
      return await next({ startedAt: 1 });
    }
    server.use(timed).rpc("report", (_params, { startedAt }) => startedAt.toFixed());
    server
      .clients("device")
      .use(timed)
      .on("note", (_client, text, { startedAt }) => text.slice(startedAt));
    async function closed(_context: MiddlewareContext<Connection>, next: Next) {
      return await next();
    }
    // @ts-expect-error: it is for connections without a contract
    server.use(closed);
  });

  test("is open without a contract", () => {
    const open = {} as Connection;
    if (open.is("device")) void open.call("anything");
  });
});
