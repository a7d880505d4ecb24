/** Mistakes of programs in plain JavaScript that TypeScript would detect. */

import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ErrorCode, RpcError } from "../errors.ts";
import { forClient } from "../rpc/client-kinds.ts";
import { error } from "../rpc/error-helpers.ts";
import { response } from "../rpc/response.ts";
import { Server } from "../server/server.ts";
import { type ConnectedPair, connectedPair } from "../testing/connected-pair.ts";
import { EventLog } from "../testing/event-log.ts";
import { TestNetwork } from "../testing/test-network.ts";

// biome-ignore lint/suspicious/noExplicitAny: plain JavaScript passes anything
type Any = any;

let pair: ConnectedPair<Any, Any>;
/** The same server without types. */
let server: Any;
let client: Any;

beforeAll(async () => {
  pair = await connectedPair({ prepare: (made) => void made.rpc("add", () => 1) });
  ({ server, client } = pair);
});

afterAll(() => pair.close());

const nothing = (): void => undefined;
const topic = (): Any => server.topic(`topic ${crypto.randomUUID()}`);
const rooms = (): Any => server.topics("room:*", { authorize: () => true });

describe("is INVALID_CONFIG, and the message says what is wrong", () => {
  test.each<[string, () => unknown, string]>([
    [
      "rpc() without a name",
      () => server.rpc(undefined, nothing),
      "The name of a method must be a non-empty string, got undefined",
    ],
    ["rpc() with a number", () => server.rpc(5, nothing), 'got 5: rpc("name", (params) => …)'],
    [
      "a definition without a name",
      () => server.rpc({ description: "" }, nothing),
      "must be a non-empty string, got undefined",
    ],
    [
      "stream() without a name",
      () => server.stream(null, nothing),
      "The name of a method must be a non-empty string, got null",
    ],
    ["rpc() with an empty name", () => server.rpc("", nothing), 'must be a non-empty string, got ""'],
    ["on() without a type", () => server.on(undefined, nothing), 'got undefined: on("type", (connection, data) => …)'],
    ["on() with no types", () => client.on([], nothing), 'got an array: on("type", (data) => …)'],
    [
      "on() with a type that is none",
      () => server.on(["a", 1], nothing),
      "The type of a message must be a non-empty string",
    ],
    ["on() with an empty type", () => server.on(["a", ""], nothing), "must be a non-empty string, or an array of them"],
    ["call() without a name", () => client.call(), "The name of a method must be a string, got undefined"],
    ["callNoWait() without a name", () => client.callNoWait(), "The name of a method must be a string, got undefined"],
    [
      "call() with once and without a name",
      () => client.call(null, {}, { once: "k" }),
      "of a method must be a string, got null",
    ],
    ["stream() of no name", () => client.stream(5).next(), "The name of a method must be a string, got 5"],
    ["send() without a type", () => client.send(), "The type of a message must be a string, got undefined"],
    [
      "send() with ack and without a type",
      () => client.send(null, 1, { ack: true }),
      "of a message must be a string, got null",
    ],
    ["request() without a type", () => client.request(), "The type of a message must be a string, got undefined"],
    ["broadcast() without a type", () => server.broadcast(), "The type of a message must be a string, got undefined"],
    ["a server's hook", () => server.onClientConnect(), "A hook must be a function, got undefined"],
    ["a hook around which middleware runs", () => server.onUnknown("log"), 'A hook must be a function, got "log"'],
    ["onError()", () => server.onError(null), "A hook must be a function, got null"],
    ["a client's hook", () => client.onReconnect({}), "A hook must be a function, got an object"],
    ["onStateChange()", () => client.onStateChange("open"), 'A listener must be a function, got "open"'],
    [
      "send() to nobody",
      () => server.send(undefined, "m", 1),
      "must be the id of a connection or { user }, got undefined",
    ],
    ["send() to a connection", () => server.send(pair.connection, "m", 1), "or { user }, got an object"],
    [
      "exclude with a connection",
      () => server.broadcast("m", 1, { exclude: pair.connection }),
      "exclude must be the id of",
    ],
    ["include with connections", () => server.broadcast("m", 1, { include: [pair.connection] }), "use connection.id"],
    [
      "the role of a broadcast to a kind of clients",
      () => server.clients("device").broadcast("m", 1, { where: { role: "admin" } }),
      'clients("device").broadcast sends to that role',
    ],
    [
      "an asynchronous where",
      () => server.broadcast("m", 1, { where: async () => false }),
      "The option where of broadcast 'm' must return true or false at once, got a promise or object",
    ],
    ["a timeout as text", () => client.call("add", {}, { timeoutMs: "500" }), '(0: no timeout), got "500"'],
    [
      "a password as options",
      () => new Server("secret" as Any, pair.network.runtime),
      "The options of the server must be an object, got a",
    ],
    ["no options", () => new Server(undefined as Any, pair.network.runtime), "must be an object, got undefined"],
    [
      "a signal of a call",
      () => client.call("add", {}, { signal: 5 }),
      "signal of 'add' must be an AbortSignal, got 5",
    ],
    [
      "a controller as signal",
      () => client.request("m", 1, { signal: new AbortController() }),
      "signal of 'm' must be an",
    ],
    [
      "a signal of a stream",
      () => client.stream("s", {}, { signal: {} }).next(),
      "signal of 's' must be an AbortSignal",
    ],
    [
      "revoke() of nobody",
      () => server.revoke(undefined),
      "the name of a user, as in connection.user.name, got undefined",
    ],
    ["revoke() of a connection", () => server.revoke(pair.connection), "connection.user.name, got an object"],
    [
      "revoke() with the recipient of send()",
      () => server.revoke({ user: "ada" }),
      "connection.user.name, got an object",
    ],
    ["peer() of a connection", () => server.peer(pair.connection), "as in connection.id, got an object"],
    ["connection() of a connection", () => server.connection(pair.connection), "as in connection.id, got an object"],
    ["delete() of an id", () => topic().delete(pair.connection.id), "give it one of server.connections, got "],
    ["has() of an id", () => topic().has(pair.connection.id), "give it one of server.connections, got "],
    ["topic() of the pattern itself", () => rooms().topic("room:*"), "doesn't fit the pattern 'room:*'"],
    ["stop() with text", () => server.stop({ drainMs: "5000" }), "drainMs of server.stop(): must be a number from 0"],
    ["stop() with a date", () => server.stop({ retryAfterMs: NaN }), "retryAfterMs of server.stop(): must be a number"],
    ["implement() of nothing", () => server.implement(), "takes an object of handlers by their names, got undefined"],
    ["implement() of a list", () => client.implement([nothing]), "handlers by their names, got an array"],
    ["forClient() of nothing", () => forClient(undefined as Any, "a"), "needs a contract, got undefined"],
    ["withPagination() of nothing", () => (response as Any).withPagination(), "needs its options, got undefined"],
    ["an RpcError without a code", () => new (RpcError as Any)("No such card"), 'got "No such card"'],
    [
      "an error with its code as text",
      () => error("Limit", { code: "402" as Any }),
      'got "402" and the message "Limit"',
    ],
    ["a switch as text", () => pair.network.client({ resume: "yes" as Any }), "must be true, false or an object"],
    ["tls as a path", () => pair.network.client({ tls: "ca.crt" as Any }), "must be true, false or an object"],
    ["reconnect: false", () => pair.network.client({ reconnect: false as Any }), "{ enabled: false } turns it off"],
    [
      "overwrite: true",
      () => client.files("box").download("a.txt", "/tmp", { overwrite: true }),
      'overwrite of a download: must be "fail", "replace" or "rename", got true',
    ],
    [
      "maxBytes as text",
      () => client.files("box").bytes("a.txt", { maxBytes: "1GB" }),
      'maxBytes of a download: must be a number of bytes, got "1GB"',
    ],
    [
      "resume as text",
      () => client.files("box").upload("a.txt", { resume: "yes" }),
      'resume of an upload: must be a boolean, got "yes"',
    ],
    [
      "a url",
      () => pair.network.client({ url: "ws://host" } as Any),
      "Unknown option url of the client; use host and port, or path",
    ],
  ])("%s", async (_what, run, message) => {
    const call = (async () => await run())();
    await expect(call).rejects.toMatchObject({ codeName: "INVALID_CONFIG", message: expect.stringContaining(message) });
  });
});

test.each([undefined, null, 7, {}])(
  "call() and send() with %o as their name reject or throw, and say so",
  async (name) => {
    await expect(client.call(name)).rejects.toMatchObject({ code: ErrorCode.INVALID_CONFIG });
    await expect(client.call(name)).rejects.toThrow("The name of a method must be a string, got ");
    expect(() => client.send(name, 1)).toThrow("The type of a message must be a string, got ");
  },
);

test("an array as the params of a call is INVALID_PARAMS, which says that they are one object", async () => {
  await expect(client.call("add", [1, 2])).rejects.toThrow("they must be one object (a map), and not Array");
});

test("clients() of a kind that the contract doesn't have is INVALID_CONFIG: its handlers would never run", () => {
  const made: Any = new Server({ password: "p", contract: { clients: { device: {} } } }, pair.network.runtime);
  expect(() => made.clients("devise")).toThrow("The contract has no kind of clients 'devise' (did you mean 'device'?)");
  expect(() => made.clients(undefined)).toThrow("The contract has no kind of clients undefined");
});

test("implement() names handlers that the contract doesn't have beside those that are missing", () => {
  const contract = { server: { methods: { add: {}, list: {} } } };
  const made: Any = new Server({ password: "p", contract }, pair.network.runtime);
  expect(() => made.implement({ add: nothing, lisst: nothing })).toThrow(
    "no handler for 'list'; the contract doesn't have 'lisst'",
  );
});

test.each(["onClientConnect", "onClientResume"] as const)(
  "%s refuses a client by an error that it returns, as a handler does",
  async (name) => {
    await using made = await connectedPair<Any, Any>({
      server: { resume: true },
      client: { resume: true, reconnect: { delayMs: 10, jitter: false } },
    });
    made.server[name](async () => error.permissionDenied("join"));
    const refused = new Promise((resolve) => {
      made.server.onClientRejected(resolve);
      made.server.onClientDisconnect((_connection: Any, reason: Any) => resolve(reason));
    });
    if (name === "onClientConnect") {
      await expect(made.network.client().connect()).rejects.toMatchObject({ code: ErrorCode.PERMISSION_DENIED });
    } else {
      const gaveUp = new Promise((resolve) => made.client.onError(resolve));
      await made.network.cut();
      await made.clock.advance(20);
      // The password is correct.
      expect(String(await gaveUp)).not.toContain("password");
    }
    expect(await refused).toMatchObject({
      code: ErrorCode.PERMISSION_DENIED,
      message: expect.stringContaining("Permission denied: join"),
    });
  },
);

test("parameters that aren't a map are reported to the caller with the method's name, without a reply, too", async () => {
  await using made = await connectedPair<Any, Any>({ prepare: (own) => void own.rpc("add", () => 3) });
  const failed = new Promise((resolve) => made.client.onError((...report: unknown[]) => resolve(report)));
  made.client.callNoWait("add", 5);
  await made.clock.settle();
  expect(await failed).toMatchObject([{ code: ErrorCode.INVALID_PARAMS }, { stage: "send", name: "add" }]);
});

test("a raw client refuses an option that it doesn't know, of its own and of its login", async () => {
  await using made = await connectedPair<Any, Any>();
  await expect(made.network.rawClient({ prot: 1 } as Any)).rejects.toMatchObject({
    code: ErrorCode.INVALID_CONFIG,
    message: expect.stringContaining("did you mean port?"),
  });
  const raw = await made.network.rawClient();
  await expect(raw.login({ pasword: "secret" } as Any)).rejects.toMatchObject({
    code: ErrorCode.INVALID_CONFIG,
    message: expect.stringContaining("did you mean password?"),
  });
});

test("a client that subscribes to a pattern, or publishes there, gets an error: nothing would ever arrive", async () => {
  await using made = await connectedPair<Any, Any>({
    prepare: (own) => void own.topics("room:*", { authorize: () => true, publish: true }),
  });
  const refused = {
    codeName: "NOT_FOUND",
    message: "Topic not found: 'room:*' is a pattern; take the name of one topic, such as 'room:7'",
  };
  await expect(made.client.subscribe("room:*").ready).rejects.toMatchObject(refused);
  await expect(made.client.publish("room:*", 1)).rejects.toMatchObject(refused);
});

test("publish that returns something else than true or false is reported, and lets nobody publish", async () => {
  const errors = new EventLog<Error>();
  await using made = await connectedPair<Any, Any>({
    prepare(own) {
      own.onError(errors.add);
      own.topic("sync", { publish: (() => "yes") as Any });
      own.topic("async", { publish: (async () => ({})) as Any });
      own.topic("nothing", { publish: (() => undefined) as Any });
    },
  });
  await expect(made.client.publish("nothing", 1)).rejects.toMatchObject({ codeName: "PERMISSION_DENIED" });
  for (const name of ["sync", "async"]) {
    await expect(made.client.publish(name, 1)).rejects.toMatchObject({ codeName: "INTERNAL" });
    const reported = await errors.next();
    expect(reported.message).toContain(`publish of topic '${name}' must return true or false, got `);
  }
});

test("connectionData that returns a promise or no object lets nobody in, and is reported", async () => {
  for (const given of [Promise.resolve({}), undefined, 5]) {
    const errors = new EventLog<Error>();
    const network = new TestNetwork();
    const own: Any = await network.server({ connectionData: () => given as Any });
    own.onError(errors.add);
    await expect(network.client().connect()).rejects.toMatchObject({ codeName: "INTERNAL" });
    const reported = await errors.next();
    expect(reported.message).toContain("connectionData must return an object at once, got ");
    await own.stop();
  }
});

test("an object that is thrown is reported with its message", async () => {
  const errors = new EventLog<Error>();
  await using made = await connectedPair<Any, Any>({
    prepare(own) {
      own.onError(errors.add);
      own.rpc("fail", () => {
        // biome-ignore lint/style/useThrowOnlyError: programs do
        throw { code: 7, message: "The disk is on fire" };
      });
    },
  });
  await expect(made.client.call("fail")).rejects.toMatchObject({ codeName: "INTERNAL" });
  expect((await errors.next()).message).toBe("The disk is on fire");
});

test("the position of a subscription may be given as it is, also before there is one", async () => {
  await using made = await connectedPair<Any, Any>({ prepare: (own) => void own.topic("news", { retain: 1 }) });
  const first = made.client.subscribe("news");
  const second = made.client.subscribe("news", { since: first.position });
  await second.ready;
  expect(second.position).not.toBeNull();
});

test("after all these mistakes the server and the connection work", async () => {
  expect(await client.call("add")).toBe(1);
  await expect(client.call("ad")).rejects.toMatchObject({ codeName: "METHOD_NOT_FOUND" });
  expect(pair.connection.isConnected).toBe(true);
});
