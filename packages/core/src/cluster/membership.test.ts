import { expect, test } from "vitest";
import { fakeRuntime } from "../test-support/fake-runtime.ts";
import { TimerWheel } from "../util/timer-wheel.ts";
import { Membership } from "./membership.ts";

const HEARTBEAT_MS = 100;

function scene() {
  const runtime = fakeRuntime();
  const events: string[] = [];
  const membership = new Membership(
    {
      wheel: new TimerWheel(runtime),
      heartbeatMs: HEARTBEAT_MS,
      nodeTimeoutMs: 3 * HEARTBEAT_MS,
      now: () => runtime.now(),
      beat: () => undefined,
      joined: ({ id, epoch }) => events.push(`${id} ${epoch} joined`),
      gone: ({ id, epoch }, why) => events.push(`${id} ${epoch} ${why}`),
      missedFrom: () => undefined,
      replaced: () => events.push("replaced"),
    },
    { id: "self", epoch: "1", startedAt: 0 },
  );
  membership.start();
  let sequence = 0;
  const hear = (id: string, epoch: string, startedAt: number): void => {
    sequence += 1;
    membership.heard({ id, epoch }, { startedAt, connections: 0, sequence });
  };
  return { runtime, events, membership, hear };
}

test("A node that was restarted on a machine whose clock is behind joins when its former run isn't heard any more", async () => {
  const { runtime, events, membership, hear } = scene();
  hear("b", "first", 5000);
  for (let beat = 0; beat < 5; beat += 1) {
    hear("b", "second", 4000);
    await runtime.advance(HEARTBEAT_MS);
  }
  expect(events).toEqual(["b first joined", "b first timeout", "b second joined"]);
  expect(membership.isCurrent({ id: "b", epoch: "second" })).toBe(true);
});

test("What a former run sends late, after a later one was heard, doesn't bring it back when the later one is gone", async () => {
  const { runtime, events, membership, hear } = scene();
  hear("b", "first", 4000);
  hear("b", "second", 5000);
  hear("b", "first", 4000);
  await runtime.advance(5 * HEARTBEAT_MS);
  hear("b", "first", 4000);
  expect(events).toEqual(["b first joined", "b first replaced", "b second joined", "b second timeout"]);
  expect(membership.isCurrent({ id: "b", epoch: "first" })).toBe(false);
});
