import { ErrorCode, RpcError } from "@netconduit/core";
import { describe, expect, test } from "vitest";
import { EventLog } from "../../packages/core/src/testing/event-log.ts";
import { failureOf, thrownBy } from "../support/failures.ts";
import type { Subject } from "../support/subject.ts";
import { turn } from "../support/turns.ts";
import { connectionOf, PATIENT, stagedOn } from "./stage.ts";

/** Messages: handlers, unknown types, order, unsendable data. */
export function describeMessages(subject: Subject): void {
  const staged = stagedOn(subject);

  describe(`messages on ${subject.name}`, PATIENT, () => {
    describe("handlers", () => {
      test(
        "a handler gets the sender and the data",
        staged(async (stage) => {
          const server = await stage.listen();
          const heard = new EventLog<{ from: string; data: unknown }>();
          server.on("chat", (client, data) => heard.add({ from: client.id, data }));
          const client = await stage.join(server);
          client.send("chat", { text: "hello" });
          const from = connectionOf(server, client).id;
          expect(await heard.next()).toEqual({ from, data: { text: "hello" } });
        }),
      );

      test(
        "large binary data stays as it was received while more large messages arrive",
        staged(async (stage) => {
          const size = 1024 * 1024;
          const server = await stage.listen();
          server.rpc("bytes", ({ fill }) => new Uint8Array(size).fill(fill as number));
          server.rpc("text", ({ fill }) => String(fill).repeat(size));
          const client = await stage.join(server);
          const kept: Uint8Array[] = [];
          for (let fill = 0; fill < 8; fill++) {
            expect(await client.call("text", { fill })).toBe(String(fill).repeat(size));
            kept.push(await client.call<Uint8Array>("bytes", { fill }));
          }
          expect(kept.map((bytes, fill) => bytes.every((byte) => byte === fill))).toEqual(new Array(8).fill(true));
        }),
      );

      test(
        "data may be any value, and null when there is none",
        staged(async (stage) => {
          const server = await stage.listen();
          const heard = new EventLog<unknown>();
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
          const heard = new EventLog<string>();
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
          const heard = new EventLog<string>();
          server.on("chat", async () => heard.add("first"));
          server.on("chat", () => heard.add("second"));
          server.on("chat", async () => heard.add("third"));
          const client = await stage.join(server);
          client.send("chat");
          expect(await heard.count(3)).toEqual(["first", "second", "third"]);
        }),
      );

      test(
        "the reply comes from the last handler that returns something",
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
        "a handler that fails does not stop the others",
        staged(async (stage) => {
          const server = await stage.listen();
          const errors = new EventLog<Error>();
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
        "a removed handler receives nothing more, and removing it again changes nothing",
        staged(async (stage) => {
          const server = await stage.listen();
          const heard = new EventLog<string>();
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
        "onUnknown is notified of them with sender, type and data; a request is answered NO_HANDLER",
        staged(async (stage) => {
          const server = await stage.listen();
          const heard = new EventLog<unknown>();
          server.onUnknown((client, type, data) => heard.add([client.id, type, data]));
          const client = await stage.join(server);
          const failure = await failureOf(client.request("nope", { a: 1 }));
          expect(failure).toBeInstanceOf(RpcError);
          expect(failure).toMatchObject({ code: 4011, message: "No handler for message type 'nope'" });
          expect(await heard.next()).toEqual([connectionOf(server, client).id, "nope", { a: 1 }]);
        }),
      );

      test(
        "onUnknown of a client is notified of its server's messages",
        staged(async (stage) => {
          const server = await stage.listen();
          const client = await stage.join(server);
          const heard = new EventLog<unknown>();
          client.onUnknown((_client, type, data) => heard.add([type, data]));
          connectionOf(server, client).send("nope", 3);
          expect(await heard.next()).toEqual(["nope", 3]);
        }),
      );

      test(
        "an onUnknown hook can be removed, and one that fails is reported",
        staged(async (stage) => {
          const server = await stage.listen();
          const errors = new EventLog<{ message: string; name: string | undefined; stage: string }>();
          server.onError(({ message }, { name, stage }) => errors.add({ message, name, stage }));
          const removed = new EventLog<string>();
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

    describe("order", () => {
      test(
        "messages of one connection start in order, whatever their handlers do",
        staged(async (stage) => {
          const server = await stage.listen({ handlerConcurrency: 4 });
          const started: number[] = [];
          const done = new EventLog<number>();
          server.on(["a", "b"], async (_client, data) => {
            started.push(data as number);
            for (let turns = (data as number) % 7; turns > 0; turns--) await Promise.resolve();
            if ((data as number) % 5 === 0) await turn();
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
            await turn();
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
          const heard = new EventLog<unknown>();
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

    describe("data that cannot be sent", () => {
      test(
        "a value that MessagePack cannot carry throws with the path in the value, and nothing is sent",
        staged(async (stage) => {
          const server = await stage.listen();
          const heard = new EventLog<unknown>();
          server.on("chat", (_client, data) => heard.add(data));
          const client = await stage.join(server);
          const failure = thrownBy(() => client.send("chat", { users: [{ save: () => {} }] }));
          expect(failure.code).toBe(ErrorCode.UNSERIALIZABLE);
          expect(failure.message).toContain("data.users[0].save");
          const called = await failureOf(client.call("any", { map: new Map([[1, 2]]) }));
          expect(called.code).toBe(ErrorCode.UNSERIALIZABLE);
          expect(client.health().pendingCalls).toBe(0);
          const connection = connectionOf(server, client);
          expect(thrownBy(() => connection.send("chat", { at: Symbol("no") }))).toMatchObject({
            code: ErrorCode.UNSERIALIZABLE,
            message: expect.stringContaining("data.at"),
          });
          client.send("chat", "next");
          expect(await heard.next()).toBe("next");
        }),
      );

      test(
        "a message over maxMessageBytes throws MESSAGE_TOO_LARGE with both numbers before anything is sent",
        staged(async (stage) => {
          const server = await stage.listen({ maxMessageBytes: 1024 });
          server.on("chat", () => "got it");
          const client = await stage.join(server, { maxMessageBytes: 1024 });
          for (const end of [client, connectionOf(server, client)]) {
            const failure = thrownBy(() => end.send("chat", "x".repeat(2000)));
            expect(failure).toMatchObject({ code: ErrorCode.MESSAGE_TOO_LARGE, details: { limit: 1024 } });
            for (const asked of [end.call("chat", { text: "x".repeat(2000) }), end.request("chat", "x".repeat(2000))]) {
              expect((await failureOf(asked)).code).toBe(ErrorCode.MESSAGE_TOO_LARGE);
            }
          }
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
