import { jetstream, jetstreamManager, type StreamInfo } from "@nats-io/jetstream";
import { type NatsConnection, nanos } from "@nats-io/transport-node";
import type { ClusterLog, ClusterLogLimits, ClusterLogs, LogPlace, LogReader } from "@netconduit/core";
import { ConduitError, ErrorCode } from "@netconduit/core";
import type { Clock } from "@netconduit/core/adapter";
import type { ConnectionRequests } from "./connection-requests.ts";
import { LogFollower } from "./log-follower.ts";
import { isApiError, JetStreamCode, storageError } from "./nats-errors.ts";
import { maxPayloadOf } from "./nats-limits.ts";
import { inboxPrefixOf, type NatsConfig } from "./nats-options.ts";
import { encodeToken, streamToken } from "./subjects.ts";

/** How long NATS remembers the ids of messages. */
const DUPLICATE_WINDOW_MS = 120_000;
/** Room for the headers of an append within NATS's limit, which includes them. */
const HEADER_BYTES = 512;
/** Between attempts to read on. */
const RETRY_MS = 1000;
/** For questions of a reader, which has no deadline of its own. */
const READ_TIMEOUT_MS = 5000;

/** What logs need of their link. */
export interface LogHost {
  readonly config: NatsConfig;
  readonly clock: Clock;
  readonly requests: ConnectionRequests;
}

/** Logs of topics: a JetStream stream for each, whose sequence numbers are the offsets. */
export class NatsLogs implements ClusterLogs {
  readonly #host: LogHost;
  readonly #logs = new Set<NatsLog>();

  constructor(host: LogHost) {
    this.#host = host;
  }

  async open(topic: string, limits: ClusterLogLimits, timeoutMs: number): Promise<ClusterLog> {
    const log = new NatsLog(this.#host, topic, limits, () => this.#logs.delete(log));
    await log.prepare(timeoutMs);
    this.#logs.add(log);
    return log;
  }

  /** The link is connected again: NATS may have lost its data meanwhile. */
  restored(): void {
    for (const log of this.#logs) log.restored();
  }

  close(): void {
    for (const log of [...this.#logs]) log.close();
  }
}

class NatsLog implements ClusterLog {
  readonly #host: LogHost;
  readonly #topic: string;
  readonly #stream: string;
  readonly #subject: string;
  readonly #limits: ClusterLogLimits;
  readonly #closed: () => void;
  /** When the stream was made: another one begins at 1 again. */
  #epoch = "";
  /** The stream has to be looked at again before its epoch counts; null: it was. */
  #preparing: Promise<StreamInfo> | null = null;
  #isStale = false;
  #reader: LogReader | null = null;
  /** The place behind which reading goes on; null until it has begun. */
  #place: LogPlace | null = null;
  #last = 0;
  #follower: LogFollower | null = null;
  #retryTimer: unknown = null;
  #isClosed = false;

  constructor(host: LogHost, topic: string, limits: ClusterLogLimits, closed: () => void) {
    const { name, subjectPrefix } = host.config;
    this.#host = host;
    this.#topic = topic;
    this.#stream = `netconduit-${name}-log-${streamToken(topic)}`;
    this.#subject = `${subjectPrefix}.log.${encodeToken(topic)}`;
    this.#limits = limits;
    this.#closed = closed;
  }

  /** Makes the stream if there is none. Several callers share one attempt. */
  prepare(timeoutMs: number): Promise<StreamInfo> {
    this.#preparing ??= this.#prepare(timeoutMs).finally(() => {
      this.#preparing = null;
    });
    return this.#preparing;
  }

  async #prepare(timeoutMs: number): Promise<StreamInfo> {
    const what = `open the log of topic ${this.#topic}`;
    try {
      const info = await this.#host.requests.ask(what, (connection) => this.#prepareStream(connection, timeoutMs));
      this.#epoch = info.created.replace(/\D/g, "");
      this.#isStale = false;
      return info;
    } catch (error) {
      throw storageError(`Cannot ${what}`, error);
    }
  }

  async #prepareStream(connection: NatsConnection, timeout: number): Promise<StreamInfo> {
    const { streams } = await jetstreamManager(connection, { timeout, checkAPI: false });
    const wanted = this.#streamLimits();
    let info: StreamInfo;
    try {
      info = await streams.info(this.#stream);
    } catch (error) {
      if (!isApiError(error, JetStreamCode.STREAM_NOT_FOUND)) throw error;
      const num_replicas = this.#host.config.replicas;
      info = await streams.add({ name: this.#stream, subjects: [this.#subject], num_replicas, ...wanted });
    }
    const { max_msgs, max_bytes, max_age } = info.config;
    const isAsWanted = max_msgs === wanted.max_msgs && max_bytes === wanted.max_bytes && max_age === wanted.max_age;
    return isAsWanted ? info : streams.update(this.#stream, wanted);
  }

  #streamLimits(): { max_msgs: number; max_bytes: number; max_age: number; duplicate_window: number } {
    const { messages, bytes, ageMs } = this.#limits;
    const orNone = (limit: number): number => (Number.isFinite(limit) && limit > 0 ? Math.ceil(limit) : -1);
    const hasAge = Number.isFinite(ageMs) && ageMs > 0;
    return {
      max_msgs: orNone(messages),
      max_bytes: orNone(bytes),
      max_age: hasAge ? nanos(ageMs) : 0,
      // NATS takes no window that is longer than the messages live.
      duplicate_window: nanos(hasAge ? Math.min(ageMs, DUPLICATE_WINDOW_MS) : DUPLICATE_WINDOW_MS),
    };
  }

  async append(id: string, payload: Uint8Array, timeoutMs: number): Promise<LogPlace> {
    const what = `append to the log of topic ${this.#topic}`;
    try {
      if (this.#isStale) await this.prepare(timeoutMs);
      return await this.#host.requests.ask(what, (connection) => this.#publish(connection, id, payload, timeoutMs));
    } catch (error) {
      throw storageError(`Cannot ${what}`, error);
    }
  }

  async #publish(connection: NatsConnection, msgID: string, payload: Uint8Array, timeout: number): Promise<LogPlace> {
    const limit = maxPayloadOf(connection) - HEADER_BYTES;
    if (payload.length > limit) {
      const sizes = `${payload.length} bytes exceed ${limit}; raise NATS's max_payload`;
      throw new ConduitError(ErrorCode.MESSAGE_TOO_LARGE, `Cannot append to the log of topic ${this.#topic}: ${sizes}`);
    }
    const epoch = this.#epoch;
    const options = { msgID, timeout, expect: { streamName: this.#stream } };
    const { seq } = await jetstream(connection).publish(this.#subject, payload, options);
    return { epoch, offset: seq };
  }

  read(last: number, reader: LogReader): void {
    this.#reader = reader;
    this.#last = last;
    this.#place = null;
    void this.#readOn();
  }

  /** The link is connected again. */
  restored(): void {
    this.#isStale = true;
    if (this.#reader !== null) void this.#readOn();
  }

  close(): void {
    this.#isClosed = true;
    this.#reader = null;
    this.#stopReading();
    this.#closed();
  }

  #stopReading(): void {
    if (this.#retryTimer !== null) this.#host.clock.clearTimer(this.#retryTimer);
    this.#retryTimer = null;
    this.#follower?.stop();
    this.#follower = null;
  }

  /** Begins to read, or goes on after an interruption. */
  async #readOn(): Promise<void> {
    this.#stopReading();
    const { clock, config, requests } = this.#host;
    const reader = this.#reader;
    const { connection } = requests;
    // `restored` comes with the next connection.
    if (connection === null || reader === null) return;
    const follower = new LogFollower(connection, inboxPrefixOf(config), clock, {
      entry: (offset, payload, newest) => this.#entry(reader, offset, payload, newest),
      interrupted: () => void this.#readOn(),
    });
    this.#follower = follower;
    try {
      const { state } = await this.prepare(READ_TIMEOUT_MS);
      if (this.#follower !== follower) return;
      this.#findPlace(reader, state);
      const first = this.#place!.offset + 1;
      await requests.ask("read a log", () => follower.start(this.#stream, first, READ_TIMEOUT_MS));
    } catch {
      // The link says why it isn't connected, and an append why NATS doesn't store. Reading goes on when it can.
      if (this.#follower !== follower || this.#isClosed) return;
      this.#stopReading();
      this.#retryTimer = clock.setTimer(() => void this.#readOn(), RETRY_MS, false);
    }
  }

  /** Decides behind which message reading goes on. */
  #findPlace(reader: LogReader, { messages, first_seq, last_seq }: StreamInfo["state"]): void {
    const removed = messages === 0 ? last_seq : first_seq - 1;
    const epoch = this.#epoch;
    if (this.#place?.epoch === epoch && this.#place.offset >= removed) return;
    const isFirst = this.#place === null;
    const offset = isFirst ? Math.max(removed, last_seq - this.#last) : removed;
    this.#place = { epoch, offset };
    reader.starts(this.#place, last_seq);
  }

  #entry(reader: LogReader, offset: number, payload: Uint8Array, newest: number): void {
    const place = this.#place;
    if (place === null || offset <= place.offset) return;
    // Limits have removed messages before they could be read.
    if (offset > place.offset + 1) reader.starts({ epoch: place.epoch, offset: offset - 1 }, newest);
    this.#place = { epoch: place.epoch, offset };
    reader.entry(offset, payload);
  }
}
