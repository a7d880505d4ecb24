/**
 * Timers of one server or client, however many connections and calls it has.
 *
 * Theory of operation. Time is cut into ticks of 16 ms. A ring of slots holds the entries, each in the slot of its
 * tick modulo the ring's length; within a slot they are linked to each other, so scheduling and cancelling are a few
 * assignments and allocate nothing. An entry further away than one turn of the ring shares its slot with nearer ones:
 * its own tick says whether it is due, and it stays if it is not.
 *
 * The wheel does not tick. It sleeps, by one timer of the runtime, until the next slot that holds anything; an entry
 * for an earlier tick wakes it earlier. Cancelling leaves that timer alone: at worst it wakes the wheel once for
 * nothing, which costs less than moving it for each of the many calls that are answered long before their deadline.
 *
 * An entry never fires early, and late by one tick plus the lateness of the runtime's own timer.
 */
import { ConduitError, ErrorCode } from "../errors.ts";
import type { Clock, TimerHandle } from "./clock.ts";

const DEFAULT_GRANULARITY_MS = 16;
/** Power of two. With 16 ms ticks one turn is 8.2 s: an entry for a 30 s deadline is passed over three times. */
const DEFAULT_SLOTS = 512;

const NOT_ARMED = -1;
/** Longest delay that every runtime's timer takes; a longer one is slept through in parts. */
const MAX_TIMER_MS: number = 2 ** 31 - 1;

/** Something that wants to be told when its time has come. Extend it; one entry is in one wheel, at most once. */
export abstract class TimerEntry {
  /** The wheel's own. Neighbours in its slot; null: not scheduled. */
  wheelNext: TimerEntry | null = null;
  /** The wheel's own. */
  wheelPrevious: TimerEntry | null = null;
  /** The wheel's own. First tick at which the entry may fire. */
  wheelTick = 0;

  /** Called once per scheduling. It is no longer scheduled then, and may be scheduled again from here. */
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
    // A head is in no list but its own, so it never falls due.
  }

  get first(): TimerEntry | null {
    return this.wheelNext === this ? null : this.wheelNext;
  }
}

/** Options of {@link TimerWheel}. */
export interface TimerWheelOptions {
  /**
   * Gets what an entry's `onTimer` throws; the other entries fire all the same. Default: it is thrown out of the
   * runtime's timer, and the entries that were still to fire do so with the next one.
   */
  readonly onError?: ((error: unknown) => void) | undefined;
  /** Length of a tick in milliseconds. Default 16. */
  readonly granularityMs?: number | undefined;
  /** Length of the ring, a power of two. Default 512. */
  readonly slots?: number | undefined;
  /** Whether scheduled entries keep the process running. Default false. */
  readonly keepAlive?: boolean | undefined;
}

/** See the head of this file. */
export class TimerWheel {
  readonly #clock: Clock;
  readonly #onError: ((error: unknown) => void) | undefined;
  readonly #granularityMs: number;
  readonly #keepAlive: boolean;
  readonly #slots: readonly Slot[];
  readonly #mask: number;
  readonly #originMs: number;
  readonly #wake: () => void;
  /** Entries taken out of their slots to be fired. Still scheduled, so they can still be cancelled. */
  readonly #due: Slot = new Slot();
  /** The last tick whose slot was looked at. */
  #doneTick = 0;
  /** The tick at which the runtime's timer wakes the wheel, or NOT_ARMED. */
  #armedTick: number = NOT_ARMED;
  #timer: TimerHandle = null;
  #disposed = false;

  /** @throws ConduitError INVALID_CONFIG for slots that are no power of two or a granularity that is not positive. */
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
   * Fires `entry` once, `delayMs` milliseconds from now or up to a tick later. If it is scheduled, it moves.
   * @param now what `Clock.now` says, where that is known: asking leaves garbage
   * @throws ConduitError INVALID_CONFIG if `delayMs` is not a finite number; INVALID_STATE after `dispose`.
   */
  schedule(entry: TimerEntry, delayMs: number, now: number = this.#clock.now()): void {
    if (this.#disposed) throw new ConduitError(ErrorCode.INVALID_STATE, "The timer wheel is disposed");
    if (!Number.isFinite(delayMs)) {
      throw new ConduitError(ErrorCode.INVALID_CONFIG, `delayMs must be a finite number, got ${delayMs}`);
    }
    if (entry.wheelNext !== null) unlink(entry);
    const wanted = Math.ceil((now - this.#originMs + delayMs) / this.#granularityMs);
    // A slot already looked at comes round again only after a whole turn.
    const tick = wanted > this.#doneTick ? wanted : this.#doneTick + 1;
    entry.wheelTick = tick;
    append(this.#slot(tick), entry);
    if (this.#armedTick === NOT_ARMED || tick < this.#armedTick) this.#arm(tick);
  }

  /** Takes `entry` out. Does nothing if it is not scheduled. */
  cancel(entry: TimerEntry): void {
    if (entry.wheelNext !== null) unlink(entry);
  }

  /** Takes all entries out, unfired, and ends the wheel. Idempotent. */
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
    // The runtime's timer may be a little early by the runtime's own clock: then nothing is due, and it is armed again.
    const tick = Math.floor((this.#clock.now() - this.#originMs) / this.#granularityMs);
    this.#collect(tick);
    try {
      this.#fire();
    } finally {
      if (!this.#disposed) this.#armNext();
    }
  }

  /** Moves what is due at `tick` out of the slots since the last one looked at; each slot once, however late it is. */
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

  /** Sleeps until the next slot that holds anything. */
  #armNext(): void {
    if (this.#due.first !== null) {
      this.#arm(this.#doneTick);
      return;
    }
    for (let ahead = 1; ahead <= this.#slots.length; ahead++) {
      const tick = this.#doneTick + ahead;
      // An entry that an `onTimer` scheduled has armed the timer already, and nothing nearer was found.
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
