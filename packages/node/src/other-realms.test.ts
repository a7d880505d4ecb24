/** Values from another realm, such as a `vm` context in Jest or jsdom, for which `instanceof` doesn't work. */
import vm from "node:vm";
import { afterEach, beforeEach, expect, test } from "vitest";
import { Client, Server } from "./index.ts";

const server = new Server({ host: "127.0.0.1", port: 0, password: "secret123", handleSignals: false });
server.rpc("echo", (params) => params);
let client: Client;

beforeEach(async () => {
  await server.start();
  client = new Client({ host: "127.0.0.1", port: server.address.port, password: "secret123" });
  await client.connect();
});

afterEach(async () => {
  await client.disconnect();
  await server.stop();
});

test.each([
  ["a Date", "new Date(5)", new Date(5)],
  ["a Uint8Array", "new Uint8Array([1, 2, 3]).subarray(1)", new Uint8Array([2, 3])],
  ["a large Uint8Array", "new Uint8Array(100_000).fill(7)", new Uint8Array(100_000).fill(7)],
  ["an ArrayBuffer", "new Uint8Array([1, 2]).buffer", new Uint8Array([1, 2])],
  ["a Map", "new Map([['a', new Map([['b', 1]])]])", { a: { b: 1 } }],
  ["an object with an array", "({ list: [1, { two: 2 }] })", { list: [1, { two: 2 }] }],
])("%s of another realm is sent like one's own", async (_what, expression, expected) => {
  const value: unknown = vm.runInNewContext(expression);
  expect(await client.call("echo", { value })).toStrictEqual({ value: expected });
});

test("a value that only pretends to be a Date is refused", async () => {
  class Pretender {
    readonly [Symbol.toStringTag] = "Date";
  }
  const value = new Pretender();
  await expect(client.call("echo", { value })).rejects.toMatchObject({ codeName: "UNSERIALIZABLE" });
});
