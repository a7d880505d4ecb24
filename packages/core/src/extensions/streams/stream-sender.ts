/**
 * The sending end of one stream: collects small items into frames, splits large ones, and spends the peer's credit.
 * The outlet decides when a frame is sent.
 */

import type { Lane } from "../../connection/send/lane.ts";
import { ConduitError, ErrorCode } from "../../errors.ts";
import { HEADER_BYTES, MAX_CHUNK_BYTES } from "../../limits.ts";
import { Flag } from "../../wire/constants.ts";
import { writeHeader } from "../../wire/frame-writer.ts";
import type { FrameBytes } from "../../wire/scattered-frame.ts";
import { StreamFlag } from "./stream-frames.ts";

/** Small items are collected up to this many bytes, or until the end of the turn. */
const GATHERED_BYTES = 60 * 1024;
const FIRST_GATHERED_BYTES = 512;
/** Binary items of at least this size are sent unencoded in frames of their own, and copied only once. */
const MIN_BINARY_BYTES = 4096;

/** The part of the connection that a sender uses. */
export interface SenderHost {
  /** Encodes an item. The result is valid until the next call. @throws ConduitError UNSERIALIZABLE, MESSAGE_TOO_LARGE */
  encodeItem(item: unknown): Uint8Array;
  /** Largest item that the peer accepts, in bytes. */
  readonly maxSentItemBytes: number;
  wallClock(): number;
  /** Whether to request an immediate acknowledgement of a frame of this size. */
  mustAsk(bytes: number): boolean;
  pushFrame(frame: FrameBytes, lane: Lane): void;
  /** The stream has data to send: immediately if it is enough for a frame, otherwise at the end of the turn. */
  sendNow(sender: StreamSender): void;
  sendLater(sender: StreamSender): void;
  /** Whether an item may exceed its stream's credit by this many bytes. */
  mayOverdraw(bytes: number): boolean;
  countSentOverdraft(change: number): void;
  /** Makes the stream's item wait until others have returned their overdraft. */
  waitForOverdraft(sender: StreamSender): void;
  countHeld(change: number): void;
  /** Returns a promise if others should be served before the stream's first item. */
  beginTurn(): Promise<void> | null;
  /** Counts an item taken from the application, after which the stream waits anyway. */
  countTurn(bytes: number): void;
  /** Counts an item taken from the application. Returns a promise if others should be served first. */
  passTurn(bytes: number): Promise<void> | null;
}

/** An item that is sent in frames of its own. */
interface OwnFrames {
  readonly bytes: Uint8Array;
  readonly isBinary: boolean;
  sent: number;
}

interface Waiter {
  readonly promise: Promise<void>;
  resolve(): void;
  reject(error: Error): void;
}

export class StreamSender {
  readonly #host: SenderHost;
  readonly #name: string;
  readonly #type: number;
  readonly #idHi: number;
  readonly #idLo: number;
  #credit: number;
  /** The next frame: space for its header, then items. */
  #gathered: Uint8Array | null = null;
  /** Initial size of the next frame: that of the last one, to avoid growing it again. */
  #usualBytes = FIRST_GATHERED_BYTES;
  #end = HEADER_BYTES;
  #item: OwnFrames | null = null;
  /** This stream's share of the connection's overdraft. */
  #overdraft = 0;
  /** Why no more is sent; null while sending is possible. */
  #reason: Error | null = null;
  /** Waits for room, or until everything has been sent. */
  #waiter: Waiter | null = null;
  #isFinishing = false;
  /** Whether it is queued in the outlet. */
  isQueued = false;
  /** Called on abort. */
  onAbort: (() => void) | null = null;

  constructor(host: SenderHost, name: string, type: number, idHi: number, idLo: number, credit: number) {
    this.#host = host;
    this.#name = name;
    this.#type = type;
    this.#idHi = idHi;
    this.#idLo = idLo;
    this.#credit = credit;
  }

  /** The reason of the abort; null if it wasn't aborted. */
  get reason(): Error | null {
    return this.#reason;
  }

  /** Returns a promise if others should be served before the first item is created. */
  begin(): Promise<void> | null {
    return this.#host.beginTurn();
  }

  /**
   * Sends an item.
   * @returns a promise if the caller must wait before the next item; until then the item must not change
   * @throws ConduitError UNSERIALIZABLE, MESSAGE_TOO_LARGE; the reason of `abort`
   */
  write(item: unknown): Promise<void> | null {
    if (this.#reason !== null) throw this.#reason;
    const bytes = this.#accept(item);
    if (this.#item !== null || this.#gatheredBytes >= GATHERED_BYTES) this.#host.sendNow(this);
    else this.#host.sendLater(this);
    if (!this.#mustWait) return this.#host.passTurn(bytes);
    this.#host.countTurn(bytes);
    return this.#wait();
  }

  /** Sends everything written, as far as possible. Returns a promise if some of it has to wait. */
  finish(): Promise<void> | null {
    if (this.#reason !== null) throw this.#reason;
    this.#isFinishing = true;
    if (!this.hasData) return null;
    this.#host.sendNow(this);
    return this.hasData ? this.#wait() : null;
  }

  /** Whether everything has been sent and nothing follows. */
  get isFinished(): boolean {
    return this.#isFinishing && !this.hasData;
  }

  /** Stops sending and drops unsent data. */
  abort(reason: Error): void {
    if (this.#reason !== null) return;
    this.#reason = reason;
    this.#host.countHeld(-this.#heldBytes);
    this.#gathered = null;
    this.#end = HEADER_BYTES;
    this.#item = null;
    this.#setOverdraft(0);
    const waiter = this.#waiter;
    this.#waiter = null;
    waiter?.reject(reason);
    this.onAbort?.();
  }

  addCredit(bytes: number): void {
    if (this.#reason !== null) return;
    this.#credit = Math.min(this.#credit + bytes, Number.MAX_SAFE_INTEGER);
    this.#updateOverdraft();
    if (this.hasData) this.#host.sendNow(this);
    this.#wakeIfRoom();
  }

  /** Whether items wait. */
  get hasData(): boolean {
    return this.#item !== null || this.#end > HEADER_BYTES;
  }

  /** Whether the next frame has credit, and any excess fits into the overdraft. */
  get isSendable(): boolean {
    if (!this.hasData) return false;
    const item = this.#end > HEADER_BYTES ? null : this.#item;
    if (item !== null && item.sent > 0) return true;
    const cost = item === null ? this.#end : this.#itemCost(item);
    return this.#credit > 0 && this.#host.mayOverdraw(cost - this.#credit);
  }

  /** Sends the next frame. Returns its size; 0 if nothing may be sent. */
  sendFrame(): number {
    let bytes = 0;
    if (this.isSendable) {
      bytes = this.#end > HEADER_BYTES ? this.#sendGathered() : this.#sendPart(this.#item as OwnFrames);
      this.#updateOverdraft();
      this.#wakeIfRoom();
    }
    if (this.hasCredit && !this.isSendable) this.#host.waitForOverdraft(this);
    return bytes;
  }

  /** Whether items wait and the stream has credit. */
  get hasCredit(): boolean {
    return this.hasData && this.#credit > 0;
  }

  get #gatheredBytes(): number {
    return this.#end - HEADER_BYTES;
  }

  /** Memory held. Counts whole buffers, because a few items may hold a large one, and the end of an item holds all of it. */
  get #heldBytes(): number {
    return (this.#gathered?.length ?? 0) + (this.#item?.bytes.length ?? 0);
  }

  /** Adds an item. Returns its size. */
  #accept(item: unknown): number {
    const host = this.#host;
    const isBinary = item instanceof Uint8Array && item.length >= MIN_BINARY_BYTES;
    const bytes = isBinary ? item : host.encodeItem(item);
    // A getter in the item may have ended the stream.
    if (this.#reason !== null) throw this.#reason;
    const { length } = bytes;
    if (length > host.maxSentItemBytes) {
      const message = `Cannot send an item of '${this.#name}': ${length} bytes exceed the peer's maxMessageBytes ${host.maxSentItemBytes}`;
      throw new ConduitError(ErrorCode.MESSAGE_TOO_LARGE, message, {
        details: { bytes: length, limit: host.maxSentItemBytes },
      });
    }
    if (isBinary || length > MAX_CHUNK_BYTES - this.#gatheredBytes) {
      host.countHeld(length);
      this.#item = { bytes: isBinary ? bytes : bytes.slice(), isBinary, sent: 0 };
      return length;
    }
    const target = this.#room(length);
    if (length <= 32) for (let i = 0; i < length; i += 1) target[this.#end + i] = bytes[i] as number;
    else target.set(bytes, this.#end);
    this.#end += length;
    return length;
  }

  /** Returns a buffer with room for `length` more bytes. */
  #room(length: number): Uint8Array {
    const gathered = this.#gathered;
    const needed = this.#end + length;
    if (gathered !== null && needed <= gathered.length) return gathered;
    const size = gathered === null ? this.#usualBytes : 2 * gathered.length;
    const larger = new Uint8Array(Math.min(Math.max(size, needed), HEADER_BYTES + MAX_CHUNK_BYTES));
    this.#host.countHeld(larger.length - (gathered?.length ?? 0));
    if (gathered !== null) larger.set(gathered.subarray(0, this.#end));
    this.#gathered = larger;
    return larger;
  }

  get #mustWait(): boolean {
    if (this.#item !== null || this.#gatheredBytes >= GATHERED_BYTES) return true;
    return this.#credit - this.#gatheredBytes <= 0;
  }

  #wait(): Promise<void> {
    let resolve: () => void = () => undefined;
    let reject: (error: Error) => void = () => undefined;
    const promise = new Promise<void>((settle, fail) => {
      resolve = settle;
      reject = fail;
    });
    this.#waiter = { promise, resolve, reject };
    return promise;
  }

  #wakeIfRoom(): void {
    const waiter = this.#waiter;
    if (waiter === null || (this.#isFinishing ? this.hasData : this.#mustWait)) return;
    this.#waiter = null;
    waiter.resolve();
  }

  #sendGathered(): number {
    const bytes = this.#gathered as Uint8Array;
    const end = this.#end;
    const length = end - HEADER_BYTES;
    // Slightly more, because items vary.
    this.#usualBytes = Math.min(end + (end >>> 3), HEADER_BYTES + MAX_CHUNK_BYTES);
    this.#gathered = null;
    this.#end = HEADER_BYTES;
    this.#credit -= end;
    this.#host.countHeld(-bytes.length);
    this.#writeHeader(bytes, length, 0);
    this.#host.pushFrame({ bytes, start: 0, end, large: null }, "reply");
    return end;
  }

  #sendPart(item: OwnFrames): number {
    const { bytes, isBinary, sent } = item;
    const part = bytes.subarray(sent, sent + MAX_CHUNK_BYTES);
    item.sent += part.length;
    const isLast = item.sent === bytes.length;
    this.#credit -= HEADER_BYTES + part.length;
    if (isLast) {
      this.#item = null;
      this.#host.countHeld(-bytes.length);
    }
    const header = new Uint8Array(HEADER_BYTES);
    this.#writeHeader(header, part.length, (isBinary ? StreamFlag.BINARY : 0) | (isLast ? 0 : StreamFlag.MORE));
    const large = [{ at: HEADER_BYTES, bytes: part }];
    this.#host.pushFrame({ bytes: header, start: 0, end: HEADER_BYTES, large }, "reply");
    return HEADER_BYTES + part.length;
  }

  #writeHeader(target: Uint8Array, length: number, flags: number): void {
    const blocked = this.#credit > 0 ? 0 : StreamFlag.BLOCKED;
    const ask = this.#host.mustAsk(HEADER_BYTES + length) ? Flag.ACK_NOW : 0;
    const all = flags | blocked | ask;
    writeHeader(target, 0, this.#type, length, this.#idLo, this.#host.wallClock(), this.#idHi, all);
  }

  #itemCost({ bytes, sent }: OwnFrames): number {
    const left = bytes.length - sent;
    return left + HEADER_BYTES * Math.ceil(left / MAX_CHUNK_BYTES);
  }

  /** A started item takes the bytes that exceed the credit from the overdraft until credit returns. */
  #updateOverdraft(): void {
    const ahead = this.#item !== null && this.#item.sent > 0 ? this.#itemCost(this.#item) : 0;
    this.#setOverdraft(Math.max(0, ahead - this.#credit));
  }

  #setOverdraft(bytes: number): void {
    if (bytes === this.#overdraft) return;
    const change = bytes - this.#overdraft;
    this.#overdraft = bytes;
    this.#host.countSentOverdraft(change);
  }
}
