import { ErrorCode } from "@netconduit/core";
import { describe, expect, test } from "vitest";
import { gate } from "../../packages/core/src/test-support/gate.ts";
import { EventLog } from "../../packages/core/src/testing/event-log.ts";
import { call, frame, message, Type } from "../../packages/core/src/testing/raw-frames.ts";
import { failureOf, thrownBy } from "../support/failures.ts";
import { SteppedClock } from "../support/stepped-clock.ts";
import type { Subject } from "../support/subject.ts";
import { turn, until } from "../support/turns.ts";
import { connectionOf, PATIENT, stagedOn } from "./stage.ts";

function abortable(): { readonly signal: AbortSignal; abort(): void } {
  const controller = new AbortController();
  return { signal: controller.signal, abort: () => controller.abort() };
}

/** Flow control: bounded queues in both directions, credit, PAUSE and RESUME. */
export function describeFlow(subject: Subject): void {
  const staged = stagedOn(subject);

  describe(`flow control on ${subject.name}`, PATIENT, () => {
    test(
      "send returns whether there is room, drained() resolves when there is, and a full queue refuses",
      staged(async (stage) => {
        const server = await stage.listen({ sendQueueSize: 10 });
        const peer = await stage.rawLoggedIn(server);
        const connection = server.connections[0]!;
        peer.write(frame(Type.PAUSE));
        await until(() => connection.state === "paused");
        const room = Array.from({ length: 10 }, (_, n) => connection.send("n", n));
        expect(room).toEqual([true, true, true, true, true, true, true, false, false, false]);
        expect(thrownBy(() => connection.send("n", 10))).toMatchObject({
          code: ErrorCode.SEND_QUEUE_FULL,
          message: expect.stringContaining("(sendQueueSize 10"),
        });
        expect((await failureOf(connection.call("any"))).code).toBe(ErrorCode.SEND_QUEUE_FULL);
        const drained = connection.drained();
        peer.write(frame(Type.RESUME));
        await drained;
        expect(connection.send("n", "last")).toBe(true);
        const numbers: unknown[] = [];
        while (numbers.at(-1) !== "last") {
          numbers.push(((await peer.next(Type.MESSAGE)).payload as { data: unknown }).data);
        }
        expect(numbers).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, "last"]);
      }),
    );

    test(
      "of 2,000 calls at once that are all cancelled, each handler that runs is notified, and nothing is stuck",
      staged(async (stage) => {
        const server = await stage.listen();
        const running = new Set<AbortSignal>();
        let started = 0;
        server.rpc("wait", async (_params, { signal }) => {
          started++;
          running.add(signal);
          await new Promise((resolve) => signal.addEventListener("abort", resolve));
          running.delete(signal);
        });
        server.rpc("ping", () => "pong");
        const client = await stage.join(server);
        const { signal, abort } = abortable();
        const calls = Array.from({ length: 2000 }, () => failureOf(client.call("wait", {}, { signal })));
        await until(() => running.size === 256);
        abort();
        const codes = new Set((await Promise.all(calls)).map(({ code }) => code));
        expect([...codes]).toEqual([ErrorCode.CANCELLED]);
        await until(() => running.size === 0);
        expect(await client.call("ping")).toBe("pong");
        expect([client.state, connectionOf(server, client).state]).toEqual(["active", "active"]);
        expect(started).toBeLessThan(2000);
        await client.disconnect();
        await server.stop();
      }),
    );

    test(
      "a sender that waits for room is never refused, however large its messages",
      staged(async (stage) => {
        const maxMessageBytes = 64 * 1024;
        const server = await stage.listen({ maxMessageBytes, sendQueueBytes: maxMessageBytes + 1024 });
        const peer = await stage.rawLoggedIn(server);
        const connection = server.connections[0]!;
        peer.write(frame(Type.PAUSE));
        await until(() => connection.state === "paused");
        // Small messages to just below the mark, then the largest possible message.
        while (connection.bufferedBytes < 50_000) expect(connection.send("small", "x".repeat(1000))).toBe(true);
        expect(connection.send("large", "x".repeat(65_000))).toBe(false);
        expect(thrownBy(() => connection.send("small", "x")).code).toBe(ErrorCode.SEND_QUEUE_FULL);
        peer.write(frame(Type.RESUME));
        await connection.drained();
      }),
    );

    test(
      "drained() resolves at once while there is room, and rejects when the connection ends",
      staged(async (stage) => {
        const server = await stage.listen({ sendQueueSize: 1 });
        const peer = await stage.rawLoggedIn(server);
        const connection = server.connections[0]!;
        await connection.drained();
        peer.write(frame(Type.PAUSE));
        await until(() => connection.state === "paused");
        expect(connection.send("n")).toBe(false);
        const drained = failureOf(connection.drained());
        peer.reset();
        expect((await drained).code).toBe(ErrorCode.CONNECTION_CLOSED);
        expect((await failureOf(connection.drained())).code).toBe(ErrorCode.CONNECTION_CLOSED);
      }),
    );

    test(
      "PAUSE holds back messages and calls, and not replies",
      staged(async (stage) => {
        const server = await stage.listen();
        server.rpc("ping", () => "pong");
        const peer = await stage.rawLoggedIn(server);
        const connection = server.connections[0]!;
        peer.write(frame(Type.PAUSE));
        await until(() => connection.state === "paused");
        connection.send("news", 1);
        const called = connection.call("ask");
        peer.write(call(1n, "ping"));
        expect(await peer.next()).toMatchObject({ type: Type.RPC_RESPONSE, id: 1n });
        peer.write(frame(Type.RESUME));
        expect((await peer.next()).payload).toEqual({ type: "news", data: 1 });
        const asked = await peer.next();
        expect(asked.payload).toMatchObject({ method: "ask" });
        peer.write(frame(Type.RPC_RESPONSE, { success: true, result: "told" }, { id: asked.id }));
        expect(await called).toBe("told");
      }),
    );

    test(
      "a server whose handlers lag reads on, and returns credit when they have caught up",
      staged(async (stage) => {
        const server = await stage.listen({ handlerConcurrency: 1, receiveQueueSize: 10 });
        const go = gate();
        server.on("work", () => go.promise);
        server.rpc("last", () => "last");
        const credit = { frames: 1000, bytes: 16 * 1024 * 1024 };
        const peer = await stage.rawLoggedIn(server, { extensions: { close: true, credit } });
        for (let n = 0; n < 10; n++) peer.write(message("work", n));
        peer.write(frame(Type.HEARTBEAT_PING));
        expect((await peer.next()).type).toBe(Type.HEARTBEAT_PONG);
        expect(server.connections[0]?.state).toBe("active");
        go.open();
        const returned = await peer.next();
        expect([returned.type, returned.payload]).toMatchObject([Type.CREDIT, { frames: 5 }]);
      }),
    );

    test(
      "a peer that sends more than its credit is cut",
      staged(async (stage) => {
        const server = await stage.listen({ handlerConcurrency: 1, receiveQueueSize: 10 });
        server.on("work", () => gate().promise);
        const credit = { frames: 1000, bytes: 16 * 1024 * 1024 };
        const peer = await stage.rawLoggedIn(server, { extensions: { close: true, credit } });
        for (let n = 0; n < 20; n++) peer.write(message("work", n));
        expect((await peer.next(Type.CLOSE)).payload).toMatchObject({ code: ErrorCode.FLOW_CONTROL_ERROR });
      }),
    );

    for (const [options, count] of [
      [{}, 2000],
      [{ handlerConcurrency: 2, receiveQueueSize: 5 }, 20],
    ] as const) {
      test(
        `${count} calls at once that are all cancelled end their handlers, and leave nothing paused`,
        staged(async (stage) => {
          const server = await stage.listen(options);
          const heard = { started: 0, aborted: 0 };
          server.rpc("wait", (_params, { signal }) => {
            heard.started++;
            return new Promise((_resolve, reject) => {
              signal.addEventListener("abort", () => {
                heard.aborted++;
                reject(signal.reason);
              });
            });
          });
          server.rpc("ping", () => "pong");
          const client = await stage.join(server);
          const connection = connectionOf(server, client);
          const { signal, abort } = abortable();
          const calls = Array.from({ length: count }, () => failureOf(client.call("wait", {}, { signal })));
          await until(() => heard.started > 0 && client.state === "paused");
          abort();
          for (const failure of await Promise.all(calls)) expect(failure.code).toBe(ErrorCode.CANCELLED);
          expect(await client.call("ping")).toBe("pong");
          await until(() => heard.aborted === heard.started);
          expect([client.state, connection.state]).toEqual(["active", "active"]);
          await client.disconnect();
          await server.stop();
        }),
      );
    }

    test(
      "enableBackpressure: false grants no credit, and stops reading",
      staged(async (stage) => {
        const server = await stage.listen({
          handlerConcurrency: 1,
          receiveQueueSize: 10,
          enableBackpressure: false,
        });
        const go = gate();
        const heard = new EventLog<unknown>();
        server.on("work", async (_client, data) => {
          await go.promise;
          heard.add(data);
        });
        server.rpc("last", () => "last");
        const peer = await stage.rawLoggedIn(server);
        for (let n = 0; n < 20; n++) peer.write(message("work", n));
        await until(() => server.connections[0]?.state === "paused");
        peer.write(call(1n, "last"));
        go.open();
        expect(await peer.next()).toMatchObject({ id: 1n, type: Type.RPC_RESPONSE });
        expect(heard.all).toEqual(Array.from({ length: 20 }, (_, n) => n));
      }),
    );

    test(
      "a peer that keeps sending to handlers that hang is read no further: memory stays bounded",
      staged(async (stage) => {
        const server = await stage.listen({ handlerConcurrency: 1, receiveQueueSize: 10 });
        const go = gate();
        server.on("work", () => go.promise);
        server.rpc("ping", () => "pong");
        const peer = await stage.rawLoggedIn(server);
        const connection = server.connections[0]!;
        const chunk = message("work", new Uint8Array(60_000));
        const total = 512 * chunk.length;
        for (let n = 0; n < 512; n++) peer.write(chunk);
        await until(() => connection.state === "paused");
        const other = await stage.join(server);
        for (let n = 0; n < 50; n++) await other.call("ping");
        // Ten are waiting, one is running, and the socket has read slightly ahead.
        expect(connection.stats.bytesReceived).toBeLessThan(2_000_000);
        go.open();
        await until(() => connection.stats.bytesReceived >= total);
      }),
    );

    test(
      "a connection that is not read because handlers lag outlives the heartbeat timeout",
      staged(async (stage) => {
        const clock = new SteppedClock(subject.runtime);
        const server = await stage.listen({ handlerConcurrency: 1, receiveQueueSize: 10 }, clock.runtime);
        const go = gate();
        const heard = new EventLog<unknown>();
        server.on("work", async (_client, data) => {
          await go.promise;
          heard.add(data);
        });
        const peer = await stage.rawLoggedIn(server);
        for (let n = 0; n < 20; n++) peer.write(message("work", n));
        await until(() => server.connections[0]?.state === "paused");
        for (let step = 0; step < 10; step++) clock.advance(30_000);
        expect(server.connectionCount).toBe(1);
        go.open();
        await heard.count(20);
      }),
    );

    test(
      "PONG overtakes what is queued for a peer that reads slowly",
      staged(async (stage) => {
        const server = await stage.listen();
        const peer = await stage.rawLoggedIn(server);
        const connection = server.connections[0]!;
        peer.pause();
        const large = new Uint8Array(1024 * 1024);
        while (connection.send("large", large)) await turn();
        peer.write(frame(Type.HEARTBEAT_PING));
        const before = connection.stats.bytesReceived;
        await until(() => connection.stats.bytesReceived > before);
        connection.send("last");
        peer.resume();
        const types: number[] = [];
        while (types.at(-1) !== Type.HEARTBEAT_PONG) types.push((await peer.frames.next()).type);
        const sent = connection.stats.messagesSent;
        expect(types.filter((type) => type === Type.MESSAGE).length).toBeLessThan(sent - 1);
      }),
    );

    for (const [what, request, answerBytes] of [
      ["PINGs", () => frame(Type.HEARTBEAT_PING), 32],
      ["requests for the list of methods", (id: bigint) => frame(Type.RPC_LIST, undefined, { id }), 2000],
      ["calls of unknown methods", (id: bigint) => call(id, "nope"), 110],
      ["malformed calls", (id: bigint) => frame(Type.RPC_REQUEST, ["nope"], { id }), 140],
    ] as const) {
      test(
        `a peer that sends ${what} and never reads is read no further: memory stays bounded`,
        staged(async (stage) => {
          const maxMessageBytes = 64 * 1024;
          const server = await stage.listen({ maxMessageBytes, sendQueueBytes: 2 * maxMessageBytes });
          for (let n = 0; n < 10; n++) {
            server.rpc({ name: `method_${n}`, description: "d".repeat(100) }, () => null);
          }
          server.rpc("ping", () => "pong");
          const peer = await stage.rawLoggedIn(server);
          const connection = server.connections[0]!;
          peer.pause();
          // 24 MiB of answers are more than kernels buffer per connection.
          const most = Math.ceil((24 * 1024 * 1024) / answerBytes);
          const batchFrom = (first: number): Uint8Array =>
            Buffer.concat(Array.from({ length: 1000 }, (_, index) => request(BigInt(first + index))));
          const { bytesReceived } = connection.stats;
          let sent = 0;
          while (connection.state !== "paused" && sent < most) {
            peer.write(batchFrom(sent + 1));
            sent += 1000;
            const received = bytesReceived + sent * request(1n).length;
            await until(() => connection.state === "paused" || connection.stats.bytesReceived >= received);
          }
          expect(connection.state).toBe("paused");
          expect(connection.bufferedBytes).toBeLessThan(1024 * 1024);

          // After it resumes reading, everything is answered.
          const answers = peer.frames.all.length;
          peer.resume();
          await peer.frames.count(answers + sent);
        }),
      );
    }

    describe("without deadlock", () => {
      const small = { handlerConcurrency: 2, receiveQueueSize: 10, sendQueueSize: 1000 };

      test(
        "three hundred calls at once whose handlers each call back are all answered, however small the queues",
        staged(async (stage) => {
          const server = await stage.listen(small);
          server.rpc("outer", async ({ n }, { client }) => client.call("inner", { n }));
          const client = await stage.join(server, small);
          client.rpc("inner", async ({ n }) => n);
          const numbers = Array.from({ length: 300 }, (_, n) => n);
          expect(await Promise.all(numbers.map((n) => client.call("outer", { n })))).toEqual(numbers);
        }),
      );

      for (const [size, data, messages] of [
        ["small", "x", 1000],
        // Several times as much as kernels buffer per connection.
        ["large", "x".repeat(60_000), 400],
      ] as const) {
        const options = {
          ...small,
          sendQueueSize: 20,
          maxMessageBytes: 64 * 1024,
          sendQueueBytes: 256 * 1024,
          receiveQueueBytes: 256 * 1024,
        };

        test(
          `two peers that flood each other with ${size} messages lose none`,
          staged(async (stage) => {
            const server = await stage.listen(options);
            const heard = { server: 0, client: 0 };
            const work = async (): Promise<void> => {
              for (let turns = 0; turns < 3; turns++) await Promise.resolve();
            };
            server.on("n", () => {
              heard.server++;
              return work();
            });
            const client = await stage.join(server, options);
            client.on("n", () => {
              heard.client++;
              return work();
            });
            const connection = connectionOf(server, client);
            const flood = async (from: { send(type: string, data: unknown): boolean; drained(): Promise<void> }) => {
              for (let n = 0; n < messages; n++) if (!from.send("n", data)) await from.drained();
            };
            await Promise.all([flood(client), flood(connection)]);
            await until(() => heard.server === messages && heard.client === messages);
          }),
        );

        test(
          `two peers that flood each other with ${size} calls answer them all`,
          staged(async (stage) => {
            const server = await stage.listen(options);
            server.rpc("echo", async (params) => params);
            const client = await stage.join(server, options);
            client.rpc("echo", async (params) => params);
            const connection = connectionOf(server, client);
            const flood = async (from: {
              call(method: string, params: { data: string }): Promise<unknown>;
              drained(): Promise<void>;
            }) => {
              const answers: Promise<unknown>[] = [];
              for (let n = 0; n < messages / 2; n++) {
                await from.drained();
                answers.push(from.call("echo", { data }));
              }
              for (const answer of await Promise.all(answers)) expect(answer).toEqual({ data });
            };
            await Promise.all([flood(client), flood(connection)]);
          }),
        );
      }
    });

    test(
      "a server waits with messages while its client gives no credit, and loses none",
      staged(async (stage) => {
        const server = await stage.listen({ sendQueueSize: 10 });
        const client = await stage.join(server, { handlerConcurrency: 1, receiveQueueSize: 10 });
        const heard = new EventLog<unknown>();
        const go = gate();
        client.on("work", async (data) => {
          await go.promise;
          heard.add(data);
        });
        const connection = connectionOf(server, client);
        let sent = 0;
        while (connection.state !== "paused") {
          connection.send("work", sent++);
          await until(() => connection.state === "paused" || connection.bufferedBytes === 0);
        }
        while (connection.send("work", sent++)) {}
        const drained = connection.drained();
        go.open();
        await drained;
        connection.send("work", sent++);
        expect(await heard.count(sent)).toEqual(Array.from({ length: sent }, (_, n) => n));
      }),
    );

    test(
      "a client waits with messages while its server gives no credit, and loses none",
      staged(async (stage) => {
        const server = await stage.listen({ handlerConcurrency: 1, receiveQueueSize: 10 });
        const heard = new EventLog<unknown>();
        const go = gate();
        server.on("work", async (_client, data) => {
          await go.promise;
          heard.add(data);
        });
        const client = await stage.join(server, { sendQueueSize: 50 });
        let sent = 0;
        while (client.state !== "paused") {
          client.send("work", sent++);
          await turn();
        }
        while (client.send("work", sent++)) {}
        const drained = client.drained();
        go.open();
        await drained;
        client.send("work", sent++);
        expect(await heard.count(sent)).toEqual(Array.from({ length: sent }, (_, n) => n));
        expect(connectionOf(server, client).stats.messagesReceived).toBe(sent);
      }),
    );
  });
}
