import { jetstream, jetstreamManager, type StreamAPI, type StreamInfo } from "@nats-io/jetstream";
import { type NatsConnection, nanos } from "@nats-io/transport-node";
import type { ClusterLogLimits, LogPlace } from "@netconduit/core";
import type { Clock } from "@netconduit/core/adapter";
import type { ConnectionRequests } from "./connection-requests.ts";
import { isApiError, isStreamMissing, JetStreamCode, storageError } from "./nats-errors.ts";
import { mustFitOne } from "./nats-limits.ts";
import type { NatsConfig } from "./nats-options.ts";
import { encodeToken, streamToken } from "./subjects.ts";

/** How long NATS keeps message ids for deduplication. */
const DUPLICATE_WINDOW_MS = 120_000;
/** Key in a stream's metadata whose value changes when NATS is restored with older data. */
const GENERATION = "netconduit-generation";
/** Nodes that detect this at the same time overwrite each other's values; after this time, the last value is final. */
const SETTLE_MS = 1000;

/** The link of {@link LogStream}. */
export interface LogStreamHost {
  readonly config: NatsConfig;
  readonly clock: Clock;
  readonly requests: ConnectionRequests;
}

/** A stream's epoch and positions. */
export interface LogStreamState {
  readonly epoch: string;
  /** The last removed message: all up to this one are removed. */
  readonly removed: number;
  /** The newest message, or the last one there was if the stream is empty. */
  readonly newest: number;
}

/** A topic's stream, shared by all logs of that topic on this node, so that they agree on its epoch. */
export class LogStream {
  readonly topic: string;
  readonly name: string;
  limits: ClusterLogLimits = { messages: 0, bytes: 0, ageMs: 0 };
  readonly #host: LogStreamHost;
  readonly #subject: string;
  /** The stream's creation time and generation. Offsets of another epoch refer to other messages. */
  #epoch = "";
  /** The newest known offset of the epoch. A stream that ends before it was restored with older data. */
  #known = 0;
  /** An epoch whose messages have changed since they were read. */
  #doubted: string | null = null;
  #preparing: Promise<LogStreamState> | null = null;
  #endPause: () => void = () => undefined;
  /** Whether the stream must be checked again before its epoch is used. */
  #isStale = false;

  constructor(host: LogStreamHost, topic: string) {
    const { name, subjectPrefix } = host.config;
    this.#host = host;
    this.topic = topic;
    this.name = `netconduit-${name}-log-${streamToken(topic)}`;
    this.#subject = `${subjectPrefix}.log.${encodeToken(topic)}`;
  }

  /** The link is connected again. */
  restored(): void {
    this.#isStale = true;
  }

  /** Marks an epoch as wrong: an offset has another message than before. */
  doubt(epoch: string): void {
    this.#doubted = epoch;
  }

  /** Records that a message was read. */
  knows({ epoch, offset }: LogPlace): void {
    if (epoch === this.#epoch && offset > this.#known) this.#known = offset;
  }

  /** Creates the stream if it doesn't exist. Concurrent callers share one attempt. */
  prepare(timeoutMs: number): Promise<LogStreamState> {
    this.#preparing ??= this.#prepare(timeoutMs).finally(() => {
      this.#preparing = null;
    });
    return this.#preparing;
  }

  async #prepare(timeoutMs: number): Promise<LogStreamState> {
    const what = `open the log of topic ${this.topic}`;
    const look = () => this.#host.requests.ask(what, (connection) => this.#look(connection, timeoutMs));
    try {
      let { info, newest } = await look();
      if (this.#isOtherGeneration(info)) {
        await this.#pause(SETTLE_MS);
        ({ info, newest } = await look());
      }
      const { messages, first_seq, last_seq } = info.state;
      const epoch = epochOf(info);
      if (epoch !== this.#epoch) this.#known = 0;
      this.#epoch = epoch;
      this.#isStale = false;
      this.knows({ epoch, offset: last_seq });
      return { epoch, removed: messages === 0 ? last_seq : first_seq - 1, newest };
    } catch (error) {
      throw storageError(`Cannot ${what}`, error);
    }
  }

  async #look(connection: NatsConnection, timeout: number): Promise<{ info: StreamInfo; newest: number }> {
    const { streams } = await jetstreamManager(connection, { timeout, checkAPI: false });
    // Excludes messages appended while NATS answers.
    const known = this.#known;
    let info = await this.#infoOrNew(streams);
    const wanted = this.#streamLimits();
    const { max_msgs, max_bytes, max_age } = info.config;
    const isAsWanted = max_msgs === wanted.max_msgs && max_bytes === wanted.max_bytes && max_age === wanted.max_age;
    if (!isAsWanted) info = await streams.update(this.name, wanted);
    if (this.#hasOtherMessages(info, known)) {
      const metadata = { ...info.config.metadata, [GENERATION]: Date.now().toString(36) };
      info = await streams.update(this.name, { metadata });
    }
    return { info, newest: await this.#newestOf(streams, info) };
  }

  async #infoOrNew(streams: StreamAPI): Promise<StreamInfo> {
    try {
      return await streams.info(this.name);
    } catch (error) {
      if (!isApiError(error, JetStreamCode.STREAM_NOT_FOUND)) throw error;
      const num_replicas = this.#host.config.replicas;
      return streams.add({ name: this.name, subjects: [this.#subject], num_replicas, ...this.#streamLimits() });
    }
  }

  /** Whether NATS was restored with older data and no node has recorded it in the stream yet. */
  #hasOtherMessages(info: StreamInfo, known: number): boolean {
    const epoch = epochOf(info);
    return epoch === this.#epoch && (epoch === this.#doubted || info.state.last_seq < known);
  }

  /** Whether the known stream has a new generation. */
  #isOtherGeneration(info: StreamInfo): boolean {
    return this.#epoch !== epochOf(info) && this.#epoch.split("-")[0] === madeAt(info);
  }

  /** Ends early when the log is closed. */
  #pause(ms: number): Promise<void> {
    const { clock } = this.#host;
    return new Promise((resolve) => {
      const end = (): void => {
        clock.clearTimer(timer);
        resolve();
      };
      const timer = clock.setTimer(end, ms, false);
      this.#endPause = end;
    });
  }

  /** The last log using this stream was closed. */
  close(): void {
    this.#endPause();
  }

  /** Returns the newest message that wasn't deleted individually. */
  async #newestOf(streams: StreamAPI, { state }: StreamInfo): Promise<number> {
    // NATS omits the number if it is 0.
    if (state.messages === 0 || (state.num_deleted ?? 0) === 0) return state.last_seq;
    const message = await streams.getMessage(this.name, { last_by_subj: this.#subject });
    return message?.seq ?? state.last_seq;
  }

  #streamLimits(): { max_msgs: number; max_bytes: number; max_age: number; duplicate_window: number } {
    const { messages, bytes, ageMs } = this.limits;
    const orNone = (limit: number): number => (Number.isFinite(limit) && limit > 0 ? Math.ceil(limit) : -1);
    const hasAge = Number.isFinite(ageMs) && ageMs > 0;
    return {
      max_msgs: orNone(messages),
      max_bytes: orNone(bytes),
      max_age: hasAge ? nanos(ageMs) : 0,
      // NATS rejects a window longer than the messages' maximum age.
      duplicate_window: nanos(hasAge ? Math.min(ageMs, DUPLICATE_WINDOW_MS) : DUPLICATE_WINDOW_MS),
    };
  }

  async append(id: string, payload: Uint8Array, timeoutMs: number): Promise<LogPlace> {
    const { clock, requests } = this.#host;
    const what = `append to the log of topic ${this.topic}`;
    const deadline = clock.now() + timeoutMs;
    const leftMs = (): number => Math.max(1, deadline - clock.now());
    const publish = (): Promise<LogPlace> =>
      requests.ask(what, (connection) => this.#publish(connection, id, payload, leftMs()));
    try {
      if (this.#isStale) await this.prepare(leftMs());
      try {
        return await publish();
      } catch (error) {
        if (!isStreamMissing(error)) throw error;
        // The stream was deleted: create it again.
        await this.prepare(leftMs());
        return await publish();
      }
    } catch (error) {
      throw storageError(`Cannot ${what}`, error);
    }
  }

  async #publish(connection: NatsConnection, msgID: string, payload: Uint8Array, timeout: number): Promise<LogPlace> {
    mustFitOne(connection, `append to the log of topic ${this.topic}`, payload);
    const epoch = this.#epoch;
    const options = { msgID, timeout, expect: { streamName: this.name } };
    const { seq } = await jetstream(connection).publish(this.#subject, payload, options);
    const place = { epoch, offset: seq };
    this.knows(place);
    return place;
  }
}

function epochOf(info: StreamInfo): string {
  const generation = info.config.metadata?.[GENERATION];
  const made = madeAt(info);
  return generation === undefined ? made : `${made}-${generation}`;
}

function madeAt({ created }: StreamInfo): string {
  return created.replace(/\D/g, "");
}
