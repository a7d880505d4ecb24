/**
 * All timers of one server or client, for any number of connections and calls.
 *
 * Theory of operation. Time is divided into ticks of 16 ms. Entries are kept in a ring of slots, each in the slot of
 * its tick modulo the ring's length. The entries of a slot form a linked list, so scheduling and cancelling take a few
 * assignments and allocate nothing. An entry more than one turn of the ring away shares its slot with nearer ones; its
 * tick decides whether it is due.
 *
 * The wheel doesn't tick. One timer of the runtime wakes it at the next occupied slot, and an entry for an earlier tick
 * moves that timer forward. Cancelling leaves the timer alone: at worst the wheel wakes once for nothing, which is
 * cheaper than moving the timer for every call that is answered long before its deadline.
 *
 * An entry never fires early. It fires at most one tick late, plus the delay of the runtime's own timer.
 */
import { ConduitError, ErrorCode } from "../errors.ts";
import { type Clock, MAX_TIMER_MS, type TimerHandle } from "./clock.ts";

const DEFAULT_GRANULARITY_MS = 16;
/**
 * A power of two. With 16 ms ticks, one turn takes 8.2 s; the wheel passes an entry for a 30 s deadline three times.
 */
const DEFAULT_SLOTS = 512;

const NOT_ARMED = -1;

/** Base class of entries. An entry is scheduled in at most one wheel, at most once. */
export abstract class TimerEntry {
  /** Used by the wheel: neighbour in the slot's list. Null when not scheduled. */
  wheelNext: TimerEntry | null = null;
  /** Used by the wheel. */
  wheelPrevious: TimerEntry | null = null;
  /** Used by the wheel: first tick at which the entry may fire. */
  wheelTick = 0;

  /** Called once per scheduling. The entry is no longer scheduled at that point and may be scheduled again. */
  abstract onTimer(): void;

  get isScheduled(): boolean {
    return this.wheelNext !== null;
  }
}

/** Head of a circular list of entries. */
class Slot extends TimerEntry {
  constructor() {
    super();
    this.wheelNext = this;
    this.wheelPrevious = this;
  }

  override onTimer(): void {
    // Never called: a head is only in its own list.
  }

  get first(): TimerEntry | null {
    return this.wheelNext === this ? null : this.wheelNext;
  }
}

/** Options of {@link TimerWheel}. */
export interface TimerWheelOptions {
  /**
   * Receives errors thrown by `onTimer`; the other entries still fire. By default the error is thrown from the
   * runtime's timer, and the remaining entries fire with the next one.
   */
  readonly onError?: ((error: unknown) => void) | undefined;
  /** Length of a tick in milliseconds. Default 16. */
  readonly granularityMs?: number | undefined;
  /** Number of slots, a power of two. Default 512. */
  readonly slots?: number | undefined;
  /** Whether scheduled entries keep the process running. Default false. */
  readonly keepAlive?: boolean | undefined;
}

/** A timer wheel; see the top of this file. */
export class TimerWheel {
  readonly #clock: Clock;
  readonly #onError: ((error: unknown) => void) | undefined;
  readonly #granularityMs: number;
  readonly #keepAlive: boolean;
  readonly #slots: readonly Slot[];
  readonly #mask: number;
  readonly #originMs: number;
  readonly #wake: () => void;
  /** Entries moved out of their slots to be fired. They can still be cancelled. */
  readonly #due: Slot = new Slot();
  /** The last tick that was processed. */
  #doneTick = 0;
  /** The tick at which the runtime's timer fires, or NOT_ARMED. */
  #armedTick: number = NOT_ARMED;
  #timer: TimerHandle = null;
  #disposed = false;

  /** @throws ConduitError INVALID_CONFIG if `slots` isn't a power of two or `granularityMs` isn't positive. */
  constructor(clock: Clock, options: TimerWheelOptions = {}) {
    const { onError, granularityMs = DEFAULT_GRANULARITY_MS, slots = DEFAULT_SLOTS, keepAlive = false } = options;
    if (!Number.isInteger(slots) || slots < 1 || slots > 2 ** 20 || (slots & (slots - 1)) !== 0) {
      throw new ConduitError(ErrorCode.INVALID_CONFIG, `slots must be a power of two up to 1048576, got ${slots}`);
    }
    if (!(granularityMs > 0 && granularityMs < Number.POSITIVE_INFINITY)) {
      throw new ConduitError(ErrorCode.INVALID_CONFIG, `granularityMs must be positive, got ${granularityMs}`);
    }
    this.#clock = clock;
    this.#onError = onError;
    this.#granularityMs = granularityMs;
    this.#keepAlive = keepAlive;
    this.#slots = Array.from({ length: slots }, () => new Slot());
    this.#mask = slots - 1;
    this.#originMs = clock.now();
    this.#wake = () => this.#onWake();
  }

  /**
   * Fires `entry` once, `delayMs` milliseconds from now or up to a tick later. Reschedules it if it is scheduled.
   * @param now the current `Clock.now()`; pass it if known, because the call allocates
   * @throws ConduitError INVALID_CONFIG if `delayMs` isn't finite, INVALID_STATE after `dispose`.
   */
  schedule(entry: TimerEntry, delayMs: number, now: number = this.#clock.now()): void {
    if (this.#disposed) throw new ConduitError(ErrorCode.INVALID_STATE, "The timer wheel is disposed");
    if (!Number.isFinite(delayMs)) {
      throw new ConduitError(ErrorCode.INVALID_CONFIG, `delayMs must be a finite number, got ${delayMs}`);
    }
    if (entry.wheelNext !== null) unlink(entry);
    const wanted = Math.ceil((now - this.#originMs + delayMs) / this.#granularityMs);
    // A slot that was processed comes up again only after a whole turn.
    const tick = wanted > this.#doneTick ? wanted : this.#doneTick + 1;
    entry.wheelTick = tick;
    append(this.#slot(tick), entry);
    if (this.#armedTick === NOT_ARMED || tick < this.#armedTick) this.#arm(tick);
  }

  /** Cancels `entry` if it is scheduled. */
  cancel(entry: TimerEntry): void {
    if (entry.wheelNext !== null) unlink(entry);
  }

  /** Clears the runtime's timer if no entries are scheduled. */
  disarmIfEmpty(): void {
    const isEmpty = this.#due.first === null && this.#slots.every((slot) => slot.first === null);
    if (isEmpty) this.#disarm();
  }

  /** Cancels all entries and ends the wheel. Idempotent. */
  dispose(): void {
    this.#disposed = true;
    this.#disarm();
    for (const slot of this.#slots) clear(slot);
    clear(this.#due);
  }

  #slot(tick: number): Slot {
    return this.#slots[tick & this.#mask] as Slot;
  }

  #arm(tick: number): void {
    this.#disarm();
    const delayMs = this.#originMs + tick * this.#granularityMs - this.#clock.now();
    this.#armedTick = tick;
    const wholeMs = Math.min(Math.max(1, Math.ceil(delayMs)), MAX_TIMER_MS);
    this.#timer = this.#clock.setTimer(this.#wake, wholeMs, this.#keepAlive);
  }

  #disarm(): void {
    if (this.#armedTick === NOT_ARMED) return;
    this.#armedTick = NOT_ARMED;
    this.#clock.clearTimer(this.#timer);
    this.#timer = null;
  }

  #onWake(): void {
    this.#armedTick = NOT_ARMED;
    this.#timer = null;
    // The runtime's timer may fire slightly early by its own clock. Then nothing is due, and the timer is armed again.
    const tick = Math.floor((this.#clock.now() - this.#originMs) / this.#granularityMs);
    this.#collect(tick);
    try {
      this.#fire();
    } finally {
      if (!this.#disposed) this.#armNext();
    }
  }

  /** Moves all entries due at `tick` from the slots since the last processed tick, visiting each slot at most once. */
  #collect(tick: number): void {
    const from = Math.max(this.#doneTick + 1, tick - this.#mask);
    for (let at = from; at <= tick; at++) {
      const slot = this.#slot(at);
      let entry = slot.wheelNext as TimerEntry;
      while (entry !== slot) {
        const next = entry.wheelNext as TimerEntry;
        if (entry.wheelTick <= tick) {
          unlink(entry);
          append(this.#due, entry);
        }
        entry = next;
      }
    }
    if (tick > this.#doneTick) this.#doneTick = tick;
  }

  #fire(): void {
    for (let entry = this.#due.first; entry !== null; entry = this.#due.first) {
      unlink(entry);
      if (this.#onError === undefined) {
        entry.onTimer();
        continue;
      }
      try {
        entry.onTimer();
      } catch (error) {
        this.#onError(error);
      }
    }
  }

  /** Arms the timer for the next occupied slot. */
  #armNext(): void {
    if (this.#due.first !== null) {
      this.#arm(this.#doneTick);
      return;
    }
    for (let ahead = 1; ahead <= this.#slots.length; ahead++) {
      const tick = this.#doneTick + ahead;
      // An `onTimer` callback has already armed the timer for an earlier tick.
      if (this.#armedTick !== NOT_ARMED && this.#armedTick <= tick) return;
      if (this.#slot(tick).first !== null) {
        this.#arm(tick);
        return;
      }
    }
  }
}

function append(slot: Slot, entry: TimerEntry): void {
  const last = slot.wheelPrevious as TimerEntry;
  entry.wheelPrevious = last;
  entry.wheelNext = slot;
  last.wheelNext = entry;
  slot.wheelPrevious = entry;
}

function unlink(entry: TimerEntry): void {
  const previous = entry.wheelPrevious as TimerEntry;
  const next = entry.wheelNext as TimerEntry;
  previous.wheelNext = next;
  next.wheelPrevious = previous;
  entry.wheelNext = null;
  entry.wheelPrevious = null;
}

function clear(slot: Slot): void {
  for (let entry = slot.first; entry !== null; entry = slot.first) unlink(entry);
}
