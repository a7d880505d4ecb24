import { expect, test } from "vitest";
import { ErrorCode, RpcError } from "../errors.ts";
import { MAX_ONCE_BYTES, MAX_ONCE_KEYS } from "../limits.ts";
import type { Codec } from "./answer-record.ts";
import { MemoryAnswers } from "./memory-answers.ts";
import type { OnceRequest } from "./once-window.ts";

/** Records have the size that the answer says. */
const codec: Codec = { encode: (value) => new Uint8Array(sizeOf(value)), decode: () => null };

function sizeOf(value: unknown): number {
  const text = JSON.stringify(value) ?? "";
  const size = /"size":(\d+)/.exec(text)?.[1];
  return size === undefined ? 1 : Number(size);
}

function scene() {
  const clock = { ms: 0 };
  const answers = new MemoryAnswers(codec, () => clock.ms, 1000);
  const request = { key: "k", isCall: true, name: "m", value: {}, delivery: 1, deliveries: 1 } satisfies OnceRequest;
  let keys = 0;
  /** Carries out a call of a user. Returns the code of the refusal; 0 if there was none. */
  const call = (owner: string, size = 0, name = ""): number => {
    const id = `${name}${keys++}`;
    try {
      answers.begin(owner, id, request);
    } catch (error) {
      return error instanceof RpcError ? error.code : -1;
    }
    answers.end(owner, id, 1, { result: { size } });
    return 0;
  };
  return { clock, answers, call };
}

test("A user's keys don't use up those of the others, and are forgotten with their time", () => {
  const { clock, call } = scene();
  for (let count = 0; count < MAX_ONCE_KEYS / 2; count += 1) call("greedy");
  expect([call("greedy"), call("ada")]).toEqual([ErrorCode.RATE_LIMITED, 0]);
  for (let count = 0; count < MAX_ONCE_KEYS / 2 - 1; count += 1) call(`user ${count}`);
  expect(call("eve")).toBe(ErrorCode.RATE_LIMITED);
  clock.ms = 1000;
  expect([call("greedy"), call("eve")]).toEqual([0, 0]);
});

test("Names count, too: they may be much longer than the answer", () => {
  const { clock, call } = scene();
  const name = "m".repeat(MAX_ONCE_BYTES / 16 - 100);
  const codes = [1, 2, 3, 4, 5].map(() => call("greedy", 0, name));
  expect(codes).toEqual([0, 0, 0, 0, ErrorCode.RATE_LIMITED]);
  clock.ms = 1000;
  expect(call("greedy", 0, name)).toBe(0);
});

test("A user's answers don't use up the memory for those of the others", () => {
  const { clock, answers, call } = scene();
  const half = MAX_ONCE_BYTES / 2;
  call("greedy", half - 10);
  // Its answer isn't kept.
  call("greedy", half);
  expect([answers.hasRoom(half), answers.hasRoom(half + 10)]).toEqual([true, false]);
  expect([call("ada", half - 10), answers.hasRoom(half / 2)]).toEqual([0, false]);
  clock.ms = 1000;
  expect(call("eve", half)).toBe(0);
});

test("New keys of a user whose answer had no room are refused until one is forgotten", () => {
  const { clock, call } = scene();
  const half = MAX_ONCE_BYTES / 2;
  call("greedy", half - 10);
  clock.ms = 500;
  expect([call("greedy", 20), call("greedy"), call("ada")]).toEqual([0, ErrorCode.RATE_LIMITED, 0]);
  clock.ms = 1000;
  expect(call("greedy")).toBe(0);
});

test("An answer that never has room doesn't keep others of its user out", () => {
  const { call } = scene();
  expect([call("greedy", MAX_ONCE_BYTES), call("greedy")]).toEqual([0, 0]);
});
