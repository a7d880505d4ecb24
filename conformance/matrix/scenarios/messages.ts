import assert from "node:assert/strict";
import { ErrorCode, error, fieldErrors, RpcError } from "@netconduit/core";
import * as v from "valibot";
import { failureOf, Heard, thrownBy } from "../../behaviour/heard.ts";
import type { Scenario } from "../scenario.ts";

/** Messages with and without replies, in both directions. */
export const messages: readonly Scenario[] = [
  {
    title: "messages travel both ways, and a handler of the server knows who sent them",
    async server(half) {
      const server = half.server();
      const heard = new Heard<unknown>();
      server.on("chat", (connection, data) => heard.add([connection.id, data]));
      const connection = await (await half.open(server)).next();
      connection.send("welcome", { id: connection.id });
      assert.deepEqual(await heard.next(), [connection.id, { text: "hello", n: 1 }]);
      assert.equal(await half.recordReceive("id"), connection.id);
    },
    async client(half) {
      const client = await half.client();
      const heard = new Heard<unknown>();
      client.on("welcome", heard.add);
      await client.connect();
      client.send("chat", { text: "hello", n: 1 });
      const { id } = (await heard.next()) as { id: string };
      half.tell("id", id);
    },
  },
  {
    title: "a message may carry any value, or none",
    async server(half) {
      const server = half.server();
      const heard = new Heard<unknown>();
      server.on("any", (_connection, data) => void heard.add(data));
      await half.open(server);
      const date = new Date(1_767_225_600_123);
      const all = await heard.count(10);
      assert.deepEqual(all, [
        1,
        "text",
        true,
        [1, [2]],
        { a: null },
        null,
        Uint8Array.of(0, 255),
        date,
        2n ** 60n,
        null,
      ]);
    },
    async client(half) {
      const client = await half.join();
      const date = new Date(1_767_225_600_123);
      for (const data of [1, "text", true, [1, [2]], { a: null }, null, Uint8Array.of(0, 255), date, 2n ** 60n]) {
        client.send("any", data);
      }
      client.send("any");
    },
  },
  {
    title: "a client's request resolves with what the server's handler returns, and with null when that is nothing",
    async server(half) {
      const server = half.server();
      server.on("double", (_connection, data) => Number(data) * 2);
      server.on("later", async (_connection, data) => ({ data }));
      server.on("silent", () => {});
      await half.open(server);
    },
    async client(half) {
      const client = await half.join();
      assert.equal(await client.request("double", 21), 42);
      assert.deepEqual(await client.request("later", [1, 2]), { data: [1, 2] });
      assert.equal(await client.request("silent"), null);
    },
  },
  {
    title: "a server's request is answered by its client just so",
    async server(half) {
      const connection = await (await half.open(half.server())).next();
      await half.recordReceive("ready");
      assert.equal(await connection.request("double", 21), 42);
      assert.equal(await connection.request("silent"), null);
      const failure = await failureOf(connection.request("refuse"));
      assert.ok(failure instanceof RpcError);
      assert.deepEqual([failure.code, failure.message], [777, "No, thank you"]);
      assert.equal((await failureOf(connection.request("nobody's"))).code, ErrorCode.NO_HANDLER);
    },
    async client(half) {
      const client = await half.join();
      client.on("double", (data) => Number(data) * 2);
      client.on("silent", () => {});
      client.on("refuse", () => error("No, thank you", { code: 777 }));
      half.tell("ready");
    },
  },
  {
    title: "a handler's error, returned or thrown, rejects the request with its code, message and details",
    async server(half) {
      const server = half.server();
      server.on("returns", () => error("Sold out", { code: 42, details: { left: 0 } }));
      server.on("throws", () => {
        throw error.permissionDenied("throw");
      });
      server.on("breaks", () => {
        throw new Error("the database's password is hunter2");
      });
      await half.open(server);
    },
    async client(half) {
      const client = await half.join();
      const returned = await failureOf(client.request("returns"));
      assert.deepEqual([returned.code, returned.message, returned.details], [42, "Sold out", { left: 0 }]);
      assert.ok(returned instanceof RpcError);
      assert.equal((await failureOf(client.request("throws"))).code, ErrorCode.PERMISSION_DENIED);
      const broken = await failureOf(client.request("breaks"));
      assert.deepEqual([broken.code, broken.message], [ErrorCode.INTERNAL, "Internal server error"]);
    },
  },
  {
    title: "what a schema does not let through is answered with its fields, and never handled",
    async server(half) {
      const server = half.server();
      const handled = new Heard<unknown>();
      const Chat = v.object({ user: v.string(), text: v.pipe(v.string(), v.maxLength(5)) });
      server.on("chat", Chat, (_connection, data) => void handled.add(data));
      await half.open(server);
      assert.deepEqual(await handled.next(), { user: "ada", text: "hello" });
      assert.equal(handled.all.length, 1);
    },
    async client(half) {
      const client = await half.join();
      const failure = await failureOf(client.request("chat", { text: "too long" }));
      assert.equal(failure.code, ErrorCode.VALIDATION);
      assert.deepEqual(
        fieldErrors(failure)
          .map(({ field, code }) => [field, code])
          .sort(),
        [
          ["text", ErrorCode.VALIDATION],
          ["user", ErrorCode.MISSING_FIELD],
        ],
      );
      await client.request("chat", { user: "ada", text: "hello" });
    },
  },
  {
    title: "a type without a handler is NO_HANDLER for a request, and goes to the onUnknown hooks of either end",
    async server(half) {
      const server = half.server();
      const unknown = new Heard<unknown>();
      server.onUnknown((_connection, type, data) => unknown.add([type, data]));
      const connection = await (await half.open(server)).next();
      assert.deepEqual(await unknown.next(), ["nope", 1]);
      assert.deepEqual(await unknown.next(), ["constructor", 2]);
      connection.send("nope", 3);
    },
    async client(half) {
      const client = await half.client();
      const unknown = new Heard<unknown>();
      client.onUnknown((_client, type, data) => unknown.add([type, data]));
      await client.connect();
      client.send("nope", 1);
      assert.equal((await failureOf(client.request("constructor", 2))).code, ErrorCode.NO_HANDLER);
      assert.deepEqual(await unknown.next(), ["nope", 3]);
    },
  },
  {
    title: "several handlers of a type all run, in their order; the last that returns something gives the reply",
    async server(half) {
      const server = half.server();
      const log: string[] = [];
      server.on("chat", async () => {
        log.push("first");
        return "first";
      });
      server.on(["chat", "talk"], (_connection, _data, { method }) => {
        log.push(`second ${method}`);
        return "second";
      });
      server.on("chat", () => void log.push("third"));
      server.on("chat", () => void log.push("removed"))();
      server.rpc("log", () => log);
      await half.open(server);
    },
    async client(half) {
      const client = await half.join();
      assert.equal(await client.request("chat"), "second");
      assert.equal(await client.request("talk"), "second");
      assert.deepEqual(await client.call("log"), ["first", "second chat", "third", "second talk"]);
    },
  },
  {
    title: "the answer to a plain message arrives as a message of type <type>_response, both ways",
    async server(half) {
      const server = half.server();
      server.on("ping", (_connection, data) => ({ pong: data }));
      const heard = new Heard<unknown>();
      server.on("pong_response", (_connection, data) => void heard.add(data));
      const connection = await (await half.open(server)).next();
      await half.recordReceive("ready");
      connection.send("pong", 2);
      assert.deepEqual(await heard.next(), { ping: 2 });
    },
    async client(half) {
      const client = await half.join();
      const heard = new Heard<unknown>();
      client.on("ping_response", heard.add);
      client.on("pong", (data) => ({ ping: data }));
      half.tell("ready");
      client.send("ping", 1);
      assert.deepEqual(await heard.next(), { pong: 1 });
    },
  },
  {
    title: "what cannot be sent throws UNSERIALIZABLE with its path on either end, and the connection goes on",
    async server(half) {
      const server = half.server();
      server.on("echo", (_connection, data) => data);
      const connection = await (await half.open(server)).next();
      const failure = thrownBy(() => connection.send("bad", { list: [1, { save: () => {} }] }));
      assert.equal(failure.code, ErrorCode.UNSERIALIZABLE);
      assert.match(failure.message, /data\.list\[1\]\.save/);
    },
    async client(half) {
      const client = await half.join();
      const failure = thrownBy(() => client.send("bad", { at: Symbol("no") }));
      assert.equal(failure.code, ErrorCode.UNSERIALIZABLE);
      assert.match(failure.message, /data\.at/);
      assert.equal(await client.request("echo", "still here"), "still here");
    },
  },
];
