import { ErrorCode, RpcError } from "../errors.ts";
import { MAX_ONCE_BYTES, MAX_ONCE_KEYS, ONCE_WINDOW_MS } from "../limits.ts";
import { type Codec, type Ended, endedRecord, notKept, readRecord } from "./answer-record.ts";
import type { Answers, OnceAnswer, OnceRequest } from "./once-window.ts";
import { OwnerShares } from "./owner-shares.ts";

/** Upper bound. */
const BYTES_PER_CHAR = 2;

interface Kept {
  readonly owner: string;
  /** Memory of the record, the key and the name, whose sizes peers choose. */
  readonly bytes: number;
  readonly record: Uint8Array;
  readonly untilMs: number;
}

/**
 * Keeps answers in this process. If there are too many, in total or for one user, new keys are rejected; no key is
 * dropped before its time.
 */
export class MemoryAnswers implements Answers {
  readonly #codec: Codec;
  readonly #now: () => number;
  readonly #windowMs: number;
  /** In order of expiry. */
  readonly #kept = new Map<string, Kept>();
  readonly #shares = new OwnerShares(MAX_ONCE_KEYS, MAX_ONCE_BYTES);
  /** Users whose last answer had no room. Until one expires, answers of their new keys wouldn't have any either. */
  readonly #withoutRoom = new Set<string>();

  /**
   * @param now in monotonic milliseconds
   * @param windowMs how long a key is kept
   */
  constructor(codec: Codec, now: () => number, windowMs: number = ONCE_WINDOW_MS) {
    this.#codec = codec;
    this.#now = now;
    this.#windowMs = windowMs;
  }

  /** Whether there is no room for another key. */
  get isFull(): boolean {
    this.#forgetOld();
    return this.#kept.size >= MAX_ONCE_KEYS;
  }

  /** Whether there is room for another key with an answer of this size. */
  hasRoom(bytes: number): boolean {
    return !this.isFull && this.#shares.bytes + bytes <= MAX_ONCE_BYTES;
  }

  begin(owner: string, id: string, { delivery }: OnceRequest): OnceAnswer | number {
    this.#forgetOld();
    const ended = this.find(id);
    if (ended !== null) this.#renew(id);
    if (ended !== null) return isRepeatable(ended, delivery) ? ended.delivery + 1 : ended.answer;
    const hasRoom = this.#shares.hasRoom(owner) && this.#shares.hasRoomFor(owner, id.length * BYTES_PER_CHAR);
    if (!hasRoom || this.#withoutRoom.has(owner)) {
      const details = { retry_after: this.#windowMs / 1000, started: false };
      const { count, bytes } = this.#shares;
      const message = `There is no room for another key of ack or once: ${count} are remembered, with ${bytes} bytes of answers`;
      throw new RpcError(ErrorCode.RATE_LIMITED, message, { details });
    }
    return 1;
  }

  end(owner: string, id: string, delivery: number, answer: OnceAnswer): OnceAnswer {
    this.#forgetOld();
    this.#forget(id);
    let record = endedRecord(this.#codec, { delivery, answer });
    const idBytes = id.length * BYTES_PER_CHAR;
    const wanted = record.length + idBytes;
    if (!this.#shares.hasRoomFor(owner, wanted)) {
      // Ignore answers that would never fit.
      if (wanted * 2 <= MAX_ONCE_BYTES) this.#withoutRoom.add(owner);
      record = notKept(this.#codec, delivery, record.length);
    }
    const bytes = record.length + idBytes;
    this.#shares.add(owner, bytes);
    this.#kept.set(id, { owner, bytes, record, untilMs: this.#now() + this.#windowMs });
    return answer;
  }

  find(id: string): Ended | null {
    const kept = this.#kept.get(id);
    if (kept === undefined || kept.untilMs <= this.#now()) return null;
    // A copy, because decoded values may refer to it and may be modified.
    const record = readRecord(this.#codec, kept.record.slice());
    return record !== null && "answer" in record ? record : null;
  }

  /** Extends a key's time, because its sender hasn't received the answer and may ask again. */
  #renew(id: string): void {
    const kept = this.#kept.get(id) as Kept;
    this.#kept.delete(id);
    this.#kept.set(id, { ...kept, untilMs: this.#now() + this.#windowMs });
  }

  #forgetOld(): void {
    const now = this.#now();
    for (const [id, { untilMs }] of this.#kept) {
      if (untilMs > now) return;
      this.#forget(id);
    }
  }

  #forget(id: string): void {
    const kept = this.#kept.get(id);
    if (kept === undefined) return;
    this.#shares.delete(kept.owner, kept.bytes);
    this.#kept.delete(id);
    this.#withoutRoom.clear();
  }
}

/** Whether a message is to be delivered again: its handler failed, and its sender requests a later delivery. */
export function isRepeatable({ delivery, answer }: Ended, asked: number): boolean {
  return "error" in answer && asked > delivery;
}
