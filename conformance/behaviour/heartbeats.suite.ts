import { type CloseReason, ErrorCode } from "@netconduit/core";
import { describe, expect, test } from "vitest";
import { EventLog } from "../../packages/core/src/testing/event-log.ts";
import { frame, message, Type } from "../../packages/core/src/testing/raw-frames.ts";
import { SteppedClock } from "../support/stepped-clock.ts";
import type { Subject } from "../support/subject.ts";
import { until } from "../support/turns.ts";
import { connectionOf, PATIENT, stagedOn } from "./stage.ts";

const HEARTBEAT = { heartbeatIntervalMs: 10_000, heartbeatTimeoutMs: 30_000 };

/** Heartbeats. */
export function describeHeartbeats(subject: Subject): void {
  const staged = stagedOn(subject);

  describe(`heartbeats on ${subject.name}`, PATIENT, () => {
    test(
      "a PING goes out every interval, and the answer's latency is measured",
      staged(async (stage) => {
        const clock = new SteppedClock(subject.runtime);
        const server = await stage.listen(HEARTBEAT, clock.runtime);
        const peer = await stage.rawLoggedIn(server);
        const connection = server.connections[0]!;
        expect(connection.latencyMs).toBeNull();
        for (const latencyMs of [40, 120]) {
          clock.advance(10_100);
          expect((await peer.next(Type.HEARTBEAT_PING)).payloadBytes).toHaveLength(0);
          clock.advance(latencyMs);
          const { samples } = connection.latency;
          peer.write(frame(Type.HEARTBEAT_PONG));
          await until(() => connection.latency.samples > samples);
        }
        expect(connection.latency).toMatchObject({ lastMs: expect.any(Number), samples: 2 });
        expect(connection.latency.minMs).toBeLessThan(connection.latency.maxMs);
        expect(connection.latencyMs).toBe(connection.latency.lastMs);
      }),
    );

    test(
      "a PING is answered by a PONG with its id",
      staged(async (stage) => {
        const server = await stage.listen();
        const peer = await stage.rawLoggedIn(server);
        peer.write(frame(Type.HEARTBEAT_PING, undefined, { id: 42n }));
        expect(await peer.next()).toMatchObject({ type: Type.HEARTBEAT_PONG, id: 42n });
      }),
    );

    test(
      "a peer that is silent for heartbeatTimeoutMs is dropped with HEARTBEAT_TIMEOUT",
      staged(async (stage) => {
        const clock = new SteppedClock(subject.runtime);
        const server = await stage.listen(HEARTBEAT, clock.runtime);
        const left = new EventLog<CloseReason>();
        server.onClientDisconnect((_connection, reason) => left.add(reason));
        const peer = await stage.rawLoggedIn(server);
        clock.advance(29_000);
        expect(server.connectionCount).toBe(1);
        // Received bytes get the time of the next check, up to an interval later.
        clock.advance(12_000);
        expect(await left.next()).toMatchObject({ code: ErrorCode.HEARTBEAT_TIMEOUT, byPeer: false, reconnect: true });
        expect(server.connectionCount).toBe(0);
        await peer.over;
      }),
    );

    test(
      "a peer whose bytes wait in the socket while this process is busy stays",
      staged(async (stage) => {
        const server = await stage.listen({ heartbeatIntervalMs: 100, heartbeatTimeoutMs: 300 });
        const peer = await stage.rawLoggedIn(server);
        const connection = server.connections[0]!;
        for (let n = 0; n < 3; n++) {
          const before = connection.stats.bytesReceived;
          peer.write(message("anything", n));
          const busyUntil = performance.now() + 450;
          while (performance.now() < busyUntil);
          await until(() => connection.stats.bytesReceived > before || server.connectionCount === 0);
        }
        expect(server.connectionCount).toBe(1);
      }),
    );

    test(
      "any byte counts as a sign of life, not only a PONG",
      staged(async (stage) => {
        const clock = new SteppedClock(subject.runtime);
        const server = await stage.listen(HEARTBEAT, clock.runtime);
        const peer = await stage.rawLoggedIn(server);
        const connection = server.connections[0]!;
        for (let n = 0; n < 10; n++) {
          const before = connection.stats.bytesReceived;
          peer.write(message("anything", n));
          await until(() => connection.stats.bytesReceived > before);
          clock.advance(10_000);
        }
        expect(server.connectionCount).toBe(1);
      }),
    );

    test(
      "setting the wall clock by years ends no connection: liveness uses the monotonic clock",
      staged(async (stage) => {
        const clock = new SteppedClock(subject.runtime);
        const server = await stage.listen(HEARTBEAT, clock.runtime);
        const client = await stage.join(server, HEARTBEAT, clock.runtime);
        const year = 365 * 24 * 3600 * 1000;
        for (const jump of [year, -year]) {
          clock.wallClockJumpMs = jump;
          for (let n = 0; n < 5; n++) {
            const { samples } = connectionOf(server, client).latency;
            clock.advance(10_100);
            await until(() => connectionOf(server, client).latency.samples > samples);
          }
        }
        expect(client.isConnected).toBe(true);
        expect(server.connectionCount).toBe(1);
      }),
    );

    test(
      "two idle peers keep each other alive over many timeouts",
      staged(async (stage) => {
        const clock = new SteppedClock(subject.runtime);
        const server = await stage.listen(HEARTBEAT, clock.runtime);
        const client = await stage.join(server, HEARTBEAT, clock.runtime);
        for (let n = 0; n < 20; n++) {
          const samples = client.health().latency?.samples ?? 0;
          clock.advance(10_100);
          await until(() => (client.health().latency?.samples ?? 0) > samples);
        }
        expect(client.health()).toMatchObject({ connected: true, state: "active", reconnectAttempts: 0 });
      }),
    );
  });
}
