import { setImmediate as turn } from "node:timers/promises";
import { expect, test } from "vitest";
import { type Gate, gate } from "../../test-support/gate.ts";
import { type Reader, RoomWaits, type Waiting } from "./room-waits.ts";

/** Returns a member that accepts a message when a gate opens, and topics that log their notifications. */
function bench() {
  const gates: Gate<void>[] = [];
  const log: string[] = [];
  const wait = (): Promise<void> => {
    gates.push(gate<void>());
    return (gates.at(-1) as Gate<void>).promise;
  };
  const state = { isOpen: true };
  const member: Reader = {
    get isOpen() {
      return state.isOpen;
    },
    sendQueue: { delaysRequests: true, whenPassing: wait, waitForRoom: wait },
  };
  const topic = (name: string, messages: number): Waiting<Reader> => {
    let left = messages;
    return {
      memberTakes: () => {
        log.push(name);
        left -= 1;
        return left === 0;
      },
    };
  };
  const pass = async (): Promise<void> => {
    gates.at(-1)?.open();
    await turn();
  };
  return { waits: new RoomWaits(), member, topic, gates, log, state, pass };
}

test("a member is waited for once, however often topics ask", () => {
  const { waits, member, topic, gates } = bench();
  const [first, second] = [topic("first", 1), topic("second", 1)];
  for (let n = 0; n < 100; n += 1) {
    waits.add(member, first);
    waits.delete(member, first);
    waits.add(member, second);
  }
  expect(gates.length).toBe(1);
});

test("topics of a member take turns until each has sent everything", async () => {
  const { waits, member, topic, log, gates, pass } = bench();
  waits.add(member, topic("first", 2));
  waits.add(member, topic("second", 2));
  for (let n = 0; n < 3; n += 1) await pass();
  expect(log).toEqual(["first", "second", "first", "second"]);
  expect(gates.length).toBe(3);
});

test("a topic that no longer waits, and a member that has gone, get nothing", async () => {
  const { waits, member, topic, log, gates, state, pass } = bench();
  const [first, second] = [topic("first", 9), topic("second", 9)];
  waits.add(member, first);
  waits.add(member, second);
  waits.delete(member, first);
  await pass();
  expect(log).toEqual(["second"]);
  state.isOpen = false;
  await pass();
  expect(gates.length).toBe(2);
});
