import { PRESENCE_WINDOW_MS, TIME_SLICE_MS } from "../../limits.ts";
import { CallbackTimer } from "../../util/time.ts";
import type { TimerWheel } from "../../util/timer-wheel.ts";

/** The server of a {@link PresenceFlusher}. */
export interface FlusherHost {
  readonly wheel: TimerWheel;
  /** Monotonic milliseconds. */
  now(): number;
  /** See `Runtime.nextTurn`. */
  nextTurn(task: () => void): void;
  /** Reports that a topic's presence could not be sent. */
  flushFailed(topic: string, error: unknown): void;
}

/** A topic whose presence has changed. */
export interface Flushable {
  readonly topic: string;
  /** @param hasTime whether there is time left in this turn. @returns whether all members were notified */
  flush(hasTime: () => boolean): boolean;
}

/**
 * Sends changes of presence to subscribers, 100 ms after the first change. Because many topics may change at once, it
 * works for one time slice per turn; twenty thousand topics in one turn blocked the event loop for half a second.
 */
export class PresenceFlusher {
  readonly #host: FlusherHost;
  readonly #timer: CallbackTimer;
  readonly #changed = new Set<Flushable>();
  /** Topics that are due. */
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
      // Later changes belong to the next round.
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
      if (this.#flush(topic, hasTime)) this.#due.delete(topic);
      if (this.#due.size > 0 && !hasTime()) {
        this.#host.nextTurn(() => this.#run());
        return;
      }
    }
    this.#isRunning = false;
  }

  /** Returns whether all changes of the topic were sent, or can't be. */
  #flush(topic: Flushable, hasTime: () => boolean): boolean {
    try {
      return topic.flush(hasTime);
    } catch (error) {
      this.#host.flushFailed(topic.topic, error);
      return true;
    }
  }
}
