/** Bounds of data from other nodes: each test fails without one of them. */
import { expect, test } from "vitest";
import { ErrorCode } from "../errors.ts";
import { checkFilter, readFilter } from "./connection-filter.ts";
import { EnvelopeHead, isNodeId } from "./envelope.ts";
import { LinkWaits } from "./link-waits.ts";
import { OpenCalls } from "./open-calls.ts";

test("a filter has at most 1,000 values of a key", () => {
  const users = (count: number): { user: string[] } => ({ user: Array.from({ length: count }, (_, n) => `${n}`) });
  expect(readFilter(users(1000))).toEqual(users(1000));
  expect(() => readFilter(users(1001))).toThrow(expect.objectContaining({ code: ErrorCode.MALFORMED_PAYLOAD }));
  expect(() => checkFilter(users(1001))).toThrow(expect.objectContaining({ code: ErrorCode.INVALID_CONFIG }));
});

test("the id of a node has at most 64 characters, and a name in a head 256", () => {
  expect([isNodeId("a".repeat(64)), isNodeId("a".repeat(65))]).toEqual([true, false]);
  const head = new EnvelopeHead({ fits: "a".repeat(256), exceeds: "a".repeat(257) });
  expect(head.text("fits").length).toBe(256);
  expect(() => head.text("exceeds")).toThrow(expect.objectContaining({ code: ErrorCode.MALFORMED_PAYLOAD }));
});

test("at most 1,000 calls are checked at a heartbeat, and the others at the next ones", () => {
  const calls = new OpenCalls(() => 0);
  for (let id = 0; id < 1500; id += 1) calls.add("epoch", id);
  expect(calls.takeDue("epoch", 0)).toEqual(Array.from({ length: 1000 }, (_, id) => id));
  expect(calls.takeDue("epoch", 0).slice(0, 500)).toEqual(Array.from({ length: 500 }, (_, n) => 1000 + n));
});

test("at most 10,000 messages with ack wait for the link", async () => {
  const waits = new LinkWaits();
  const waiting = Array.from({ length: 10_000 }, () => waits.wait("note", undefined));
  expect(waits.hasRoom).toBe(false);
  waits.end();
  await Promise.all(waiting);
  expect(waits.hasRoom).toBe(true);
});
