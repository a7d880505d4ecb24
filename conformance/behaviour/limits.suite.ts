import { ErrorCode } from "@netconduit/core";
import { describe, expect, test } from "vitest";
import type { RawPeer } from "../../packages/core/src/test-support/raw-peer.ts";
import { EventLog } from "../../packages/core/src/testing/event-log.ts";
import { COMPRESSED, call, frame, message, rawFrame, Type } from "../../packages/core/src/testing/raw-frames.ts";
import { failureOf } from "../support/failures.ts";
import { SteppedClock } from "../support/stepped-clock.ts";
import type { Subject } from "../support/subject.ts";
import { until } from "../support/turns.ts";
import { rawScene } from "./raw-scene.ts";
import { PATIENT, stagedOn } from "./stage.ts";

/** Limits on message size and on each client's rate. */
export function describeLimits(subject: Subject): void {
  const staged = stagedOn(subject);

  describe(`limits on ${subject.name}`, PATIENT, () => {
    describe("on size", () => {
      test(
        "a frame of maxMessageBytes is accepted; one byte more is refused on its header, before its payload comes",
        staged(async (stage) => {
          const { peer } = await rawScene(stage, { maxMessageBytes: 4096 });
          const overhead = frame(Type.RPC_REQUEST, { method: "echo", params: { a: new Uint8Array(3000) } }).length - 32;
          const largest = call(5n, "echo", { a: new Uint8Array(4096 - overhead + 3000) });
          expect(largest.length).toBe(32 + 4096);
          peer.write(largest);
          expect((await peer.next()).id).toBe(5n);
          peer.write(rawFrame(Type.RPC_REQUEST, new Uint8Array(0), { id: 6n, length: 4097 }));
          const closed = await peer.next();
          expect(closed).toMatchObject({ type: Type.CLOSE, payload: { code: ErrorCode.MESSAGE_TOO_LARGE } });
          const { reason } = closed.payload as { reason: string };
          expect(reason).toContain("4097");
          expect(reason).toContain("4096");
        }),
      );

      test(
        "a payload that inflates beyond maxMessageBytes is refused without being inflated in full, and the connection lives",
        staged(async (stage) => {
          const options = { maxMessageBytes: 64 * 1024, enableCompression: true };
          const { peer, lives } = await rawScene(stage, options);
          const bomb = subject.runtime.deflate(new Uint8Array(50 * 1024 * 1024));
          expect(bomb.length).toBeLessThan(64 * 1024);
          peer.write(rawFrame(Type.RPC_REQUEST, bomb, { id: 7n, flags: COMPRESSED }));
          expect(await peer.next()).toMatchObject({
            type: Type.RPC_ERROR,
            id: 7n,
            payload: { code: ErrorCode.INFLATED_TOO_LARGE },
          });
          await lives();
        }),
      );

      test(
        "a payload that is flagged as compressed and is no zlib stream is refused, and the connection lives",
        staged(async (stage) => {
          const { peer, lives } = await rawScene(stage, { enableCompression: true });
          peer.write(rawFrame(Type.RPC_REQUEST, Buffer.from("not zlib"), { id: 7n, flags: COMPRESSED }));
          expect(await peer.next()).toMatchObject({ id: 7n, payload: { code: ErrorCode.INFLATE_FAILED } });
          await lives();
        }),
      );

      test(
        "a length that is claimed and never sent takes no memory",
        staged(async (stage) => {
          const server = await stage.listen({ maxMessageBytes: 100 * 1024 * 1024, maxConnections: 200 });
          const before = process.memoryUsage().arrayBuffers;
          const peers: RawPeer[] = [];
          for (let n = 0; n < 30; n++) {
            const peer = await stage.rawLoggedIn(server);
            peer.write(rawFrame(Type.MESSAGE, new Uint8Array(10), { length: 100 * 1024 * 1024 }));
            peers.push(peer);
          }
          await until(() => server.connections.every(({ stats }) => stats.bytesReceived > 300));
          expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(100 * 1024 * 1024);
        }),
      );
    });

    describe("on rate", () => {
      test(
        "a call over the limit gets RATE_LIMITED with retry_after; the next one waits for that time, unread, and passes",
        staged(async (stage) => {
          const clock = new SteppedClock(subject.runtime);
          const { server, errors } = await rawScene(stage, { rateLimit: { messagesPerSecond: 2 } }, clock);
          const client = await stage.join(server);
          await client.call("echo");
          await client.call("echo");
          const failure = await failureOf(client.call("echo"));
          expect(failure).toMatchObject({ code: 6000, message: "Rate limit exceeded", details: { retry_after: 0.5 } });
          expect(errors.all).toMatchObject([{ error: { code: 6000 }, context: { stage: "rate-limit" } }]);
          const waiting = client.call("echo", { a: 1 });
          clock.advance(550);
          expect(await waiting).toEqual({ a: 1 });
        }),
      );

      test(
        "a message over the limit is dropped, counted, and reported with its client",
        staged(async (stage) => {
          const clock = new SteppedClock(subject.runtime);
          const { server, peer, connection, errors } = await rawScene(
            stage,
            { rateLimit: { messagesPerSecond: 3 } },
            clock,
          );
          const heard = new EventLog<unknown>();
          server.on("chat", (_client, data) => heard.add(data));
          for (let n = 0; n < 5; n++) peer.write(message("chat", n));
          await until(() => connection.stats.messagesReceived === 4);
          expect(heard.all).toEqual([0, 1, 2]);
          expect(connection.stats.rateLimited).toBe(1);
          expect(errors.all).toHaveLength(1);
          expect(errors.all[0]).toMatchObject({
            error: { code: ErrorCode.RATE_LIMITED, message: "A message exceeded the rate limit" },
            context: { stage: "rate-limit", client: connection },
          });
        }),
      );

      test(
        "a request over the limit rejects with RATE_LIMITED",
        staged(async (stage) => {
          const clock = new SteppedClock(subject.runtime);
          const { server } = await rawScene(stage, { rateLimit: { messagesPerSecond: 1 } }, clock);
          server.on("chat", () => "heard");
          const client = await stage.join(server);
          expect(await client.request("chat")).toBe("heard");
          expect(await failureOf(client.request("chat"))).toMatchObject({
            code: ErrorCode.RATE_LIMITED,
            details: { retry_after: 1 },
          });
        }),
      );

      test(
        "the rate limit counts the bytes of whole frames",
        staged(async (stage) => {
          const clock = new SteppedClock(subject.runtime);
          const { server, connection, peer } = await rawScene(stage, { rateLimit: { bytesPerSecond: 10_000 } }, clock);
          const heard = new EventLog<number>();
          server.on("blob", (_client, data) => heard.add((data as { blob: Uint8Array }).blob.length));
          peer.write(message("blob", { blob: new Uint8Array(6000) }));
          peer.write(message("blob", { blob: new Uint8Array(6000) }));
          await until(() => connection.stats.messagesReceived === 2);
          expect([heard.all, connection.stats.rateLimited]).toEqual([[6000], 1]);
          peer.write(message("blob", { blob: new Uint8Array(2000) }));
          clock.advance(1000);
          await heard.count(2);
          expect(heard.all).toEqual([6000, 2000]);
          // 200 frames of about 50 bytes also use up one second's allowance.
          clock.advance(1000);
          const small = message("blob", { blob: new Uint8Array(1) });
          const fitting = Math.floor(10_000 / small.length);
          for (let n = 0; n < 300; n++) peer.write(small);
          await until(() => connection.stats.rateLimited === 2);
          expect(heard.all.length - 2).toBe(fitting);
        }),
      );

      test(
        "each client has a limit of its own, and replies and heartbeats do not count",
        staged(async (stage) => {
          const clock = new SteppedClock(subject.runtime);
          const { server, peer, connection } = await rawScene(stage, { rateLimit: { messagesPerSecond: 1 } }, clock);
          for (let n = 0; n < 10; n++) peer.write(frame(Type.HEARTBEAT_PING));
          for (let n = 0; n < 10; n++) {
            const result = connection.call("ask");
            const { id } = await peer.next(Type.RPC_REQUEST);
            peer.write(frame(Type.RPC_RESPONSE, { success: true, result: n }, { id }));
            expect(await result).toBe(n);
          }
          peer.write(call(1n, "echo"), call(2n, "echo"));
          expect((await peer.next(Type.RPC_RESPONSE)).id).toBe(1n);
          expect((await peer.next()).payload).toMatchObject({ code: ErrorCode.RATE_LIMITED });
          const other = await stage.join(server);
          expect(await other.call("echo", { a: 1 })).toEqual({ a: 1 });
        }),
      );
    });
  });
}
