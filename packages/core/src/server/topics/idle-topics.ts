import { MAX_IDLE_TOPIC_BYTES, MAX_IDLE_TOPICS } from "../../limits.ts";
import { CallbackTimer } from "../../util/time.ts";
import type { ChannelHost } from "./channel-host.ts";
import type { TopicChannel } from "./topic-channel.ts";

/** Topics of patterns that have messages but no members. Drops them once their messages are too old, or if there are too many. */
export class IdleTopics {
  readonly #host: Pick<ChannelHost, "now" | "wheel">;
  readonly #drop: (channel: TopicChannel) => void;
  /** In order of becoming idle. */
  readonly #topics = new Map<TopicChannel, { readonly untilMs: number; readonly bytes: number }>();
  #bytes = 0;
  readonly #timer: CallbackTimer;
  #dueMs = 0;

  /** @param drop removes a topic, and calls `delete` */
  constructor(host: Pick<ChannelHost, "now" | "wheel">, drop: (channel: TopicChannel) => void) {
    this.#host = host;
    this.#drop = drop;
    this.#timer = new CallbackTimer(() => this.#dropOld());
  }

  /** Adds or updates an idle topic. If there are too many, drops the oldest. */
  add(channel: TopicChannel): void {
    this.delete(channel);
    const untilMs = this.#host.now() + channel.rules.ageMs;
    const bytes = channel.keptBytes;
    this.#topics.set(channel, { untilMs, bytes });
    this.#bytes += bytes;
    for (const oldest of this.#topics.keys()) {
      if (this.#topics.size <= MAX_IDLE_TOPICS && this.#bytes <= MAX_IDLE_TOPIC_BYTES) break;
      this.#drop(oldest);
    }
    this.#dropAt(untilMs);
  }

  delete(channel: TopicChannel): void {
    this.#bytes -= this.#topics.get(channel)?.bytes ?? 0;
    this.#topics.delete(channel);
  }

  dropAll(): void {
    for (const channel of [...this.#topics.keys()]) this.#drop(channel);
    if (this.#timer.isScheduled) this.#host.wheel.cancel(this.#timer);
  }

  #dropAt(dueMs: number): void {
    if (this.#timer.isScheduled) {
      if (this.#dueMs <= dueMs) return;
      this.#host.wheel.cancel(this.#timer);
    }
    this.#dueMs = dueMs;
    this.#host.wheel.schedule(this.#timer, Math.max(1, dueMs - this.#host.now()));
  }

  #dropOld(): void {
    const now = this.#host.now();
    let nextMs = Number.POSITIVE_INFINITY;
    for (const [channel, { untilMs }] of this.#topics) {
      if (untilMs <= now) this.#drop(channel);
      else nextMs = Math.min(nextMs, untilMs);
    }
    if (nextMs < Number.POSITIVE_INFINITY) this.#dropAt(nextMs);
  }
}
