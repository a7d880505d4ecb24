import assert from "node:assert/strict";
import { type CloseReason, ErrorCode } from "@netconduit/core";
import type { ByteStream, Runtime } from "@netconduit/core/adapter";
import { EventLog } from "../../../packages/core/src/testing/event-log.ts";
import { SteppedClock } from "../../support/stepped-clock.ts";
import type { Scenario } from "../scenario.ts";

const HEARTBEAT = { heartbeatIntervalMs: 10_000, heartbeatTimeoutMs: 30_000 };

interface Cable {
  isSevered: boolean;
}

/** A runtime whose connections can be cut like a cable: no bytes pass, and neither end is notified. */
function severable(base: Runtime): { readonly runtime: Runtime; sever(): void } {
  const cables: Cable[] = [];
  const connect: Runtime["connect"] = async (target, signal) => {
    const cable: Cable = { isSevered: false };
    cables.push(cable);
    return throughCable(cable, await base.connect(target, signal));
  };
  return {
    runtime: { ...base, connect },
    sever: () => {
      for (const cable of cables) cable.isSevered = true;
    },
  };
}

function throughCable(cable: Cable, stream: ByteStream): ByteStream {
  return {
    local: stream.local,
    remote: stream.remote,
    tls: stream.tls,
    get queuedBytes() {
      return stream.queuedBytes;
    },
    open: (sink) =>
      stream.open({
        data: (chunk) => {
          if (!cable.isSevered) sink.data(chunk);
        },
        drained: () => sink.drained(),
        closed: (error) => sink.closed(error),
      }),
    write: (bytes) => cable.isSevered || stream.write(bytes),
    pause: () => stream.pause(),
    resume: () => stream.resume(),
    close: () => stream.close(),
    destroy: (reason) => stream.destroy(reason),
  };
}

/** Heartbeats. Scenarios control the time in both processes. */
export const heartbeats: readonly Scenario[] = [
  {
    title: "two idle peers keep each other alive over many timeouts, and measure the latency",
    async server(half) {
      const clock = new SteppedClock(half.subject.runtime);
      const connection = await (await half.open(half.server(HEARTBEAT, clock.runtime))).next();
      assert.equal(connection.latencyMs, null);
      for (let n = 1; n <= 20; n++) {
        clock.advance(10_100);
        await half.until(() => connection.latency.samples === n);
        half.tell("beat");
        await half.waitFor("beat");
      }
      assert.equal(connection.isConnected, true);
      assert.equal(typeof connection.latencyMs, "number");
    },
    async client(half) {
      const clock = new SteppedClock(half.subject.runtime);
      const client = await half.join(HEARTBEAT, clock.runtime);
      assert.equal(client.latencyMs, null);
      for (let n = 1; n <= 20; n++) {
        await half.waitFor("beat");
        clock.advance(10_100);
        await half.until(() => client.health().latency?.samples === n);
        half.tell("beat");
      }
      assert.equal(client.state, "active");
      assert.equal(typeof client.latencyMs, "number");
    },
  },
  {
    title: "a server drops a client whose cable is cut with HEARTBEAT_TIMEOUT, and its slot is free",
    async server(half) {
      const clock = new SteppedClock(half.subject.runtime);
      const server = half.server({ ...HEARTBEAT, maxConnections: 1 }, clock.runtime);
      const left = new EventLog<CloseReason>();
      server.onClientDisconnect((_connection, reason) => left.add(reason));
      await half.open(server);
      await half.waitFor("severed");
      clock.advance(29_000);
      assert.equal(server.connectionCount, 1);
      clock.advance(12_000);
      const { code, byPeer, reconnect } = await left.next();
      assert.deepEqual([code, byPeer, reconnect], [ErrorCode.HEARTBEAT_TIMEOUT, false, true]);
      assert.equal(server.connectionCount, 0);
      half.tell("dropped");
    },
    async client(half) {
      const cable = severable(half.subject.runtime);
      await half.join({}, cable.runtime);
      cable.sever();
      half.tell("severed");
      await half.waitFor("dropped");
      assert.equal((await half.join()).isConnected, true);
    },
  },
  {
    title: "a client drops a server whose cable is cut with HEARTBEAT_TIMEOUT, its calls reject, and it comes back",
    async server(half) {
      const server = half.server();
      server.rpc("ping", () => "pong");
      await half.open(server);
    },
    async client(half) {
      const cable = severable(half.subject.runtime);
      const clock = new SteppedClock(half.subject.runtime, { connect: cable.runtime.connect });
      const reconnect = { enabled: true, delayMs: 1000, jitter: false };
      const client = await half.join({ ...HEARTBEAT, reconnect }, clock.runtime);
      const left = new EventLog<CloseReason>();
      client.onDisconnect((_client, reason) => left.add(reason));
      const back = new EventLog<unknown>();
      client.onReconnect(back.add);
      assert.equal(await client.call("ping"), "pong");
      cable.sever();
      const pending = client.call("ping", {}, { timeoutMs: 0 }).catch((error: { code: number }) => error.code);
      clock.advance(41_000);
      assert.equal((await left.next()).code, ErrorCode.HEARTBEAT_TIMEOUT);
      assert.equal(await pending, ErrorCode.CONNECTION_CLOSED);
      await half.until(() => clock.delays.includes(1000));
      clock.advance(1000);
      await back.next();
      assert.equal(await client.call("ping"), "pong");
    },
  },
];
