/** Mistakes that TypeScript would find, as programs in plain JavaScript make them. */

import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ErrorCode } from "../errors.ts";
import { Server } from "../server/server.ts";
import { type ConnectedPair, connectedPair } from "../testing/connected-pair.ts";

// biome-ignore lint/suspicious/noExplicitAny: plain JavaScript passes anything
type Any = any;

let pair: ConnectedPair<Any, Any>;
/** The same without types. */
let server: Any;
let client: Any;

beforeAll(async () => {
  pair = await connectedPair({ prepare: (made) => void made.rpc("add", () => 1) });
  ({ server, client } = pair);
});

afterAll(() => pair.close());

const nothing = (): void => undefined;

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
      "options must be an object, got a",
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
    ["a url", () => pair.network.client({ url: "ws://host" } as Any), "Unknown option url; use host and port, or path"],
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

test("after all these mistakes the server and the connection work", async () => {
  expect(await client.call("add")).toBe(1);
  await expect(client.call("ad")).rejects.toMatchObject({ codeName: "METHOD_NOT_FOUND" });
  expect(pair.connection.isConnected).toBe(true);
});
