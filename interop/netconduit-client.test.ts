import {
  type CloseReason,
  type Connection,
  ErrorCode,
  error,
  float64,
  type Rejection,
  Server,
  type ServerOptions,
} from "@netconduit/node";
import * as v from "valibot";
import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";
import { Gathered } from "./gathered.ts";
import { interopSuite } from "./interop-suite.ts";
import { PythonDriver } from "./python-driver.ts";
import { longText, mebibyte, wireValues } from "./wire-values.ts";

const PASSWORD = "päss wörd 🔑";

interface ConnectAnswer {
  readonly connected: boolean;
  /** What netconduit logged meanwhile: it tells the reason of a refusal nowhere else. */
  readonly log: readonly string[];
  readonly server_info: unknown;
}

await interopSuite("netconduit's client on our server", (python) => {
  let driver: PythonDriver;
  let names = 0;

  beforeAll(async () => {
    driver = await PythonDriver.start(python, "client_driver.py");
  });
  afterAll(() => driver?.kill());

  /** Starts a server that netconduit's clients may log in to. */
  async function listen(
    options: Partial<ServerOptions> = {},
    setup: (server: Server) => void = () => {},
  ): Promise<Server> {
    const server = new Server({ host: "127.0.0.1", port: 0, password: PASSWORD, allowPasswordHash: true, ...options });
    setup(server);
    await server.start();
    onTestFinished(async () => {
      await driver.run("disconnect_all");
      await server.stop({ drainMs: 0 });
    });
    return server;
  }

  function target(server: Server, options: Record<string, unknown> = {}): Record<string, unknown> {
    return { server_port: server.address.port, password: PASSWORD, ...options };
  }

  async function dial(
    server: Server,
    options: Record<string, unknown> = {},
    on: readonly string[] = [],
  ): Promise<ConnectAnswer & { readonly client: string }> {
    names += 1;
    const client = `client-${names}`;
    return {
      client,
      ...(await driver.run<ConnectAnswer>("connect", { client, options: target(server, options), on })),
    };
  }

  /** Logs a client in and gives both ends of its connection. */
  async function logIn(
    server: Server,
    options: Record<string, unknown> = {},
    on: readonly string[] = [],
  ): Promise<{ readonly client: string; readonly connection: Connection }> {
    const before = new Set(server.connections);
    const { client, connected } = await dial(server, options, on);
    expect(connected).toBe(true);
    const connection = server.connections.find((one) => !before.has(one)) as Connection;
    return { client, connection };
  }

  async function message(client: string, type: string): Promise<unknown> {
    return (await driver.next({ event: "message", client, type })).data;
  }

  // --- login --------------------------------------------------------------------------------------------------------

  test("the right password logs in, and both sides learn who the other is", async () => {
    const server = await listen({ name: "ours", version: "3.2.1" });
    const { connected, server_info } = await dial(server, { name: "theirs", version: "9.8.7" });
    expect(connected).toBe(true);
    expect(server_info).toEqual({ name: "ours", version: "3.2.1" });
    expect(server.connections[0]?.info).toEqual({
      name: "theirs",
      version: "9.8.7",
      description: "",
      netconduit: true,
    });
    expect(server.connections[0]?.session.method).toBe("password-hash");
  });

  test("the wrong password is refused, counted and reported", async () => {
    const rejections = new Gathered<Rejection>();
    const server = await listen({}, (made) => made.onClientRejected(rejections.add));
    const { connected, log } = await dial(server, { password: "wrong" });
    expect(connected).toBe(false);
    expect(log.join()).toContain("Invalid password");
    expect(await rejections.atLeast(1)).toMatchObject([{ code: ErrorCode.AUTH_FAILED }]);
    expect(server.stats.authFailures).toBe(1);
    expect(server.connectionCount).toBe(0);
  });

  test("a server that does not allow the password hash says so, and names the option", async () => {
    const server = await listen({ allowPasswordHash: false });
    const { connected, log } = await dial(server);
    expect(connected).toBe(false);
    expect(log.join()).toContain("allowPasswordHash");
  });

  test("a client too many is told that the server is full", async () => {
    const server = await listen({ maxConnections: 1 });
    await logIn(server);
    const { connected, log } = await dial(server);
    expect(connected).toBe(false);
    expect(log.join()).toContain("Server full");
  });

  test("100 logins, ten at a time, get 100 welcomes from onClientConnect", async () => {
    const server = await listen({}, (made) => {
      made.onClientConnect((connection) => connection.send("welcome", { id: connection.id }));
    });
    const counts = await driver.run("logins", { options: target(server), count: 100, at_once: 10 });
    expect(counts).toEqual({ logins: 100, welcomes: 100, different: 100 });
  });

  // --- messages -----------------------------------------------------------------------------------------------------

  test("a handler's reply comes back as <type>_response, and a handler without one sends nothing", async () => {
    const server = await listen({}, (made) => {
      made.on("hello", v.object({ name: v.string() }), (_, { name }) => ({ message: `Hello, ${name}!` }));
      made.on("silent", () => {});
    });
    const { client } = await logIn(server, {}, ["hello_response", "silent_response"]);
    await driver.run("send", { client, type: "silent", data: null });
    await driver.run("send", { client, type: "hello", data: { name: "Ada" } });
    expect(await message(client, "hello_response")).toEqual({ message: "Hello, Ada!" });
    expect(driver.arrived({ event: "message", client, type: "silent_response" })).toEqual([]);
  });

  test("a broadcast reaches everybody but those excluded", async () => {
    const server = await listen();
    const first = await logIn(server, {}, ["news", "last"]);
    const second = await logIn(server, {}, ["news", "last"]);
    const third = await logIn(server, {}, ["news", "last"]);
    expect(server.broadcast("news", { n: 1 }, { exclude: second.connection.id })).toBe(2);
    expect(server.broadcast("last")).toBe(3);
    // What comes after the news has come, so the news has come or never will.
    for (const { client } of [first, second, third]) await message(client, "last");
    const newsOf = ({ client }: { client: string }): unknown[] =>
      driver.arrived({ event: "message", client, type: "news" }).map(({ data }) => data);
    expect([first, second, third].map(newsOf)).toEqual([[{ n: 1 }], [], [{ n: 1 }]]);
  });

  test("1,000 messages sent at once arrive in order, each way", async () => {
    const received = new Gathered();
    const server = await listen({}, (made) => made.on("up", (_, data) => received.add(data)));
    const { client, connection } = await logIn(server, {}, ["down"]);
    const expected = Array.from({ length: 1000 }, (_, n) => ({ n }));

    await driver.run("burst", { client, type: "up", count: 1000 });
    expect(await received.atLeast(1000)).toEqual(expected);

    for (const data of expected) connection.send("down", data);
    const arrived: unknown[] = [];
    while (arrived.length < 1000) arrived.push(await message(client, "down"));
    expect(arrived).toEqual(expected);
  });

  test("a client that sends faster than handlers run is held back, and nothing is lost", async () => {
    const received = new Gathered();
    const server = await listen({ receiveQueueSize: 10, handlerConcurrency: 1 }, (made) =>
      made.on("up", async (_, data) => {
        await new Promise(setImmediate);
        received.add(data);
      }),
    );
    const { client } = await logIn(server);
    await driver.run("burst", { client, type: "up", count: 1000 });
    expect(await received.atLeast(1000)).toEqual(Array.from({ length: 1000 }, (_, n) => ({ n })));
  });

  // --- RPC ----------------------------------------------------------------------------------------------------------

  function withMethods(server: Server): void {
    const params = v.object({ a: v.pipe(v.number(), v.integer()), b: v.pipe(v.number(), v.integer()) });
    const description = "Adds two numbers.";
    server.rpc({ name: "add", description, params, result: v.number() }, ({ a, b }) => a + b);
    server.rpc("echo", ({ value }) => value);
    server.rpc("refuse", () => {
      throw error("Not today", { code: ErrorCode.PERMISSION_DENIED, details: { weekday: "Monday" } });
    });
    server.rpc("fail", () => {
      throw new Error("the disk is full");
    });
  }

  test("a call gets its result", async () => {
    const server = await listen({}, withMethods);
    const { client } = await logIn(server);
    expect(await driver.run("call", { client, method: "add", params: { a: 2, b: 3 } })).toBe(5);
  });

  test("an error of a handler reaches the caller with its code, message and details", async () => {
    const server = await listen({}, withMethods);
    const { client } = await logIn(server);
    await expect(driver.run("call", { client, method: "refuse", params: {} })).rejects.toMatchObject({
      type: "RPCError",
      message: "Not today",
      code: ErrorCode.PERMISSION_DENIED,
      details: { weekday: "Monday" },
    });
  });

  test("an unforeseen error reaches the caller as INTERNAL without its text, and onError with it", async () => {
    const errors = new Gathered();
    const server = await listen({}, (made) => {
      withMethods(made);
      made.onError((failure, context) => errors.add([failure.message, context.stage, context.name]));
    });
    const { client } = await logIn(server);
    await expect(driver.run("call", { client, method: "fail", params: {} })).rejects.toMatchObject({
      type: "RPCError",
      message: "Internal server error",
      code: ErrorCode.INTERNAL,
    });
    expect(errors.items).toEqual([["the disk is full", "rpc", "fail"]]);
  });

  test("an unknown method is METHOD_NOT_FOUND", async () => {
    const server = await listen({}, withMethods);
    const { client } = await logIn(server);
    await expect(driver.run("call", { client, method: "nothing", params: {} })).rejects.toMatchObject({
      type: "RPCError",
      code: ErrorCode.METHOD_NOT_FOUND,
    });
  });

  test("wrong parameters are refused with every field that is wrong", async () => {
    const server = await listen({}, withMethods);
    const { client } = await logIn(server);
    await expect(driver.run("call", { client, method: "add", params: { a: "two" } })).rejects.toMatchObject({
      type: "RPCError",
      message: "Validation error in add",
      code: ErrorCode.VALIDATION,
      details: {
        errors: [
          { field: "a", path: ["a"], code: ErrorCode.INVALID_TYPE },
          { field: "b", path: ["b"], code: ErrorCode.MISSING_FIELD },
        ],
      },
    });
  });

  test("a call whose answer nobody awaits runs", async () => {
    const noted = new Gathered();
    const server = await listen({}, (made) => made.rpc("note", ({ text }) => noted.add(text)));
    const { client } = await logIn(server);
    await driver.run("call_no_wait", { client, method: "note", params: { text: "milk" } });
    expect(await noted.first()).toBe("milk");
  });

  test("discovery lists the methods", async () => {
    const server = await listen({}, withMethods);
    const { client } = await logIn(server);
    const methods = await driver.run<{ name: string }[]>("discover", { client });
    expect(methods.map(({ name }) => name)).toEqual(["add", "echo", "refuse", "fail"]);
    expect(methods[0]).toEqual({
      name: "add",
      description: "Adds two numbers.",
      parameters: { a: "int", b: "int" },
      return_type: "float",
      requires_auth: true,
    });
    expect(await driver.run("call", { client, method: "listall", params: {} })).toEqual({ methods, count: 4 });
  });

  test("what the client would never answer fails at once: a call, and a message that asks for a reply", async () => {
    const server = await listen();
    const { connection } = await logIn(server);
    await expect(connection.call("anything", {})).rejects.toMatchObject({ code: ErrorCode.PEER_UNSUPPORTED });
    await expect(connection.request("anything")).rejects.toMatchObject({ code: ErrorCode.PEER_UNSUPPORTED });
  });

  // --- values -------------------------------------------------------------------------------------------------------

  test.each(Object.keys(wireValues))("%s arrives unchanged on both sides", async (name) => {
    const value = wireValues[name];
    const received = new Gathered();
    const server = await listen({}, (made) =>
      made.rpc("echo", (params) => {
        received.add(params.value);
        return params.value;
      }),
    );
    const { client } = await logIn(server);
    expect(await driver.run("call", { client, method: "echo", params: { value } })).toStrictEqual(value);
    expect(received.items).toStrictEqual([value]);
  });

  test("a whole float arrives as a number, and float64() keeps it one in Python", async () => {
    const received = new Gathered();
    const server = await listen({}, (made) =>
      made.rpc("half", ({ value }) => {
        received.add(value);
        return { plain: value, marked: float64(value as number) };
      }),
    );
    const { client } = await logIn(server);
    const halves = await driver.run("call", { client, method: "half", params: { value: float64(2) } });
    expect(received.items).toEqual([2]);
    expect(halves).toEqual({ plain: 2, marked: float64(2) });
  });

  test("1 MiB of binary data crosses unharmed, in calls and in messages", async () => {
    const bytes = mebibyte();
    const received = new Gathered();
    const server = await listen({}, (made) => {
      made.rpc("echo", ({ value }) => {
        received.add(value);
        return value;
      });
    });
    const { client, connection } = await logIn(server, {}, ["blob"]);
    const echoed = await driver.run<Uint8Array>("call", { client, method: "echo", params: { value: bytes } });
    expect(Buffer.compare(echoed, bytes)).toBe(0);
    expect(Buffer.compare((await received.first()) as Uint8Array, bytes)).toBe(0);
    connection.send("blob", bytes);
    expect(Buffer.compare((await message(client, "blob")) as Uint8Array, bytes)).toBe(0);
  });

  test.each([
    [false, false],
    [true, false],
    [false, true],
    [true, true],
  ])(
    "with compression %s here and %s there, a large text crosses, and each side compresses as it is set",
    async (ours, theirs) => {
      const server = await listen({ enableCompression: ours }, withMethods);
      const { client, connection } = await logIn(server, { enable_compression: theirs });
      expect(await driver.run("call", { client, method: "echo", params: { value: longText } })).toBe(longText);
      const { bytesReceived, bytesSent } = connection.stats;
      expect(bytesSent < longText.length).toBe(ours);
      expect(bytesReceived < longText.length).toBe(theirs);
    },
  );

  // --- the end ------------------------------------------------------------------------------------------------------

  test("stop() settles with a client connected, and the client sees a clean end", async () => {
    const reasons = new Gathered<CloseReason>();
    const server = await listen({}, (made) => made.onClientDisconnect((_, reason) => reasons.add(reason)));
    const { client } = await logIn(server, {}, ["bye"]);
    server.onShutdown(() => server.broadcast("bye", { why: "maintenance" }));
    await server.stop();
    expect(server.state).toBe("stopped");
    expect(server.connectionCount).toBe(0);
    expect(reasons.items).toMatchObject([{ code: ErrorCode.SERVER_STOPPING }]);
    expect(await message(client, "bye")).toEqual({ why: "maintenance" });
    await driver.next({ event: "disconnect", client });
    expect(await driver.run("log")).toEqual([]);
  });

  test("stop() lets a running call finish, and delivers all that was sent", async () => {
    const started = new Gathered();
    const finish = new Gathered();
    const server = await listen({}, (made) =>
      made.rpc("slow", async (params) => {
        started.add(params);
        await finish.first();
        return "done";
      }),
    );
    const { client, connection } = await logIn(server, {}, ["blob"]);
    const call = driver.run("call", { client, method: "slow", params: {} });
    await started.first();
    server.onShutdown(() => {
      for (let n = 0; n < 8; n += 1) connection.send("blob", mebibyte());
      finish.add(null);
    });
    await server.stop();
    expect(await call).toBe("done");
    for (let n = 0; n < 8; n += 1) {
      const blob = (await message(client, "blob")) as Uint8Array;
      expect(Buffer.compare(blob, mebibyte())).toBe(0);
    }
    await driver.next({ event: "disconnect", client });
  });

  test("a client that disconnects ends its connection cleanly, once, and frees its place at once", async () => {
    const reasons = new Gathered<CloseReason>();
    const server = await listen({ maxConnections: 1 }, (made) =>
      made.onClientDisconnect((_, reason) => reasons.add(reason)),
    );
    for (const count of [1, 2, 3]) {
      // There is place for one: each finds that of the one before it free.
      const { client } = await logIn(server);
      await driver.run("disconnect", { client });
      await reasons.atLeast(count);
    }
    const clean = { code: ErrorCode.CONNECTION_CLOSED, byPeer: true };
    expect(reasons.items).toMatchObject([clean, clean, clean]);
  });

  test("a client whose process dies frees its place", async () => {
    const gone = new Gathered<Connection>();
    const server = await listen({}, (made) => made.onClientDisconnect((connection) => gone.add(connection)));
    const mortal = await PythonDriver.start(python, "client_driver.py");
    onTestFinished(() => mortal.kill());
    await mortal.run("connect", { client: "mortal", options: target(server) });
    expect(server.connectionCount).toBe(1);
    await mortal.kill();
    await gone.first();
    expect(server.connectionCount).toBe(0);
  });

  test("a client that reconnects by itself finds the server again after a restart", async () => {
    const server = await listen({}, withMethods);
    const { port } = server.address;
    const { client } = await logIn(server, { reconnect_enabled: true, reconnect_attempts: 0, reconnect_delay: 0.1 });
    await server.stop();
    await listen({ port }, withMethods);
    await driver.next({ event: "reconnect", client });
    expect(await driver.run("call", { client, method: "add", params: { a: 1, b: 1 } })).toBe(2);
  });
});
