import { ConduitError, ErrorCode } from "../../errors.ts";
import type { ClusterLog, ClusterLogLimits, ClusterLogs, LogPlace, LogReader } from "../driver.ts";
import { inMicrotask } from "./in-microtask.ts";
import { unavailable } from "./unavailable.ts";

/** A link that uses the logs. */
export interface MemoryLogUser {
  isConnected(): boolean;
  maxPayloadBytes(): number;
}

/** A topic's stored messages. */
class StoredLog {
  epoch: string = newEpoch();
  /** Offset of the oldest message. */
  first = 1;
  entries: Uint8Array[] = [];
  readonly limits: ClusterLogLimits;
  readonly ids = new Map<string, number>();
  readonly readers = new Set<OpenLog>();

  constructor(limits: ClusterLogLimits) {
    this.limits = limits;
  }

  get newest(): number {
    return this.first + this.entries.length - 1;
  }

  append(id: string, payload: Uint8Array): LogPlace {
    const known = this.ids.get(id);
    if (known !== undefined) return { epoch: this.epoch, offset: known };
    this.entries.push(payload.slice());
    this.ids.set(id, this.newest);
    const { messages, bytes } = this.limits;
    let total = this.entries.reduce((sum, entry) => sum + entry.length, 0);
    while (this.entries.length > messages || (this.entries.length > 1 && total > bytes)) {
      total -= (this.entries.shift() as Uint8Array).length;
      this.first += 1;
    }
    const place = { epoch: this.epoch, offset: this.newest };
    for (const reader of this.readers) reader.readLater();
    return place;
  }

  wipe(): void {
    this.epoch = newEpoch();
    this.first = 1;
    this.entries = [];
    this.ids.clear();
    for (const reader of this.readers) reader.readLater();
  }
}

/** The logs of a `MemoryCluster`. Messages don't expire by age. */
export class MemoryLogs {
  readonly #stored = new Map<string, StoredLog>();
  readonly #open = new Map<ClusterLogs, Set<OpenLog>>();

  /** The view of one link. */
  of(user: MemoryLogUser): ClusterLogs {
    const open = new Set<OpenLog>();
    const logs: ClusterLogs = {
      open: async (topic, limits) => {
        if (!user.isConnected()) throw unavailable(`Cannot open the log of '${topic}'`);
        const stored = this.#stored.get(topic) ?? new StoredLog(limits);
        this.#stored.set(topic, stored);
        const log = new OpenLog(topic, stored, user, () => open.delete(log));
        open.add(log);
        return log;
      },
    };
    this.#open.set(logs, open);
    return logs;
  }

  reconnected(logs: ClusterLogs | null): void {
    for (const log of (logs && this.#open.get(logs)) ?? []) log.readLater();
  }

  closed(logs: ClusterLogs | null): void {
    for (const log of (logs && this.#open.get(logs)) ?? []) log.close();
  }

  wipe(): void {
    for (const stored of this.#stored.values()) stored.wipe();
  }
}

class OpenLog implements ClusterLog {
  readonly #topic: string;
  readonly #stored: StoredLog;
  readonly #user: MemoryLogUser;
  readonly #closed: () => void;
  #reader: LogReader | null = null;
  #epoch = "";
  /** Offset of the next message for the reader. */
  #next = 0;

  constructor(topic: string, stored: StoredLog, user: MemoryLogUser, closed: () => void) {
    this.#topic = topic;
    this.#stored = stored;
    this.#user = user;
    this.#closed = closed;
  }

  async append(id: string, payload: Uint8Array): Promise<LogPlace> {
    if (!this.#user.isConnected()) throw unavailable(`Cannot publish to '${this.#topic}'`);
    const limit = this.#user.maxPayloadBytes();
    if (payload.length > limit) {
      const message = `Cannot publish to '${this.#topic}': ${payload.length} bytes exceed ${limit}`;
      throw new ConduitError(ErrorCode.MESSAGE_TOO_LARGE, message, { details: { bytes: payload.length, limit } });
    }
    return this.#stored.append(id, payload);
  }

  read(last: number, reader: LogReader): void {
    this.#reader = reader;
    this.#stored.readers.add(this);
    this.#start(Math.max(this.#stored.first, this.#stored.newest - last + 1));
    this.readLater();
  }

  async newest(): Promise<LogPlace> {
    if (!this.#user.isConnected()) throw unavailable(`Cannot read the log of '${this.#topic}'`);
    const { epoch, newest } = this.#stored;
    return { epoch, offset: newest };
  }

  close(): void {
    this.#reader = null;
    this.#stored.readers.delete(this);
    this.#closed();
  }

  readLater(): void {
    inMicrotask(() => this.#readOn());
  }

  #start(next: number): void {
    const { epoch, newest } = this.#stored;
    this.#epoch = epoch;
    this.#next = next;
    this.#reader?.starts({ epoch, offset: next - 1 }, newest);
  }

  #readOn(): void {
    const stored = this.#stored;
    while (this.#reader !== null && this.#user.isConnected()) {
      if (this.#epoch !== stored.epoch || this.#next < stored.first) this.#start(stored.first);
      const entry = stored.entries[this.#next - stored.first];
      if (entry === undefined) return;
      this.#next += 1;
      this.#reader.entry(this.#next - 1, entry.slice());
    }
  }
}

function newEpoch(): string {
  return crypto.randomUUID().slice(0, 8);
}
