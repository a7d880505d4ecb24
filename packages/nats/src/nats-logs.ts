import type { ClusterLog, ClusterLogLimits, ClusterLogs, LogPlace, LogReader } from "@netconduit/core";
import { LogFollower } from "./log-follower.ts";
import { LogStream, type LogStreamHost, type LogStreamState } from "./log-stream.ts";
import { inboxPrefixOf } from "./nats-options.ts";
import { PendingAppends } from "./pending-appends.ts";

/** Delay between attempts to resume reading. */
const RETRY_MS = 1000;
/** Timeout of a reader's requests, which have no deadline of their own. */
const READ_TIMEOUT_MS = 5000;

/** The link of {@link NatsLogs}. */
export interface LogHost extends LogStreamHost {
  /** A reader threw while handling a message. */
  failed(error: unknown): void;
}

/** Topic logs. Each is a JetStream stream, whose sequence numbers are the offsets. */
export class NatsLogs implements ClusterLogs {
  readonly #host: LogHost;
  readonly #appends: PendingAppends;
  readonly #logs = new Set<NatsLog>();
  /** Streams of open logs, by topic. */
  readonly #streams = new Map<string, LogStream>();

  constructor(host: LogHost) {
    this.#host = host;
    this.#appends = new PendingAppends(host.config.maxPendingBytes);
  }

  async open(topic: string, limits: ClusterLogLimits, timeoutMs: number): Promise<ClusterLog> {
    const stream = this.#streams.get(topic) ?? new LogStream(this.#host, topic);
    const log = new NatsLog(this.#host, stream, this.#appends, () => this.#closed(log));
    this.#logs.add(log);
    this.#streams.set(topic, stream);
    stream.limits = limits;
    try {
      await stream.prepare(timeoutMs);
    } catch (error) {
      log.close();
      throw error;
    }
    return log;
  }

  #closed(log: NatsLog): void {
    this.#logs.delete(log);
    const { stream } = log;
    if ([...this.#logs].some((other) => other.stream === stream)) return;
    stream.close();
    if (this.#streams.get(stream.topic) === stream) this.#streams.delete(stream.topic);
  }

  /** The link has reconnected. NATS may have lost its data in between. */
  restored(): void {
    for (const stream of this.#streams.values()) stream.restored();
    for (const log of this.#logs) log.restored();
  }

  close(): void {
    for (const log of [...this.#logs]) log.close();
  }
}

class NatsLog implements ClusterLog {
  readonly stream: LogStream;
  readonly #host: LogHost;
  readonly #appends: PendingAppends;
  readonly #closed: () => void;
  #reader: LogReader | null = null;
  /** The last place read; null until reading has started. */
  #place: LogPlace | null = null;
  /** When NATS stored the message at that place, in NATS's own format; empty if none was read there. */
  #stored = "";
  /** The newest message reported to the reader. */
  #newest = 0;
  #last = 0;
  #follower: LogFollower | null = null;
  #retryTimer: unknown = null;
  #isClosed = false;

  constructor(host: LogHost, stream: LogStream, appends: PendingAppends, closed: () => void) {
    this.#host = host;
    this.stream = stream;
    this.#appends = appends;
    this.#closed = closed;
  }

  append(id: string, payload: Uint8Array, timeoutMs: number): Promise<LogPlace> {
    const { stream } = this;
    return this.#appends.run(stream.topic, payload.length, () => stream.append(id, payload, timeoutMs));
  }

  read(last: number, reader: LogReader): void {
    this.#reader = reader;
    this.#last = last;
    this.#place = null;
    void this.#readOn();
  }

  async newest(timeoutMs: number): Promise<LogPlace> {
    const { epoch, newest } = await this.stream.prepare(timeoutMs);
    return { epoch, offset: newest };
  }

  /** The link has reconnected. */
  restored(): void {
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

  /** Starts reading, or resumes after an interruption. */
  async #readOn(): Promise<void> {
    this.#stopReading();
    const { clock, config, requests } = this.#host;
    const reader = this.#reader;
    const { connection } = requests;
    // `restored` is called for the next connection.
    if (connection === null || reader === null) return;
    const follower = new LogFollower(connection, inboxPrefixOf(config), clock, {
      entry: (offset, payload, newest, stored) => this.#entry(reader, offset, payload, newest, stored),
      idle: () => {
        // The newest message was removed before it could be read.
        if (this.#place !== null && this.#place.offset < this.#newest) void this.#readOn();
      },
      interrupted: () => void this.#readOn(),
      failed: (error) => this.#host.failed(error),
    });
    this.#follower = follower;
    try {
      const state = await this.stream.prepare(READ_TIMEOUT_MS);
      if (this.#follower !== follower) return;
      const first = this.#findPlace(reader, state);
      await requests.ask("read a log", () => follower.start(this.stream.name, first, READ_TIMEOUT_MS));
    } catch {
      // Not reported: the link reports why it is down, and `append` why NATS doesn't store. Reading resumes when possible.
      if (this.#follower !== follower || this.#isClosed) return;
      this.#stopReading();
      this.#retryTimer = clock.setTimer(() => void this.#readOn(), RETRY_MS, false);
    }
  }

  /** Decides where reading resumes. Returns the number of the first message to read. */
  #findPlace(reader: LogReader, { epoch, removed, newest }: LogStreamState): number {
    const place = this.#place;
    if (place?.epoch === epoch && place.offset >= removed) {
      if (this.#newest > Math.max(newest, place.offset)) this.#starts(reader, place, Math.max(newest, place.offset));
      // Read the last message again, to check that NATS wasn't restored with older data.
      return this.#stored !== "" && place.offset > removed ? place.offset : place.offset + 1;
    }
    const offset = place === null ? Math.max(removed, newest - this.#last) : removed;
    this.#stored = "";
    this.#starts(reader, { epoch, offset }, newest);
    return offset + 1;
  }

  #starts(reader: LogReader, after: LogPlace, newest: number): void {
    this.#place = after;
    this.#newest = newest;
    reader.starts(after, newest);
  }

  #entry(reader: LogReader, offset: number, payload: Uint8Array, newest: number, stored: string): void {
    const place = this.#place;
    if (place === null) return;
    if (offset === place.offset && stored !== this.#stored && this.#stored !== "") {
      this.stream.doubt(place.epoch);
      void this.#readOn();
      return;
    }
    if (offset <= place.offset) return;
    const { epoch } = place;
    // Messages were removed by the limits before they could be read.
    if (offset > place.offset + 1) this.#starts(reader, { epoch, offset: offset - 1 }, newest);
    this.#place = { epoch, offset };
    this.#stored = stored;
    this.stream.knows(this.#place);
    reader.entry(offset, payload);
  }
}
