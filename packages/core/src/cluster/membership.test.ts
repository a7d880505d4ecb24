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
      sendHeartbeat: () => undefined,
      joined: ({ id, epoch }) => events.push(`${id} ${epoch} joined`),
      left: ({ id, epoch }, why) => events.push(`${id} ${epoch} ${why}`),
      missedFrom: () => undefined,
      replaced: () => events.push("replaced"),
    },
    { id: "self", epoch: "1", link: 0, startedAt: 0 },
  );
  membership.start();
  let sequence = 0;
  const hear = (id: string, epoch: string, startedAt: number): void => {
    sequence += 1;
    membership.heartbeatReceived({ id, epoch, link: 0 }, { startedAt, connections: 0, sequence });
  };
  return { runtime, events, membership, hear };
}

test("A node restarted on a machine with a slow clock joins after its former run has timed out", async () => {
  const { runtime, events, membership, hear } = scene();
  hear("b", "first", 5000);
  for (let beat = 0; beat < 5; beat += 1) {
    hear("b", "second", 4000);
    await runtime.advance(HEARTBEAT_MS);
  }
  expect(events).toEqual(["b first joined", "b first timeout", "b second joined"]);
  expect(membership.isCurrent({ id: "b", epoch: "second", link: 0 })).toBe(true);
});

test("Late messages of a former run don't restore it after a later run has joined and left", async () => {
  const { runtime, events, membership, hear } = scene();
  hear("b", "first", 4000);
  hear("b", "second", 5000);
  hear("b", "first", 4000);
  await runtime.advance(5 * HEARTBEAT_MS);
  hear("b", "first", 4000);
  expect(events).toEqual(["b first joined", "b first replaced", "b second joined", "b second timeout"]);
  expect(membership.isCurrent({ id: "b", epoch: "first", link: 0 })).toBe(false);
});

/** Like the cluster scene, with a process that can be stopped. */
function stoppableScene() {
  const runtime = fakeRuntime();
  const wheel = new TimerWheel(runtime);
  const events: string[] = [];
  let lateMs = 0;
  const membership = new Membership(
    {
      wheel,
      heartbeatMs: 100,
      nodeTimeoutMs: 500,
      now: () => runtime.now() + lateMs,
      sendHeartbeat: () => undefined,
      joined: ({ id }) => events.push(`${id} joined`),
      left: ({ id }, why) => events.push(`${id} ${why}`),
      missedFrom: ({ id }) => events.push(`${id} missed`),
      replaced: () => events.push("replaced"),
    },
    { id: "self", epoch: "s1", link: 0, startedAt: 100 },
  );
  membership.start();
  const heard = (id: string, epoch: string, startedAt: number, sequence = 0, link = 0): void =>
    membership.heartbeatReceived({ id, epoch, link }, { startedAt, connections: 0, sequence });
  const standStill = (ms: number): void => {
    lateMs += ms;
  };
  return { runtime, membership, events, heard, standStill };
}

test("A process that was stopped waits for one more heartbeat before it considers other nodes dead", async () => {
  const { runtime, events, heard, standStill, membership } = stoppableScene();
  heard("b", "b1", 1);
  standStill(10_000);
  await runtime.advance(120);
  expect(events).toEqual(["b joined"]);
  heard("b", "b1", 1);
  await runtime.advance(450);
  expect(events).toEqual(["b joined"]);
  await runtime.advance(300);
  expect(events).toEqual(["b joined", "b timeout"]);
  membership.stop();
});

test("A gap in the heartbeats' numbers reveals missing messages; answers to a greeting have no number", () => {
  const { events, heard, membership } = stoppableScene();
  heard("b", "b1", 1, 0);
  heard("b", "b1", 1, 7);
  heard("b", "b1", 1, 8);
  heard("b", "b1", 1, 0);
  expect(events).toEqual(["b joined"]);
  heard("b", "b1", 1, 10);
  expect(events).toEqual(["b joined", "b missed"]);
  membership.stop();
});

test("all nodes accept the later of two runs with the same id, and a run that has left doesn't return", () => {
  const { events, heard, membership } = stoppableScene();
  heard("b", "b2", 2);
  heard("b", "b1", 1);
  expect(membership.nodes.get("b")?.epoch).toBe("b2");
  heard("b", "b3", 2);
  expect(membership.nodes.get("b")?.epoch).toBe("b3");
  membership.leaveReceived({ id: "b", epoch: "b3", link: 0 });
  heard("b", "b3", 2);
  expect(membership.nodes.size).toBe(0);
  expect(events).toEqual(["b joined", "b replaced", "b joined", "b left"]);
  expect(membership.isCurrent({ id: "b", epoch: "b2", link: 0 })).toBe(false);
  membership.stop();
});

test("A later run with this node's own id replaces this node; an earlier run doesn't", () => {
  const { events, heard, membership } = stoppableScene();
  heard("self", "s0", 99);
  heard("self", "s1", 100);
  expect(events).toEqual([]);
  heard("self", "s2", 101);
  expect(events).toEqual(["replaced"]);
  membership.stop();
});

test("A run that returns after silence has lost messages if its heartbeats' numbers have a gap", async () => {
  const { runtime, events, heard, membership } = stoppableScene();
  heard("b", "b1", 1, 7);
  await runtime.advance(700);
  heard("b", "b1", 1, 8);
  expect(events.splice(0)).toEqual(["b joined", "b timeout", "b joined"]);
  await runtime.advance(700);
  // Answers to greetings have no sequence number.
  heard("b", "b1", 1, 0);
  expect(events.splice(0)).toEqual(["b timeout", "b joined"]);
  heard("b", "b1", 1, 12);
  expect(events).toEqual(["b missed"]);
  membership.stop();
});

test("A late message from a run's former link is ignored", async () => {
  const { runtime, events, heard, membership } = stoppableScene();
  const isCurrent = (link: number): boolean => membership.isCurrent({ id: "b", epoch: "b1", link });
  heard("b", "b1", 1, 1, 0);
  expect(isCurrent(0)).toBe(true);
  heard("b", "b1", 1, 2, 1);
  expect([isCurrent(0), isCurrent(1)]).toEqual([false, true]);
  await runtime.advance(700);
  heard("b", "b1", 1, 2, 0);
  expect(events).toEqual(["b joined", "b timeout"]);
  expect([isCurrent(0), isCurrent(1), isCurrent(2), isCurrent(1)]).toEqual([false, true, true, false]);
  membership.stop();
});
