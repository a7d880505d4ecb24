import { ErrorCode, error, RpcError, response } from "@netconduit/core";
import * as v from "valibot";
import { describe, expect, test } from "vitest";
import { z } from "zod";
import { gate } from "../../packages/core/src/test-support/gate.ts";
import { EventLog } from "../../packages/core/src/testing/event-log.ts";
import { call, frame, Type } from "../../packages/core/src/testing/raw-frames.ts";
import { failureOf, thrownBy } from "../support/failures.ts";
import type { Subject } from "../support/subject.ts";
import { PATIENT, stagedOn } from "./stage.ts";

const AddParams = v.object({ a: v.number(), b: v.number() });

/** RPC: registration, discovery, results, concurrency. */
export function describeRpc(subject: Subject): void {
  const staged = stagedOn(subject);

  describe(`RPC on ${subject.name}`, PATIENT, () => {
    describe("registration", () => {
      test(
        "a method is a name and a handler",
        staged(async (stage) => {
          const server = await stage.listen();
          server.rpc("greet", (params) => `Hello, ${String(params["name"])}!`);
          const client = await stage.join(server);
          expect(await client.call("greet", { name: "Ada" })).toBe("Hello, Ada!");
        }),
      );

      test(
        "a method is a name, a schema and a handler",
        staged(async (stage) => {
          const server = await stage.listen();
          server.rpc("add", AddParams, ({ a, b }) => a + b);
          const client = await stage.join(server);
          expect(await client.call("add", { a: 1, b: 2 })).toBe(3);
        }),
      );

      test(
        "a method is a definition and a handler",
        staged(async (stage) => {
          const server = await stage.listen();
          server.rpc({ name: "math.add", params: AddParams, result: v.number() }, ({ a, b }) => a + b);
          const client = await stage.join(server);
          expect(await client.call("math.add", { a: 1, b: 2 })).toBe(3);
        }),
      );

      test(
        "a handler may be synchronous, asynchronous, or return any thenable",
        staged(async (stage) => {
          const server = await stage.listen();
          server.rpc("plain", () => "plain");
          server.rpc("async", async () => "async");
          server.rpc("thenable", () => ({
            // biome-ignore lint/suspicious/noThenProperty: a thenable is what is tested
            then: (resolve: (value: string) => void) => resolve("thenable"),
          }));
          const client = await stage.join(server);
          const results = await Promise.all(["plain", "async", "thenable"].map((name) => client.call(name)));
          expect(results).toEqual(["plain", "async", "thenable"]);
        }),
      );

      test(
        "missing parameters arrive as an empty map, a missing result as null",
        staged(async (stage) => {
          const server = await stage.listen();
          const heard = new EventLog<unknown>();
          server.rpc("nothing", (params) => heard.add(params));
          const client = await stage.join(server);
          expect(await client.call("nothing")).toBeNull();
          await client.call("nothing", { kept: null, dropped: undefined });
          expect(heard.all).toStrictEqual([{}, { kept: null }]);
        }),
      );

      test(
        "a name is registered once, until it is removed",
        staged(async (stage) => {
          const server = await stage.listen();
          const remove = server.rpc("which", () => "first");
          expect(thrownBy(() => server.rpc("which", () => "second")).code).toBe(ErrorCode.INVALID_STATE);
          const client = await stage.join(server);
          remove();
          remove();
          expect((await failureOf(client.call("which"))).code).toBe(ErrorCode.METHOD_NOT_FOUND);
          server.rpc("which", () => "second");
          remove();
          expect(await client.call("which")).toBe("second");
        }),
      );

      test(
        "listall cannot be registered",
        staged(async (stage) => {
          const server = stage.server();
          expect(thrownBy(() => server.rpc("listall", () => null)).code).toBe(ErrorCode.INVALID_STATE);
        }),
      );

      test(
        "an invalid schema is refused at registration",
        staged(async (stage) => {
          const server = stage.server();
          const params = { a: "number" } as unknown as typeof AddParams;
          expect(thrownBy(() => server.rpc("add", params, () => 0)).code).toBe(ErrorCode.INVALID_CONFIG);
          expect(thrownBy(() => server.rpc({ name: "add", params }, () => 0)).code).toBe(ErrorCode.INVALID_CONFIG);
        }),
      );

      test(
        "an unknown method is METHOD_NOT_FOUND, also when its name is a property of every object",
        staged(async (stage) => {
          const server = await stage.listen();
          const client = await stage.join(server);
          for (const name of ["nope", "", "constructor", "toString", "hasOwnProperty", "__proto__"]) {
            const failure = await failureOf(client.call(name));
            expect(failure).toBeInstanceOf(RpcError);
            expect(failure).toMatchObject({ code: 4000, message: `RPC method not found: ${name}` });
          }
        }),
      );
    });

    describe("discovery", () => {
      test(
        "listall lists names, descriptions, parameter types, result types and whether login is needed",
        staged(async (stage) => {
          const server = await stage.listen();
          server.rpc(
            {
              name: "users.list",
              description: "List users",
              params: v.object({ limit: v.optional(v.pipe(v.number(), v.integer()), 10), filter: v.string() }),
              result: v.array(v.string()),
            },
            () => [],
          );
          server.rpc(
            { name: "ping", params: z.object({ at: z.number(), tags: z.array(z.string()) }), requiresAuth: false },
            () => null,
          );
          server.rpc("bare", () => null);
          const client = await stage.join(server);
          const methods = [
            {
              name: "users.list",
              description: "List users",
              parameters: { limit: "int | None", filter: "str" },
              return_type: "list",
              requires_auth: true,
            },
            {
              name: "ping",
              description: "",
              parameters: { at: "float", tags: "list" },
              return_type: "Any",
              requires_auth: false,
            },
            { name: "bare", description: "", parameters: {}, return_type: "Any", requires_auth: true },
          ];
          expect(await client.call("listall")).toEqual({ methods, count: 3 });
          expect(await client.discover()).toEqual([
            {
              name: "users.list",
              description: "List users",
              parameters: { limit: "number | null", filter: "string" },
              returnType: "unknown[]",
              requiresAuth: true,
            },
            {
              name: "ping",
              description: "",
              parameters: { at: "number", tags: "unknown[]" },
              returnType: "unknown",
              requiresAuth: false,
            },
            { name: "bare", description: "", parameters: {}, returnType: "unknown", requiresAuth: true },
          ]);
        }),
      );

      test(
        "an RPC_LIST frame is answered with the methods",
        staged(async (stage) => {
          const server = await stage.listen();
          server.rpc("bare", () => null);
          const peer = await stage.rawLoggedIn(server);
          peer.write(frame(Type.RPC_LIST, undefined, { id: 9n }));
          const answer = await peer.next();
          expect(answer).toMatchObject({ type: Type.RPC_LIST, id: 9n, payload: { methods: [{ name: "bare" }] } });
        }),
      );
    });

    describe("results", () => {
      test(
        "the response helpers reach the caller as they are documented",
        staged(async (stage) => {
          const server = await stage.listen();
          server.rpc("plain", () => response({ id: 1 }));
          server.rpc("metadata", () => response([1], { took: 3 }));
          server.rpc("ok", () => response.ok());
          server.rpc("ok.message", () => response.ok({ message: "User deleted" }));
          server.rpc("ok.data", () => response.ok({ data: 7, message: "done" }));
          server.rpc("page", () => response.withPagination({ data: ["c"], total: 5, page: 2, pageSize: 2 }));
          const client = await stage.join(server);
          expect(await client.call("plain")).toEqual({ id: 1 });
          expect(await client.call("metadata")).toEqual({ success: true, data: [1], metadata: { took: 3 } });
          expect(await client.call("ok")).toEqual({ success: true });
          expect(await client.call("ok.message")).toEqual({ success: true, message: "User deleted" });
          expect(await client.call("ok.data")).toEqual({ success: true, data: 7, message: "done" });
          expect(await client.call("page")).toEqual({
            success: true,
            data: ["c"],
            pagination: { total: 5, page: 2, page_size: 2, total_pages: 3, has_next: true, has_prev: true },
          });
        }),
      );

      test(
        "a correlation id of 64 bits comes back unchanged",
        staged(async (stage) => {
          const server = await stage.listen();
          server.rpc("echo", (params) => params);
          const peer = await stage.rawLoggedIn(server);
          for (const id of [1n, 2n ** 32n, 2n ** 53n + 1n, 2n ** 64n - 1n]) {
            peer.write(call(id, "echo", { id: String(id) }));
            expect(await peer.next()).toMatchObject({
              type: Type.RPC_RESPONSE,
              id,
              payload: { success: true, result: { id: String(id) } },
            });
          }
        }),
      );

      test(
        "an unserializable result gives the caller an error and the connection lives",
        staged(async (stage) => {
          const server = await stage.listen();
          const errors = new EventLog<Error>();
          server.onError(errors.add);
          server.rpc("bad", () => ({ user: { save: () => {} } }));
          server.rpc("good", () => "good");
          const client = await stage.join(server);
          const failure = await failureOf(client.call("bad"));
          expect(failure).toMatchObject({ code: ErrorCode.INTERNAL, message: "Internal server error" });
          expect(await client.call("good")).toBe("good");
          const reported = await errors.next();
          expect(reported).toMatchObject({ code: ErrorCode.UNSERIALIZABLE });
          expect(reported.message).toContain("result.user.save");
        }),
      );

      test(
        "a result over maxMessageBytes gives the caller MESSAGE_TOO_LARGE and the connection lives",
        staged(async (stage) => {
          const server = await stage.listen({ maxMessageBytes: 2048 });
          server.rpc("large", () => "x".repeat(4096));
          server.rpc("small", () => "x");
          const client = await stage.join(server);
          expect((await failureOf(client.call("large"))).code).toBe(ErrorCode.MESSAGE_TOO_LARGE);
          expect(await client.call("small")).toBe("x");
        }),
      );

      test(
        "what is over the other side's maxMessageBytes is refused where it is sent, and the connection lives",
        staged(async (stage) => {
          const server = await stage.listen({ maxMessageBytes: 2048 });
          server.rpc("length", ({ text }: { text?: string }) => text?.length ?? 0);
          const client = await stage.join(server, { maxMessageBytes: 1_000_000 });
          const failure = await failureOf(client.call("length", { text: "x".repeat(4096) }));
          expect(failure).toMatchObject({ code: ErrorCode.MESSAGE_TOO_LARGE, details: { limit: 2048 } });
          expect(failure.message).toContain("Cannot send 'length'");
          expect(await client.call("length", { text: "xyz" })).toBe(3);
        }),
      );

      test(
        "callNoWait runs the handler and brings no answer, not even an error",
        staged(async (stage) => {
          const server = await stage.listen();
          const heard = new EventLog<unknown>();
          server.rpc("note", (params) => heard.add(params));
          server.rpc("last", () => "last");
          const client = await stage.join(server);
          expect(client.callNoWait("note", { n: 1 })).toBe(true);
          expect(client.health().pendingCalls).toBe(0);
          expect(await heard.next()).toEqual({ n: 1 });

          const peer = await stage.rawLoggedIn(server);
          peer.write(call(0n, "note", { n: 2 }), call(0n, "nope"), call(5n, "last"));
          expect(await peer.next()).toMatchObject({ id: 5n, payload: { result: "last" } });
          expect(await heard.next()).toEqual({ n: 2 });
        }),
      );
    });

    describe("concurrency", () => {
      test(
        "a slow call delays no other call of its connection",
        staged(async (stage) => {
          const server = await stage.listen();
          const slow = gate<string>();
          server.rpc("slow", () => slow.promise);
          server.rpc("fast", async () => "fast");
          const client = await stage.join(server);
          const waiting = client.call("slow");
          expect(await client.call("fast")).toBe("fast");
          slow.open("slow");
          expect(await waiting).toBe("slow");
        }),
      );

      test(
        "a handler may call back and await the answer without deadlock",
        staged(async (stage) => {
          const server = await stage.listen();
          server.rpc("outer", async (_params, { client }) => `outer(${await client.call<string>("middle")})`);
          server.rpc("inner", () => "inner");
          const client = await stage.join(server, { handlerConcurrency: 1 });
          client.rpc("middle", async () => `middle(${await client.call<string>("inner")})`);
          expect(await client.call("outer")).toBe("outer(middle(inner))");
        }),
      );

      test(
        "a message handler may request from the peer that sent the message without deadlock",
        staged(async (stage) => {
          const server = await stage.listen();
          server.on("start", async (client) => `got ${await client.request<string>("question")}`);
          const client = await stage.join(server);
          client.on("question", () => "answer");
          expect(await client.request("start")).toBe("got answer");
        }),
      );

      test(
        "the methods of a client answer like a server's: schema, result, errors, unknown names",
        staged(async (stage) => {
          const server = await stage.listen();
          const client = await stage.join(server);
          client.rpc("add", AddParams, ({ a, b }) => a + b);
          client.rpc("fail", () => error.permissionDenied("fail"));
          client.rpc("break", () => {
            throw new Error("broken");
          });
          const connection = server.connections[0]!;
          expect(await connection.call("add", { a: 1, b: 2 })).toBe(3);
          expect((await failureOf(connection.call("add", { a: 1 }))).code).toBe(ErrorCode.MISSING_FIELD);
          expect((await failureOf(connection.call("fail"))).code).toBe(ErrorCode.PERMISSION_DENIED);
          expect((await failureOf(connection.call("break"))).code).toBe(ErrorCode.INTERNAL);
          expect((await failureOf(connection.call("nope"))).code).toBe(ErrorCode.METHOD_NOT_FOUND);
        }),
      );

      test(
        "handlerConcurrency bounds the handlers of one connection, and no other connection waits for them",
        staged(async (stage) => {
          const server = await stage.listen({ handlerConcurrency: 3 });
          const started = new EventLog<number>();
          const gates = Array.from({ length: 5 }, () => gate());
          server.rpc("work", v.object({ n: v.number() }), async ({ n }) => {
            started.add(n);
            await gates[n]?.promise;
            return n;
          });
          const busy = await stage.join(server);
          const results = gates.map((_gate, n) => busy.call("work", { n }));
          await started.count(3);
          const other = await stage.join(server);
          expect(await other.call("work", { n: 9 })).toBe(9);
          expect(started.all).toEqual([0, 1, 2, 9]);
          gates[1]?.open();
          await started.count(5);
          expect(started.all).toEqual([0, 1, 2, 9, 3]);
          for (const { open } of gates) open();
          expect(await Promise.all(results)).toEqual([0, 1, 2, 3, 4]);
        }),
      );

      test(
        "a thousand calls at once each get their own answer, whatever the order of the answers",
        staged(async (stage) => {
          const server = await stage.listen();
          const held: (() => void)[] = [];
          server.rpc("echo", v.object({ n: v.number() }), ({ n }) =>
            n % 4 === 0 ? new Promise((resolve) => held.push(() => resolve(n))) : n,
          );
          server.rpc("release", () => {
            for (const release of held.splice(0).reverse()) release();
          });
          const client = await stage.join(server);
          const numbers = Array.from({ length: 1000 }, (_, n) => n);
          const answers = numbers.map((n) => client.call("echo", { n }));
          await client.call("release");
          expect(await Promise.all(answers)).toEqual(numbers);
        }),
      );
    });
  });
}
