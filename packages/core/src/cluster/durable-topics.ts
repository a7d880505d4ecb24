/**
 * Topics whose history is a log in the engine, with one order for all nodes.
 *
 * Theory of operation. Publishing only appends to the log. Each node that has subscribers reads the log and forwards
 * its messages. So all nodes have the same order and positions, a subscriber that reconnects to another node
 * continues there, and an acknowledged message isn't lost while the log keeps it.
 */

import { ConduitError, ErrorCode } from "../errors.ts";
import { CallbackTimer } from "../util/time.ts";
import type { TimerWheel } from "../util/timer-wheel.ts";
import type { EncodedValue } from "../wire/encoded-value.ts";
import type { ClusterLink, ClusterLog, ClusterLogLimits, LogPlace } from "./driver.ts";

/** A durable topic on this node. */
export interface DurableTopic {
  readonly name: string;
  readonly limits: ClusterLogLimits;
  /** The next message is the one after this place. */
  logStarts(place: LogPlace): void;
  /** The next message; null if it can't be decoded. */
  logEntry(offset: number, data: EncodedValue | null): void;
  /** This node can no longer read the log: its subscriptions end. */
  logLost(reason: ConduitError): void;
}

export interface DurableTopicsHost {
  readonly wheel: TimerWheel;
  readonly answerTimeoutMs: number;
  /** Monotonic milliseconds. */
  now(): number;
  /** Null while there is no link. */
  link(): ClusterLink | null;
  encode(body: Uint8Array): Uint8Array;
  /** Null if the entry can't be decoded. */
  decode(payload: Uint8Array): EncodedValue | null;
  /** A topic can't be read although the link is connected. Its subscribers retry. */
  cannotRead(error: unknown): void;
  /** An entry couldn't be sent to the subscribers, and is skipped. */
  entryFailed(topic: string, offset: number, error: unknown): void;
}

/** A topic that this node reads. */
interface Reading {
  readonly topic: DurableTopic;
  /** Resolves when the reader has caught up. */
  ready: Promise<void>;
  log: ClusterLog | null;
  /** The last place read; null before reading has started. */
  place: LogPlace | null;
  /** Resolves when the reader has caught up with what the log had when this began; null if nobody waits for that. */
  catchingUp: Promise<void> | null;
  readonly waits: Set<Wait>;
  isOver: boolean;
  /** Rejects `ready` while it is pending because reading must not start yet. */
  fail: (reason: ConduitError) => void;
}

/** A promise that resolves when the message at `newest` has been read. */
interface Wait {
  newest: number;
  readonly resolve: () => void;
  readonly reject: (reason: ConduitError) => void;
}

/** Logs to keep open for publishing. */
const MAX_OPEN_LOGS = 1000;
/**
 * When a node's only subscriber leaves and returns, the node reads the newest messages of the log again, which may be
 * many. It does so immediately this many times in a row, then at most once per `READ_EVERY_MS`.
 */
const READS_IN_A_ROW = 5;
const READ_EVERY_MS = 1000;

export class DurableTopics {
  readonly #host: DurableTopicsHost;
  readonly #readings = new Map<string, Reading>();
  /** When each topic's reader was last started, oldest first, and how many times in a row. */
  readonly #begun = new Map<string, { readonly atMs: number; readonly inARow: number }>();
  /** Logs for publishing, least recently used first. */
  readonly #logs = new Map<string, Promise<ClusterLog>>();

  /** Why this node has left the cluster for the rest of its run; null if it hasn't. */
  #left: ConduitError | null = null;

  constructor(host: DurableTopicsHost) {
    this.#host = host;
  }

  /** Whether logs are unavailable until the server restarts. */
  get hasLeft(): boolean {
    return this.#left !== null;
  }

  start(): void {
    this.#left = null;
  }

  /** The link has ended. @param reason null if this node leaves on its own, which ends no subscriptions */
  stop(reason: ConduitError | null): void {
    this.#left = reason;
    const readings = [...this.#readings.values()];
    for (const reading of readings) end(reading, "the link has ended");
    this.#readings.clear();
    this.#logs.clear();
    if (reason === null) return;
    for (const { topic } of readings) topic.logLost(unavailable(topic.name, leftBecause(reason)));
  }

  /**
   * Starts reading the topic. Resolves when the reader has caught up, and has read the message at `since` unless the log
   * has lost it.
   * @param since a subscriber's position, which may come from a node that has read more
   * @throws ConduitError CLUSTER_UNAVAILABLE
   */
  async open(topic: DurableTopic, since: LogPlace | null = null): Promise<void> {
    const reading = this.#readingOf(topic);
    await reading.ready;
    if (!isBehind(reading, since)) return;
    // A catch-up that is already in progress may have asked the log before the message was stored.
    await reading.catchingUp;
    if (!isBehind(reading, since)) return;
    reading.catchingUp ??= this.#catchUp(reading).finally(() => {
      reading.catchingUp = null;
    });
    await reading.catchingUp;
  }

  #readingOf(topic: DurableTopic): Reading {
    const known = this.#readings.get(topic.name);
    if (known?.topic === topic) return known;
    if (known !== undefined) this.close(known.topic);
    const reading: Reading = {
      topic,
      ready: Promise.resolve(),
      log: null,
      place: null,
      catchingUp: null,
      waits: new Set(),
      isOver: false,
      fail: () => undefined,
    };
    this.#readings.set(topic.name, reading);
    reading.ready = this.#begin(reading);
    return reading;
  }

  async #catchUp(reading: Reading): Promise<void> {
    const newest = await reading.log?.newest(this.#host.answerTimeoutMs);
    if (reading.isOver) throw unavailable(reading.topic.name, "it was closed");
    if (newest === undefined || !isBehind(reading, newest)) return;
    await new Promise<void>((resolve, reject) => reading.waits.add({ newest: newest.offset, resolve, reject }));
  }

  async #begin(reading: Reading): Promise<void> {
    const { topic } = reading;
    try {
      await this.#untilDue(reading);
      const log = await this.#openLog(topic);
      if (reading.isOver) {
        log.close();
        throw unavailable(topic.name, "it was closed");
      }
      reading.log = log;
      await this.#readUntilNewest(reading, log);
    } catch (error) {
      if (!reading.isOver && this.#host.link()?.state === "connected") this.#host.cannotRead(error);
      if (this.#readings.get(topic.name) === reading) this.close(topic);
      throw error;
    }
  }

  /** Resolves when the topic may be read. Rejects if it is closed first. */
  #untilDue(reading: Reading): Promise<void> {
    const { name } = reading.topic;
    const { wheel } = this.#host;
    const now = this.#host.now();
    for (const [oldest, { atMs }] of this.#begun) {
      if (now - atMs < READ_EVERY_MS) break;
      this.#begun.delete(oldest);
    }
    const { atMs = now, inARow = 0 } = this.#begun.get(name) ?? {};
    // A reader that was closed before its turn leaves its turn to the next one.
    const nextMs = atMs > now ? atMs : atMs + READ_EVERY_MS;
    const dueMs = inARow < READS_IN_A_ROW ? now : nextMs;
    this.#begun.delete(name);
    this.#begun.set(name, { atMs: dueMs, inARow: inARow + 1 });
    if (dueMs <= now) return Promise.resolve();
    return new Promise((resolve, reject) => {
      const timer = new CallbackTimer(resolve);
      wheel.schedule(timer, dueMs - now);
      reading.fail = (reason) => {
        wheel.cancel(timer);
        reject(reason);
      };
    });
  }

  #readUntilNewest(reading: Reading, log: ClusterLog): Promise<void> {
    const { topic } = reading;
    return new Promise((resolve, reject) => {
      reading.waits.add({ newest: Number.POSITIVE_INFINITY, resolve, reject });
      log.read(topic.limits.messages, {
        starts: (after, newest) => {
          if (reading.isOver) return;
          const isSame = after.epoch === reading.place?.epoch;
          for (const wait of reading.waits) wait.newest = isSame ? Math.min(wait.newest, newest) : newest;
          topic.logStarts(after);
          reached(reading, after);
        },
        entry: (offset, payload) => {
          if (reading.isOver || reading.place === null) return;
          this.#give(topic, offset, payload);
          reached(reading, { epoch: reading.place.epoch, offset });
        },
      });
    });
  }

  /** Never throws, so that the driver's reader continues. */
  #give(topic: DurableTopic, offset: number, payload: Uint8Array): void {
    try {
      topic.logEntry(offset, this.#host.decode(payload));
    } catch (error) {
      topic.logEntry(offset, null);
      this.#host.entryFailed(topic.name, offset, error);
    }
  }

  /** Stops reading the topic. */
  close(topic: DurableTopic): void {
    const reading = this.#readings.get(topic.name);
    if (reading?.topic !== topic) return;
    this.#readings.delete(topic.name);
    reading.log?.close();
    end(reading, "it was closed");
  }

  /**
   * Appends a message. Resolves with its place once it is stored.
   * @throws ConduitError CLUSTER_UNAVAILABLE (the message may have been stored), MESSAGE_TOO_LARGE
   */
  async append(name: string, limits: ClusterLogLimits, id: string, data: EncodedValue): Promise<LogPlace> {
    const payload = this.#host.encode(data.bytes);
    const log = await this.#logFor(name, limits);
    return log.append(id, payload, this.#host.answerTimeoutMs);
  }

  #logFor(name: string, limits: ClusterLogLimits): Promise<ClusterLog> {
    const known = this.#logs.get(name);
    const opening = known ?? this.#openLog({ name, limits });
    this.#logs.delete(name);
    this.#logs.set(name, opening);
    if (known === undefined) {
      opening.catch(() => {
        if (this.#logs.get(name) === opening) this.#logs.delete(name);
      });
    }
    for (const [oldest, log] of this.#logs) {
      if (this.#logs.size <= MAX_OPEN_LOGS) break;
      this.#logs.delete(oldest);
      log.then(
        (open) => open.close(),
        () => undefined,
      );
    }
    return opening;
  }

  async #openLog({ name, limits }: Pick<DurableTopic, "name" | "limits">): Promise<ClusterLog> {
    const link = this.#host.link();
    if (this.#left !== null) throw unavailable(name, leftBecause(this.#left));
    if (link === null) throw unavailable(name, "the server isn't running");
    if (link.logs === null) throw unavailable(name, "the engine of the cluster has no logs");
    return link.logs.open(name, limits, this.#host.answerTimeoutMs);
  }
}

/** Whether the reader hasn't read this place of its epoch. */
function isBehind({ place }: Reading, other: LogPlace | null): boolean {
  return place !== null && other !== null && place.epoch === other.epoch && place.offset < other.offset;
}

function reached(reading: Reading, place: LogPlace): void {
  reading.place = place;
  for (const wait of reading.waits) {
    if (place.offset < wait.newest) continue;
    reading.waits.delete(wait);
    wait.resolve();
  }
}

function end(reading: Reading, why: string): void {
  const reason = unavailable(reading.topic.name, why);
  reading.isOver = true;
  reading.fail(reason);
  for (const { reject } of reading.waits) reject(reason);
  reading.waits.clear();
}

function unavailable(name: string, why: string): ConduitError {
  return new ConduitError(ErrorCode.CLUSTER_UNAVAILABLE, `Cannot use the durable topic '${name}': ${why}`);
}

function leftBecause({ message }: ConduitError): string {
  return `the node has left the cluster: ${message}`;
}
