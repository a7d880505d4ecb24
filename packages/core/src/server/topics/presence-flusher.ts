import { PRESENCE_WINDOW_MS, TIME_SLICE_MS } from "../../limits.ts";
import { CallbackTimer } from "../../util/time.ts";
import type { TimerWheel } from "../../util/timer-wheel.ts";

/** The server of a {@link PresenceFlusher}. */
export interface FlusherHost {
  readonly wheel: TimerWheel;
  /** Monotonic milliseconds. */
  now(): number;
  /** As `Runtime.nextTurn`. */
  nextTurn(task: () => void): void;
  /** The presence of a topic could not be sent. */
  flushFailed(topic: string, error: unknown): void;
}

/** A topic whose presence has changed. */
export interface Flushable {
  readonly topic: string;
  /** @param hasTime whether this turn may go on. @returns whether it has told everybody */
  flush(hasTime: () => boolean): boolean;
}

/**
 * Tells subscribers of changes of presence, 100 ms after the first one. Many topics may change at once, so it works for a
 * slice of each turn: twenty thousand at once held up everybody for half a second.
 */
export class PresenceFlusher {
  readonly #host: FlusherHost;
  readonly #timer: CallbackTimer;
  readonly #changed = new Set<Flushable>();
  /** Those whose time has come. */
  readonly #due = new Set<Flushable>();
  #isRunning = false;

  constructor(host: FlusherHost) {
    this.#host = host;
    this.#timer = new CallbackTimer(() => this.#fire());
  }

  add(topic: Flushable): void {
    this.#changed.add(topic);
    if (!this.#timer.isScheduled) this.#host.wheel.schedule(this.#timer, PRESENCE_WINDOW_MS);
  }

  delete(topic: Flushable): void {
    this.#due.delete(topic);
    if (this.#changed.delete(topic) && this.#changed.size === 0) this.#host.wheel.cancel(this.#timer);
  }

  #fire(): void {
    for (const topic of this.#changed) {
      // Later changes belong to its next round.
      if (this.#due.has(topic)) continue;
      this.#changed.delete(topic);
      this.#due.add(topic);
    }
    if (this.#changed.size > 0) this.#host.wheel.schedule(this.#timer, PRESENCE_WINDOW_MS);
    if (!this.#isRunning) this.#run();
  }

  #run(): void {
    this.#isRunning = true;
    const endsAt = this.#host.now() + TIME_SLICE_MS;
    const hasTime = (): boolean => this.#host.now() < endsAt;
    for (const topic of this.#due) {
      if (this.#hasTold(topic, hasTime)) this.#due.delete(topic);
      if (this.#due.size > 0 && !hasTime()) {
        this.#host.nextTurn(() => this.#run());
        return;
      }
    }
    this.#isRunning = false;
  }
  #hasTold(topic: Flushable, hasTime: () => boolean): boolean {
    try {
      return topic.flush(hasTime);
    } catch (error) {
      this.#host.flushFailed(topic.topic, error);
      return true;
    }
  }
}
