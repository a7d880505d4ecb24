/**
 * Calls that wait for their reply. A slot table with generations: the correlation id's low half is the slot, its high
 * half the slot's generation, so a late or forged reply finds nothing, and finding a call costs two array reads.
 */

import { ConduitError, cancelledError, ErrorCode } from "../errors.ts";
import { TimerEntry } from "../util/timer-wheel.ts";
import type { Validator } from "./validation.ts";

/** Generations stay below 2^21, so an id as one number stays an exact integer. */
const MAX_GENERATION = 0x1fffff;

/** One call under way. Its timer is the call's deadline. */
export class PendingCall extends TimerEntry {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: Error) => void;
  /** Method or message type, for messages and validation errors. */
  readonly name: string;
  readonly timeoutMs: number;
  readonly validator: Validator<unknown> | null;
  /** Its slot and generation; both halves of the correlation id. */
  slot = 0;
  generation = 0;
  /** False once it has been settled, given up or taken back. */
  isPending = false;
  /** Set while an `AbortSignal` is listened to. */
  signal: AbortSignal | null = null;
  onAbort: (() => void) | null = null;
  readonly #owner: PendingCalls;

  constructor(
    owner: PendingCalls,
    name: string,
    timeoutMs: number,
    validator: Validator<unknown> | null,
    resolve: (value: unknown) => void,
    reject: (error: Error) => void,
  ) {
    super();
    this.#owner = owner;
    this.name = name;
    this.timeoutMs = timeoutMs;
    this.validator = validator;
    this.resolve = resolve;
    this.reject = reject;
  }

  override onTimer(): void {
    this.#owner.expire(this);
  }

  /** Stops listening to the signal. */
  unlisten(): void {
    if (this.signal !== null && this.onAbort !== null) {
      this.signal.removeEventListener("abort", this.onAbort);
      this.signal = null;
      this.onAbort = null;
    }
  }
}

/** What the table asks of its connection. */
export interface PendingCallsOwner {
  scheduleCall(call: PendingCall): void;
  unscheduleCall(call: PendingCall): void;
  /** The caller gave the call up (deadline or signal): tell the peer, if it understands that. */
  callAbandoned(generation: number, slot: number): void;
}

export class PendingCalls {
  readonly #owner: PendingCallsOwner;
  readonly #calls: (PendingCall | null)[] = [];
  readonly #generations: number[] = [];
  readonly #free: number[] = [];
  #size = 0;

  constructor(owner: PendingCallsOwner) {
    this.#owner = owner;
  }

  /** Number of calls under way. */
  get size(): number {
    return this.#size;
  }

  /** Gives the call its correlation id and starts its deadline. */
  add(call: PendingCall): void {
    const free = this.#free.pop();
    const slot = free === undefined ? this.#calls.length : free;
    const previous = free === undefined ? 0 : (this.#generations[slot] as number);
    const generation = previous >= MAX_GENERATION ? 1 : previous + 1;
    this.#calls[slot] = call;
    this.#generations[slot] = generation;
    call.slot = slot;
    call.generation = generation;
    call.isPending = true;
    this.#size += 1;
    if (call.timeoutMs > 0) this.#owner.scheduleCall(call);
  }

  /** Removes and returns the call a reply names, or null if it is no longer (or never was) waited for. */
  take(hi: number, lo: number): PendingCall | null {
    const call = this.#calls[lo];
    if (call === undefined || call === null || call.generation !== hi) return null;
    this.#remove(call);
    return call;
  }

  /** The call's deadline passed. */
  expire(call: PendingCall): void {
    if (this.#calls[call.slot] !== call) return;
    this.#remove(call);
    this.#owner.callAbandoned(call.generation, call.slot);
    call.reject(new ConduitError(ErrorCode.TIMEOUT, `'${call.name}' timed out after ${call.timeoutMs} ms`));
  }

  /** The caller's signal fired. */
  cancel(call: PendingCall, cause: unknown): void {
    if (this.#calls[call.slot] !== call) return;
    this.#remove(call);
    this.#owner.callAbandoned(call.generation, call.slot);
    call.reject(cancelledError(call.name, cause));
  }

  /** Takes a call back whose frame was never sent. */
  withdraw(call: PendingCall): void {
    if (this.#calls[call.slot] === call) this.#remove(call);
  }

  /** Rejects every call at once. */
  rejectAll(makeError: (call: PendingCall) => Error): void {
    for (const call of this.#calls.slice()) {
      if (call === null) continue;
      this.#remove(call);
      call.reject(makeError(call));
    }
  }

  #remove(call: PendingCall): void {
    call.isPending = false;
    this.#calls[call.slot] = null;
    this.#free.push(call.slot);
    this.#size -= 1;
    if (call.timeoutMs > 0) this.#owner.unscheduleCall(call);
    if (call.signal !== null) call.unlisten();
  }
}
