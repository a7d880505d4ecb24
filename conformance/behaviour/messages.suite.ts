import { ErrorCode, error, RpcError } from "@netconduit/core";
import * as v from "valibot";
import { describe, expect, test } from "vitest";
import { z } from "zod";
import { failureOf, gate, Heard, thrownBy } from "./heard.ts";
import { call, message, Type } from "./raw-peer.ts";
import { connectionOf, stagedOn } from "./stage.ts";
import type { Subject } from "./subject.ts";

/** Messages: handlers, replies in both forms, order, unknown types. */
export function describeMessages(subject: Subject): void {
  const staged = stagedOn(subject);

  describe(`messages on ${subject.name}`, () => {
    describe("handlers", () => {
      test(
        "a handler gets the sender and the data",
        staged(async (stage) => {
          const server = await stage.listen();
          const heard = new Heard<{ from: string; data: unknown }>();
          server.on("chat", (client, data) => heard.add({ from: client.id, data }));
          const client = await stage.join(server);
          client.send("chat", { text: "hello" });
          const from = connectionOf(server, client).id;
          expect(await heard.next()).toEqual({ from, data: { text: "hello" } });
        }),
      );

      test(
        "data may be any value, and null when there is none",
        staged(async (stage) => {
          const server = await stage.listen();
          const heard = new Heard<unknown>();
          server.on("any", (_client, data) => heard.add(data));
          const client = await stage.join(server);
          const values = [1, "text", true, [1, 2], { a: 1 }, null, Uint8Array.of(1), new Date(5), 2n ** 60n];
          for (const value of values) client.send("any", value);
          client.send("any");
          expect(await heard.count(10)).toEqual([...values, null]);
        }),
      );

      test(
        "one handler may take several types",
        staged(async (stage) => {
          const server = await stage.listen();
          const heard = new Heard<string>();
          const remove = server.on(["move", "attack"], (_client, _data, { method }) => heard.add(method));
          const client = await stage.join(server);
          client.send("attack");
          client.send("move");
          expect(await heard.count(2)).toEqual(["attack", "move"]);
          remove();
          expect((await failureOf(client.request("move"))).code).toBe(ErrorCode.NO_HANDLER);
          expect((await failureOf(client.request("attack"))).code).toBe(ErrorCode.NO_HANDLER);
        }),
      );

      test(
        "several handlers of one type all run, in the order of their registration",
        staged(async (stage) => {
          const server = await stage.listen();
          const heard = new Heard<string>();
          server.on("chat", async () => heard.add("first"));
          server.on("chat", () => heard.add("second"));
          server.on("chat", async () => heard.add("third"));
          const client = await stage.join(server);
          client.send("chat");
          expect(await heard.count(3)).toEqual(["first", "second", "third"]);
        }),
      );

      test(
        "of several handlers the last one that returns something gives the reply",
        staged(async (stage) => {
          const server = await stage.listen();
          server.on("chat", () => "first");
          server.on("chat", async () => "second");
          server.on("chat", () => undefined);
          const client = await stage.join(server);
          expect(await client.request("chat")).toBe("second");
        }),
      );

      test(
        "of several handlers one that fails does not stop the others",
        staged(async (stage) => {
          const server = await stage.listen();
          const errors = new Heard<Error>();
          server.onError(errors.add);
          server.on("chat", () => {
            throw new Error("broken");
          });
          server.on("chat", () => "fine");
          const client = await stage.join(server);
          expect(await client.request("chat")).toBe("fine");
          expect(errors.all.map(({ message }) => message)).toEqual(["broken"]);
        }),
      );

      test(
        "a removed handler hears nothing more, and removing it again changes nothing",
        staged(async (stage) => {
          const server = await stage.listen();
          const heard = new Heard<string>();
          const remove = server.on("chat", () => heard.add("removed"));
          server.on("chat", () => heard.add("kept"));
          const client = await stage.join(server);
          remove();
          remove();
          await client.request("chat");
          expect(heard.all).toEqual(["kept"]);
        }),
      );

      test(
        "a type that is a property of every object has no handler",
        staged(async (stage) => {
          const server = await stage.listen();
          const client = await stage.join(server);
          for (const type of ["constructor", "toString", "hasOwnProperty"]) {
            expect((await failureOf(client.request(type))).code).toBe(ErrorCode.NO_HANDLER);
          }
        }),
      );
    });

    describe("unknown types", () => {
      test(
        "onUnknown hears of them, with sender, type and data; a request is answered NO_HANDLER",
        staged(async (stage) => {
          const server = await stage.listen();
          const heard = new Heard<unknown>();
          server.onUnknown((client, type, data) => heard.add([client.id, type, data]));
          const client = await stage.join(server);
          const failure = await failureOf(client.request("nope", { a: 1 }));
          expect(failure).toBeInstanceOf(RpcError);
          expect(failure).toMatchObject({ code: 4011, message: "No handler for message type 'nope'" });
          expect(await heard.next()).toEqual([connectionOf(server, client).id, "nope", { a: 1 }]);
        }),
      );

      test(
        "an onUnknown hook can be removed, and one that fails is reported",
        staged(async (stage) => {
          const server = await stage.listen();
          const errors = new Heard<{ message: string; name: string | undefined; stage: string }>();
          server.onError(({ message }, { name, stage }) => errors.add({ message, name, stage }));
          const removed = new Heard<string>();
          server.onUnknown((_client, type) => removed.add(type))();
          server.onUnknown(async () => {
            throw new Error("broken hook");
          });
          const client = await stage.join(server);
          client.send("nope");
          expect(await errors.next()).toEqual({ message: "broken hook", name: "onUnknown", stage: "hook" });
          expect(removed.all).toEqual([]);
        }),
      );
    });

    describe("replies", () => {
      test(
        "a request resolves with what its handler returns, and with null when that is nothing",
        staged(async (stage) => {
          const server = await stage.listen();
          server.on("identify", (client) => ({ id: client.id, authenticated: client.isAuthenticated }));
          server.on("silent", () => {});
          const client = await stage.join(server);
          const { id } = connectionOf(server, client);
          expect(await client.request("identify")).toEqual({ id, authenticated: true });
          expect(await client.request("silent")).toBeNull();
        }),
      );

      test(
        "requests of one type at once each get their own reply",
        staged(async (stage) => {
          const server = await stage.listen();
          const first = gate();
          server.on("echo", async (_client, data) => {
            if (data === 0) await first.promise;
            return data;
          });
          const client = await stage.join(server);
          const slow = client.request("echo", 0);
          expect(await Promise.all([1, 2, 3].map((n) => client.request("echo", n)))).toEqual([1, 2, 3]);
          first.open();
          expect(await slow).toBe(0);
        }),
      );

      test(
        "a plain send is replied to by a message of type <type>_response",
        staged(async (stage) => {
          const server = await stage.listen();
          server.on("ping", (_client, data) => ({ pong: data }));
          const client = await stage.join(server);
          const heard = new Heard<unknown>();
          client.on("ping_response", heard.add);
          client.send("ping", 7);
          expect(await heard.next()).toEqual({ pong: 7 });
        }),
      );

      test(
        "a plain send whose handler returns nothing brings nothing back",
        staged(async (stage) => {
          const server = await stage.listen();
          server.on("silent", () => {});
          server.on("null", async () => null);
          server.rpc("last", () => "last");
          const peer = await stage.rawLoggedIn(server);
          peer.write(message("silent", 1), message("null", 1), call(3n, "last"));
          expect(await peer.next()).toMatchObject({ type: Type.RPC_RESPONSE, id: 3n });
        }),
      );

      test(
        "a peer without extensions gets its reply as a message, whatever correlation id it sent",
        staged(async (stage) => {
          const server = await stage.listen();
          server.on("ping", () => "pong");
          const peer = await stage.raw(server);
          await peer.login({ extensions: {} });
          peer.write(message("ping", 1, 77n));
          expect(await peer.next()).toMatchObject({
            type: Type.MESSAGE,
            id: 0n,
            payload: { type: "ping_response", data: "pong" },
          });
        }),
      );

      test(
        "an error, returned or thrown, rejects the request with its code, message and details",
        staged(async (stage) => {
          const server = await stage.listen();
          server.on("returned", () => error("No", { code: 403, details: { why: "because" } }));
          server.on("thrown", async () => {
            throw error("No", { code: 403, details: { why: "because" } });
          });
          const client = await stage.join(server);
          for (const type of ["returned", "thrown"]) {
            const failure = await failureOf(client.request(type));
            expect(failure).toBeInstanceOf(RpcError);
            expect(failure).toMatchObject({ code: 403, message: "No", details: { why: "because" } });
          }
        }),
      );

      test(
        "an error of a handler answers a plain send in netconduit's form",
        staged(async (stage) => {
          const server = await stage.listen();
          server.on("chat", () => error("No", { code: 403, details: { why: "because" } }));
          const client = await stage.join(server);
          const heard = new Heard<unknown>();
          client.on("chat_response", heard.add);
          client.send("chat");
          expect(await heard.next()).toEqual({ success: false, error: "No", code: 403, details: { why: "because" } });
        }),
      );

      test(
        "the text of a message handler's exception stays on the server",
        staged(async (stage) => {
          const server = await stage.listen();
          const errors = new Heard<{ text: string; stage: string; name: string | undefined }>();
          server.onError(({ message }, { stage, name }) => errors.add({ text: message, stage, name }));
          server.on("chat", () => {
            throw new Error("the secret");
          });
          const client = await stage.join(server);
          const failure = await failureOf(client.request("chat"));
          expect(failure).toMatchObject({ code: ErrorCode.INTERNAL, message: "Internal server error" });
          expect(await errors.next()).toEqual({ text: "the secret", stage: "message", name: "chat" });
        }),
      );

      test(
        "an unserialisable reply gives the requester an error and the connection lives",
        staged(async (stage) => {
          const server = await stage.listen();
          const cycle: { self?: unknown } = {};
          cycle.self = cycle;
          server.on("bad", () => cycle);
          server.on("good", () => "good");
          const client = await stage.join(server);
          expect((await failureOf(client.request("bad"))).code).toBe(ErrorCode.INTERNAL);
          client.send("bad");
          expect(await client.request("good")).toBe("good");
        }),
      );

      test(
        "a server requests from its client just so",
        staged(async (stage) => {
          const server = await stage.listen();
          const client = await stage.join(server);
          client.on("where", (data) => ({ asked: data, x: 1 }));
          client.on("fail", () => error.notFound("Position"));
          const connection = connectionOf(server, client);
          expect(await connection.request("where", "now")).toEqual({ asked: "now", x: 1 });
          expect((await failureOf(connection.request("fail"))).code).toBe(ErrorCode.NOT_FOUND);
          expect((await failureOf(connection.request("nope"))).code).toBe(ErrorCode.NO_HANDLER);
        }),
      );

      test(
        "connection.send reaches that client alone",
        staged(async (stage) => {
          const server = await stage.listen();
          const [ada, bob] = [await stage.join(server), await stage.join(server)];
          const heard = new Heard<string>();
          ada.on("private", (data) => heard.add(`ada: ${String(data)}`));
          bob.on("private", (data) => heard.add(`bob: ${String(data)}`));
          expect(connectionOf(server, bob).send("private", "psst")).toBe(true);
          server.broadcast("private", "all");
          expect([...(await heard.count(3))].sort()).toEqual(["ada: all", "bob: all", "bob: psst"]);
        }),
      );
    });

    describe("schemas", () => {
      for (const [library, schema] of [
        ["valibot", v.object({ x: v.number(), y: v.optional(v.number(), 0) })],
        ["zod", z.object({ x: z.number(), y: z.number().default(0) })],
      ] as const) {
        test(
          `${library}: the handler gets the schema's output, and wrong data never`,
          staged(async (stage) => {
            const server = await stage.listen();
            const heard = new Heard<unknown>();
            server.on(["move", "jump"], schema, (_client, data) => {
              heard.add(data);
              return data.x + data.y;
            });
            const client = await stage.join(server);
            expect(await client.request("move", { x: 1 })).toBe(1);
            const failure = await failureOf(client.request("jump", { x: "1" }));
            expect(failure).toMatchObject({
              code: ErrorCode.INVALID_TYPE,
              message: "Validation error in message jump",
              details: { errors: [{ field: "x", code: ErrorCode.INVALID_TYPE }] },
            });
            expect(heard.all).toEqual([{ x: 1, y: 0 }]);
          }),
        );
      }

      test(
        "a requester may check the reply with a schema of its own",
        staged(async (stage) => {
          const server = await stage.listen();
          server.on("now", () => 5);
          const client = await stage.join(server);
          expect(await client.request("now", null, { result: z.number().transform((n) => n * 2) })).toBe(10);
          const failure = await failureOf(client.request("now", null, { result: z.string() }));
          expect(failure.code).toBe(ErrorCode.INVALID_TYPE);
        }),
      );

      test(
        "wrong data of a plain send is reported to onError and answered in netconduit's form",
        staged(async (stage) => {
          const server = await stage.listen();
          const errors = new Heard<{ code: unknown; stage: string }>();
          server.onError((error, { stage }) => errors.add({ code: (error as RpcError).code, stage }));
          server.on("move", v.object({ x: v.number() }), () => "moved");
          const client = await stage.join(server);
          const heard = new Heard<unknown>();
          client.on("move_response", heard.add);
          client.send("move", {});
          expect(await heard.next()).toMatchObject({ success: false, code: ErrorCode.MISSING_FIELD });
          expect(await errors.next()).toEqual({ code: ErrorCode.MISSING_FIELD, stage: "message" });
        }),
      );
    });

    describe("order", () => {
      test(
        "messages of one connection start in order, whatever their handlers do",
        staged(async (stage) => {
          const server = await stage.listen({ handlerConcurrency: 4 });
          const started: number[] = [];
          const done = new Heard<number>();
          server.on(["a", "b"], async (_client, data) => {
            started.push(data as number);
            for (let turns = (data as number) % 7; turns > 0; turns--) await Promise.resolve();
            if ((data as number) % 5 === 0) await new Promise((resolve) => setImmediate(resolve));
            done.add(data as number);
          });
          server.on("c", (_client, data) => {
            started.push(data as number);
            done.add(data as number);
          });
          const client = await stage.join(server);
          const numbers = Array.from({ length: 500 }, (_, n) => n);
          for (const n of numbers) client.send(["a", "b", "c"][n % 3] as string, n);
          await done.count(500);
          expect(started).toEqual(numbers);
        }),
      );

      test(
        "messages and calls of one connection start in the order in which they were sent",
        staged(async (stage) => {
          const server = await stage.listen({ handlerConcurrency: 2 });
          const started: number[] = [];
          const work = async (n: number): Promise<void> => {
            started.push(n);
            await new Promise((resolve) => setImmediate(resolve));
          };
          server.on("message", (_client, data) => work(data as number));
          server.rpc("call", ({ n }) => work(n as number));
          const client = await stage.join(server);
          const calls: Promise<unknown>[] = [];
          for (let n = 0; n < 100; n += 2) {
            client.send("message", n);
            calls.push(client.call("call", { n: n + 1 }));
          }
          await Promise.all(calls);
          expect(started).toEqual(Array.from({ length: 100 }, (_, n) => n));
        }),
      );

      test(
        "messages of a server reach its client in order, broadcasts among them",
        staged(async (stage) => {
          const server = await stage.listen();
          const client = await stage.join(server);
          const heard = new Heard<unknown>();
          client.on("n", heard.add);
          const connection = connectionOf(server, client);
          for (let n = 0; n < 300; n += 2) {
            connection.send("n", n);
            server.broadcast("n", n + 1);
          }
          expect(await heard.count(300)).toEqual(Array.from({ length: 300 }, (_, n) => n));
        }),
      );
    });

    describe("what cannot be sent", () => {
      test(
        "a value that MessagePack cannot carry throws with the path in the value, and nothing is sent",
        staged(async (stage) => {
          const server = await stage.listen();
          const heard = new Heard<unknown>();
          server.on("chat", (_client, data) => heard.add(data));
          const client = await stage.join(server);
          const failure = thrownBy(() => client.send("chat", { users: [{ save: () => {} }] }));
          expect(failure.code).toBe(ErrorCode.UNSERIALIZABLE);
          expect(failure.message).toContain("data.users[0].save");
          const called = await failureOf(client.call("any", { map: new Map([[1, 2]]) }));
          expect(called.code).toBe(ErrorCode.UNSERIALIZABLE);
          expect(client.health().pendingCalls).toBe(0);
          client.send("chat", "next");
          expect(await heard.next()).toBe("next");
        }),
      );

      test(
        "a message over maxMessageBytes throws MESSAGE_TOO_LARGE with both numbers before anything is sent",
        staged(async (stage) => {
          const server = await stage.listen();
          server.on("chat", () => "got it");
          const client = await stage.join(server, { maxMessageBytes: 1024 });
          const failure = thrownBy(() => client.send("chat", "x".repeat(2000)));
          expect(failure).toMatchObject({ code: ErrorCode.MESSAGE_TOO_LARGE, details: { limit: 1024 } });
          expect(await client.request("chat", "x")).toBe("got it");
        }),
      );

      test(
        "sending on a closed connection throws CONNECTION_CLOSED on either side",
        staged(async (stage) => {
          const server = await stage.listen();
          const client = await stage.join(server);
          const connection = connectionOf(server, client);
          await client.disconnect();
          expect(thrownBy(() => client.send("chat")).code).toBe(ErrorCode.CONNECTION_CLOSED);
          expect(thrownBy(() => client.callNoWait("any")).code).toBe(ErrorCode.CONNECTION_CLOSED);
          expect((await failureOf(client.call("any"))).code).toBe(ErrorCode.CONNECTION_CLOSED);
          expect(thrownBy(() => connection.send("chat")).code).toBe(ErrorCode.CONNECTION_CLOSED);
          expect((await failureOf(connection.call("any"))).code).toBe(ErrorCode.CONNECTION_CLOSED);
        }),
      );
    });
  });
}
