import * as v from "valibot";
import { describe, expect, test } from "vitest";
import { Client } from "../client/client.ts";
import { ErrorCode } from "../errors.ts";
import { Server } from "../server/server.ts";
import { fakeRuntime } from "../test-support/fake-runtime.ts";
import { PASSWORD } from "../test-support/raw-memory.ts";

const api = {
  server: {
    methods: {
      add: { params: v.object({ a: v.number(), b: v.number() }), result: v.number() },
      "users.list": { result: v.array(v.string()) },
    },
  },
  client: { methods: { mood: { result: v.picklist(["fine", "bad"]) } } },
};
const target = { host: "test", port: 8080, password: PASSWORD };
const handlers = { add: ({ a, b }: { a: number; b: number }) => a + b, "users.list": () => ["ada"] };

function serverOf(runtime = fakeRuntime(), complete = false) {
  return new Server({ ...target, contract: api, complete, scramIterations: 4096 }, runtime);
}

describe("implement", () => {
  test("registers all methods of the contract, with its schemas, and removes them again", async () => {
    const runtime = fakeRuntime();
    const server = serverOf(runtime);
    const remove = server.implement(handlers);
    await server.start();
    const client = new Client({ ...target, contract: api }, runtime);
    await client.connect();
    expect(await client.call("add", { a: 1, b: 2 })).toBe(3);
    expect(await client.call("users.list")).toEqual(["ada"]);
    await expect(client.call("add", { a: 1, b: "2" } as never)).rejects.toMatchObject({ code: ErrorCode.INVALID_TYPE });
    remove();
    await expect(client.call("users.list")).rejects.toMatchObject({ code: ErrorCode.METHOD_NOT_FOUND });
  });

  test("runs the handlers inside the server's middleware, with the fields that it adds", async () => {
    const runtime = fakeRuntime();
    const server = serverOf(runtime);
    server.use(async (_context, next) => await next({ user: "ada" }));
    server.implement({
      ...handlers,
      "users.list": (_params, context) => [(context as { user?: string }).user ?? "nobody"],
    });
    await server.start();
    const client = new Client({ ...target, contract: api }, runtime);
    await client.connect();
    expect(await client.call("users.list")).toEqual(["ada"]);
  });

  test("of a group runs the handlers inside the group's middleware, with the fields that it adds", async () => {
    const runtime = fakeRuntime();
    const server = serverOf(runtime);
    const ran: string[] = [];
    const group = server.group().use(async ({ method }, next) => {
      ran.push(method);
      return await next({ user: "ada" });
    });
    const remove = group.implement({ ...handlers, "users.list": (_params, { user }) => [user] });
    expect(() => group.implement({ add: handlers.add } as never)).toThrow("no handler for 'users.list'");
    await server.start();
    const client = new Client({ ...target, contract: api }, runtime);
    client.group().implement({ mood: () => "fine" });
    await client.connect();
    expect(await client.call("users.list")).toEqual(["ada"]);
    expect(await client.call("add", { a: 1, b: 2 })).toBe(3);
    expect(await server.connections[0]?.call("mood")).toBe("fine");
    expect(ran).toEqual(["users.list", "add"]);
    remove();
    await expect(client.call("add", { a: 1, b: 2 })).rejects.toMatchObject({ code: ErrorCode.METHOD_NOT_FOUND });
  });

  test("of the group of a kind of clients registers the methods for them alone", async () => {
    const runtime = fakeRuntime();
    const contract = { server: api.server, clients: { device: {}, operator: {} } };
    const users = {
      pump: { password: PASSWORD, roles: ["device"] },
      ada: { password: PASSWORD, roles: ["operator"] },
    };
    const { password: _shared, ...address } = target;
    const server = new Server({ ...address, users, contract, scramIterations: 4096 }, runtime);
    server.clients("device").implement(handlers);
    await server.start();
    const outcomes = ["pump", "ada"].map(async (username) => {
      const client = new Client({ ...target, username }, runtime);
      await client.connect();
      return client.call("users.list").catch(({ code }: { code: number }) => code);
    });
    expect(await Promise.all(outcomes)).toEqual([["ada"], ErrorCode.PERMISSION_DENIED]);
  });

  test("refuses handlers of which one is missing, and registers none", async () => {
    const server = serverOf();
    expect(() => server.implement({ add: handlers.add } as never)).toThrow(
      expect.objectContaining({
        code: ErrorCode.INVALID_STATE,
        message: "Cannot implement the contract: no handler for 'users.list'",
        details: { missing: ["users.list"] },
      }),
    );
    server.implement(handlers);
  });

  test("registers none when a name is taken", () => {
    const server = serverOf();
    const remove = server.rpc("users.list", () => []);
    expect(() => server.implement(handlers)).toThrow("RPC method 'users.list' is already registered");
    remove();
    server.implement(handlers);
  });

  test("takes any methods where there is no contract", async () => {
    const runtime = fakeRuntime();
    const server = new Server({ ...target, scramIterations: 4096 }, runtime);
    server.implement({ echo: (params) => params });
    await server.start();
    const client = new Client(target, runtime);
    await client.connect();
    expect(await client.call("echo", { n: 1 })).toEqual({ n: 1 });
  });
});

describe("option complete", () => {
  test("keeps a server from starting until every method of its side has a handler", async () => {
    const server = serverOf(fakeRuntime(), true);
    await expect(server.start()).rejects.toMatchObject({
      code: ErrorCode.INVALID_STATE,
      message: "Cannot start: no handler for 'add', 'users.list'",
      details: { missing: ["add", "users.list"] },
    });
    expect(server.state).toBe("stopped");
    server.rpc("add", handlers.add);
    // Startup hooks may also register methods.
    server.onStartup(() => void server.rpc("users.list", () => []));
    await server.start();
    expect(server.state).toBe("running");
  });

  test("keeps a client from connecting until every method of its side has a handler", async () => {
    const runtime = fakeRuntime();
    await serverOf(runtime).start();
    const client = new Client({ ...target, contract: api, complete: true }, runtime);
    await expect(client.connect()).rejects.toMatchObject({
      code: ErrorCode.INVALID_STATE,
      message: "Cannot connect: no handler for 'mood'",
    });
    expect(client.state).toBe("disconnected");
    client.rpc("mood", () => "fine");
    await client.connect();
    expect(client.isConnected).toBe(true);
  });

  test.each([
    ["the server", () => new Server({ ...target, complete: true }, fakeRuntime())],
    ["the client", () => new Client({ ...target, complete: true }, fakeRuntime())],
  ])("of %s is refused without a contract", (owner, make) => {
    expect(make).toThrow(
      expect.objectContaining({
        code: ErrorCode.INVALID_CONFIG,
        message: `Invalid option complete of ${owner}: needs the option contract`,
      }),
    );
  });
});

describe("a name that the contract lacks is refused, with the nearest one, at", () => {
  const handler = (): null => null;
  const contract = {
    server: { methods: { add: {} }, streams: { tail: {} }, messages: { order: v.string() } },
  };
  const server = new Server({ ...target, contract }, fakeRuntime());
  const client = new Client({ ...target, contract }, fakeRuntime());

  test.for([
    ["rpc", () => server.rpc("ad" as "add", handler), "no method 'ad' of the server (did you mean 'add'?)"],
    ["rpc of a stream", () => server.rpc("tail" as "add", handler), "no method 'tail' of the server"],
    ["stream", () => server.stream("tai" as "tail", () => []), "no stream 'tai' of the server (did you mean 'tail'?)"],
    ["on", () => server.on("ordr" as "order", handler), "no message 'ordr' of the server (did you mean 'order'?)"],
    ["on of several", () => server.on(["order", "x"] as "order"[], handler), "no message 'x' of the server"],
    ["a group", () => server.group().rpc("ad" as "add", handler), "no method 'ad' of the server"],
    [
      "implement",
      () => server.implement({ add: handler, tail: () => [], subtract: handler } as never),
      "no method 'subtract' of the server",
    ],
    ["a side that it leaves out", () => client.rpc("mood" as never, handler), "no method 'mood' of the client"],
  ] as const)("%s", ([, register, message]) => {
    expect(register).toThrow(
      expect.objectContaining({ code: ErrorCode.INVALID_CONFIG, message: expect.stringContaining(message) }),
    );
  });
});
