import assert from "node:assert/strict";
import { ErrorCode, response } from "@netconduit/core";
import * as v from "valibot";
import { failureOf, gate, Heard } from "../../behaviour/heard.ts";
import type { Scenario } from "../scenario.ts";

const Pair = v.object({ a: v.number(), b: v.number() });

/** Calls in both directions: registration, results, discovery, and how they run beside each other. */
export const rpc: readonly Scenario[] = [
  {
    title: "a client calls methods of its server: plain, asynchronous, with a schema",
    async server(half) {
      const server = half.server();
      server.rpc("greet", ({ name }) => `Hello, ${String(name)}!`);
      server.rpc("add", Pair, async ({ a, b }) => a + b);
      server.rpc({ name: "math.multiply", params: Pair, result: v.number() }, ({ a, b }) => a * b);
      await half.open(server);
    },
    async client(half) {
      const client = await half.join();
      assert.equal(await client.call("greet", { name: "Ada" }), "Hello, Ada!");
      assert.equal(await client.call("add", { a: 1, b: 2 }), 3);
      assert.equal(await client.call("math.multiply", { a: 6, b: 7 }), 42);
    },
  },
  {
    title: "a server calls methods of its client just so: schema, errors, unknown names",
    async server(half) {
      const connection = await (await half.open(half.server())).next();
      await half.recordReceive("ready");
      assert.equal(await connection.call("add", { a: 1, b: 2 }), 3);
      assert.equal((await failureOf(connection.call("add", { a: 1 }))).code, ErrorCode.MISSING_FIELD);
      assert.equal((await failureOf(connection.call("add", { a: 1, b: "2" }))).code, ErrorCode.INVALID_TYPE);
      assert.equal((await failureOf(connection.call("nope"))).code, ErrorCode.METHOD_NOT_FOUND);
      assert.equal((await failureOf(connection.call("break"))).code, ErrorCode.INTERNAL);
    },
    async client(half) {
      const client = await half.client();
      client.rpc("add", Pair, ({ a, b }) => a + b);
      client.rpc("break", () => {
        throw new Error("broken");
      });
      await client.connect();
      half.tell("ready");
    },
  },
  {
    title: "parameters that are left out are an empty map, a result that is left out is null",
    async server(half) {
      const server = half.server();
      const heard = new Heard<unknown>();
      server.rpc("nothing", (params) => heard.add(params));
      await half.open(server);
      assert.deepEqual(await heard.next(), {});
      assert.deepEqual(await heard.next(), { kept: null });
    },
    async client(half) {
      const client = await half.join();
      assert.equal(await client.call("nothing"), null);
      assert.equal(await client.call("nothing", { kept: null, dropped: undefined }), null);
    },
  },
  {
    title: "the response helpers reach the caller as they are documented",
    async server(half) {
      const server = half.server();
      server.rpc("plain", () => response({ id: 1 }));
      server.rpc("metadata", () => response([1], { took: 3 }));
      server.rpc("ok", () => response.ok({ message: "User deleted" }));
      server.rpc("page", () => response.withPagination({ data: ["c"], total: 5, page: 2, pageSize: 2 }));
      await half.open(server);
    },
    async client(half) {
      const client = await half.join();
      assert.deepEqual(await client.call("plain"), { id: 1 });
      assert.deepEqual(await client.call("metadata"), { success: true, data: [1], metadata: { took: 3 } });
      assert.deepEqual(await client.call("ok"), { success: true, message: "User deleted" });
      assert.deepEqual(await client.call("page"), {
        success: true,
        data: ["c"],
        pagination: { total: 5, page: 2, page_size: 2, total_pages: 3, has_next: true, has_prev: true },
      });
    },
  },
  {
    title: "discovery lists names, descriptions, parameter types, result types, and whether login is needed",
    async server(half) {
      const server = half.server();
      const params = v.object({ limit: v.optional(v.pipe(v.number(), v.integer()), 10), filter: v.string() });
      server.rpc({ name: "users.list", description: "List users", params, result: v.array(v.string()) }, () => []);
      server.rpc({ name: "bare", requiresAuth: false }, () => null);
      await half.open(server);
    },
    async client(half) {
      const client = await half.join();
      const methods = await client.discover();
      assert.deepEqual(methods, [
        {
          name: "users.list",
          description: "List users",
          parameters: { limit: "int | None", filter: "str" },
          return_type: "list",
          requires_auth: true,
        },
        { name: "bare", description: "", parameters: {}, return_type: "Any", requires_auth: false },
      ]);
      assert.deepEqual(await client.call("listall"), { methods, count: 2 });
    },
  },
  {
    title: "a method is found from its registration until its removal, while the connection stands",
    async server(half) {
      const server = half.server();
      await half.open(server);
      await half.recordReceive("asked");
      const remove = server.rpc("late", () => "here");
      half.tell("there");
      await half.recordReceive("asked");
      remove();
      half.tell("gone");
    },
    async client(half) {
      const client = await half.join();
      assert.equal((await failureOf(client.call("late"))).code, ErrorCode.METHOD_NOT_FOUND);
      half.tell("asked");
      await half.recordReceive("there");
      assert.equal(await client.call("late"), "here");
      half.tell("asked");
      await half.recordReceive("gone");
      assert.equal((await failureOf(client.call("late"))).code, ErrorCode.METHOD_NOT_FOUND);
    },
  },
  {
    title: "callNoWait runs the handler and brings no answer, not even an error",
    async server(half) {
      const server = half.server();
      const heard = new Heard<unknown>();
      server.rpc("note", (params) => heard.add(params));
      await half.open(server);
      assert.deepEqual(await heard.next(), { n: 1 });
      assert.deepEqual(await heard.next(), { n: 2 });
    },
    async client(half) {
      const client = await half.join();
      assert.equal(client.callNoWait("note", { n: 1 }), true);
      client.callNoWait("nope");
      assert.equal(client.health().pendingCalls, 0);
      await client.call("note", { n: 2 });
    },
  },
  {
    title: "a slow call delays no other call of its connection",
    async server(half) {
      const server = half.server();
      const slow = gate<string>();
      server.rpc("slow", () => slow.promise);
      server.rpc("fast", () => "fast");
      server.rpc("release", () => slow.open("slow"));
      await half.open(server);
    },
    async client(half) {
      const client = await half.join();
      const waiting = client.call("slow");
      assert.equal(await client.call("fast"), "fast");
      await client.call("release");
      assert.equal(await waiting, "slow");
    },
  },
  {
    title: "of a thousand calls at once, answered in another order, each gets its own answer",
    async server(half) {
      const server = half.server();
      const held: (() => void)[] = [];
      server.rpc("echo", v.object({ n: v.number() }), ({ n }) =>
        n % 4 === 0 ? new Promise((resolve) => held.push(() => resolve(n))) : n,
      );
      server.rpc("release", () => {
        for (const release of held.splice(0).reverse()) release();
      });
      await half.open(server);
    },
    async client(half) {
      const client = await half.join({ sendQueueSize: 2000 });
      const order: number[] = [];
      const answers = Array.from({ length: 1000 }, async (_, n) => {
        assert.equal(await client.call("echo", { n }), n);
        order.push(n);
      });
      await client.call("release");
      await Promise.all(answers);
      assert.deepEqual(order.slice(-2), [4, 0]);
    },
  },
  {
    title: "a handler may call back to its caller, whose handler calls back again, without deadlock",
    async server(half) {
      const server = half.server({ handlerConcurrency: 2 });
      server.rpc("outer", async (_params, { client }) => `outer(${await client.call<string>("middle")})`);
      server.rpc("inner", () => "inner");
      await half.open(server);
    },
    async client(half) {
      const client = await half.client({ handlerConcurrency: 1 });
      client.rpc("middle", async () => `middle(${await client.call<string>("inner")})`);
      await client.connect();
      assert.equal(await client.call("outer"), "outer(middle(inner))");
    },
  },
  {
    title: "of three hundred calls at once whose handlers each call back, all are answered, however small the queues",
    async server(half) {
      const server = half.server({ handlerConcurrency: 2, receiveQueueSize: 10 });
      server.rpc("outer", async ({ n }, { client }) => client.call("inner", { n }));
      await half.open(server);
    },
    async client(half) {
      const client = await half.client({ handlerConcurrency: 2, receiveQueueSize: 10 });
      client.rpc("inner", async ({ n }) => n);
      await client.connect();
      const all = Array.from({ length: 300 }, (_, n) => n);
      assert.deepEqual(await Promise.all(all.map((n) => client.call("outer", { n }))), all);
    },
  },
  {
    title: "handlerConcurrency bounds the handlers of one connection, and no other connection waits for them",
    async server(half) {
      const server = half.server({ handlerConcurrency: 3 });
      const started = new Heard<unknown>();
      const go = gate();
      server.rpc("work", async ({ n }) => {
        started.add(n);
        if (n !== "other") await go.promise;
        return n;
      });
      server.rpc("go", () => go.open());
      await half.open(server);
      await started.count(3);
      half.tell("three run");
      await half.recordReceive("other was answered");
      assert.deepEqual(started.all, [0, 1, 2, "other"]);
      go.open();
    },
    async client(half) {
      const [busy, other] = [await half.join(), await half.join()];
      const answers = Promise.all([0, 1, 2, 3, 4].map((n) => busy.call("work", { n })));
      await half.recordReceive("three run");
      assert.equal(await other.call("work", { n: "other" }), "other");
      half.tell("other was answered");
      assert.deepEqual(await answers, [0, 1, 2, 3, 4]);
    },
  },
  {
    title: "five hundred calls in each direction at the same time are all answered",
    async server(half) {
      const server = half.server();
      server.rpc("square", ({ n }) => Number(n) ** 2);
      const connection = await (await half.open(server)).next();
      await half.recordReceive("ready");
      const all = Array.from({ length: 500 }, (_, n) => n);
      const answers = await Promise.all(all.map((n) => connection.call("cube", { n })));
      assert.deepEqual(
        answers,
        all.map((n) => n ** 3),
      );
    },
    async client(half) {
      const client = await half.client();
      client.rpc("cube", async ({ n }) => Number(n) ** 3);
      await client.connect();
      half.tell("ready");
      const all = Array.from({ length: 500 }, (_, n) => n);
      const answers = await Promise.all(all.map((n) => client.call("square", { n })));
      assert.deepEqual(
        answers,
        all.map((n) => n ** 2),
      );
    },
  },
];
