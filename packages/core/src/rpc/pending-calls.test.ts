import { describe, expect, test } from "vitest";
import { ErrorCode } from "../errors.ts";
import { PendingCall, PendingCalls, type PendingCallsOwner } from "./pending-calls.ts";

const MAX_GENERATION = 0x1fffff;

class Owner implements PendingCallsOwner {
  readonly scheduled = new Set<PendingCall>();
  readonly abandoned: [number, number][] = [];

  scheduleCall(call: PendingCall): void {
    this.scheduled.add(call);
  }

  unscheduleCall(call: PendingCall): void {
    this.scheduled.delete(call);
  }

  callAbandoned(generation: number, slot: number): void {
    this.abandoned.push([generation, slot]);
  }
}

interface TestCall {
  readonly call: PendingCall;
  readonly results: unknown[];
  readonly errors: { code?: number; message: string }[];
}

function bench() {
  const owner = new Owner();
  const calls = new PendingCalls(owner);
  const begin = (name = "m", timeoutMs = 1000): TestCall => {
    const results: unknown[] = [];
    const errors: { message: string }[] = [];
    const call = new PendingCall(
      calls,
      name,
      timeoutMs,
      null,
      (value) => results.push(value),
      (error) => errors.push(error),
    );
    calls.add(call);
    return { call, results, errors };
  };
  return { owner, calls, begin };
}

describe("PendingCalls", () => {
  test("gives every call a slot of its own, and an id that is never 0/0", () => {
    const { begin, calls } = bench();
    const ids = [begin(), begin(), begin()].map(({ call }) => [call.generation, call.slot]);
    expect(ids).toEqual([
      [1, 0],
      [1, 1],
      [1, 2],
    ]);
    expect(calls.size).toBe(3);
  });

  test("hands a call out once", () => {
    const { begin, calls, owner } = bench();
    const { call } = begin();
    expect(calls.take(1, 0)).toBe(call);
    expect(calls.take(1, 0)).toBeNull();
    expect([calls.size, owner.scheduled.size, call.isPending]).toEqual([0, 0, false]);
  });

  test("uses a free slot again under the next generation, so that a late reply finds nothing", () => {
    const { begin, calls } = bench();
    begin();
    calls.take(1, 0);
    const { call } = begin();
    expect([call.generation, call.slot]).toEqual([2, 0]);
    expect(calls.take(1, 0)).toBeNull();
    expect(calls.take(2, 0)).toBe(call);
  });

  test.each([
    [0, 0],
    [1, 7],
    [2, 0],
    [0xffff_ffff, 0xffff_ffff],
  ])("knows nothing of the id %d/%d", (hi, lo) => {
    const { begin, calls } = bench();
    begin();
    expect([calls.take(hi, lo), calls.size]).toEqual([null, 1]);
  });

  test("begins again with generation 1 when the numbers are used up: ids stay exact integers", () => {
    const { begin, calls } = bench();
    for (let generation = 1; generation <= MAX_GENERATION; generation += 1) {
      const { call } = begin("m", 0);
      if (calls.take(generation, 0) !== call) throw new Error(`generation ${generation} was not handed out`);
    }
    expect(begin().call.generation).toBe(1);
    expect(Number.isSafeInteger(MAX_GENERATION * 2 ** 32 + 0xffff_ffff)).toBe(true);
  });

  test("expires a call with TIMEOUT and tells the peer", () => {
    const { begin, calls, owner } = bench();
    const { call, errors } = begin("slow", 250);
    call.onTimer();
    expect(errors).toMatchObject([{ code: ErrorCode.TIMEOUT, message: "'slow' timed out after 250 ms" }]);
    expect([owner.abandoned, calls.size]).toEqual([[[1, 0]], 0]);
  });

  test("a signal of AbortSignal.timeout ends a call with TIMEOUT", () => {
    const { begin, calls } = bench();
    const { call, errors } = begin("m");
    const reason = Object.assign(new Error("timed out"), { name: "TimeoutError" });
    calls.cancel(call, reason);
    expect(errors).toMatchObject([{ code: ErrorCode.TIMEOUT, message: "'m' timed out", cause: reason }]);
  });

  test("cancels a call with CANCELLED, the signal's reason as its cause", () => {
    const { begin, calls, owner } = bench();
    const { call, errors } = begin("m");
    calls.cancel(call, "why");
    expect(errors).toMatchObject([{ code: ErrorCode.CANCELLED, message: "'m' was cancelled", cause: "why" }]);
    expect(owner.abandoned).toEqual([[1, 0]]);
  });

  test("does nothing to a call that is over: no second rejection, no word to the peer", () => {
    const { begin, calls, owner } = bench();
    const { call, errors } = begin();
    calls.take(1, 0);
    call.onTimer();
    calls.cancel(call, "late");
    calls.withdraw(call);
    expect([errors, owner.abandoned, calls.size]).toEqual([[], [], 0]);
  });

  test("does nothing to the call that has its slot now", () => {
    const { begin, calls } = bench();
    const old = begin();
    calls.take(1, 0);
    const { call, errors } = begin();
    old.call.onTimer();
    calls.withdraw(old.call);
    expect([errors, calls.take(2, 0)]).toEqual([[], call]);
  });

  test("takes a call back without a word to anybody", () => {
    const { begin, calls, owner } = bench();
    const { call, errors } = begin();
    calls.withdraw(call);
    expect([errors, owner.abandoned, owner.scheduled.size, calls.size]).toEqual([[], [], 0, 0]);
  });

  test("sets no timer for a call without a timeout", () => {
    const { begin, owner } = bench();
    begin("m", 0);
    expect(owner.scheduled.size).toBe(0);
  });

  test("rejects all at once; calls that the rejections begin are not touched", () => {
    const { begin, calls, owner } = bench();
    const first = begin("a");
    const gone = begin("b");
    const second = begin("c");
    calls.take(gone.call.generation, gone.call.slot);
    let begun: TestCall | null = null;
    calls.rejectAll((call) => {
      begun ??= begin("new");
      return new Error(call.name);
    });
    expect([first.errors, gone.errors, second.errors]).toMatchObject([[{ message: "a" }], [], [{ message: "c" }]]);
    expect((begun as unknown as TestCall).errors).toEqual([]);
    expect([calls.size, owner.abandoned]).toEqual([1, []]);
  });

  test("stops listening to a call's signal when the call is over", () => {
    const { begin, calls } = bench();
    const { call } = begin();
    const abort = new AbortController();
    let heard = 0;
    call.signal = abort.signal;
    call.onAbort = () => {
      heard += 1;
    };
    abort.signal.addEventListener("abort", call.onAbort);
    calls.take(call.generation, call.slot);
    abort.abort();
    call.unlisten();
    expect([heard, call.signal, call.onAbort]).toEqual([0, null, null]);
  });
});
