/**
 * The sending end of one stream: gathers small items into frames, cuts large ones into frames, and spends the peer's
 * credit. The outlet says when a frame leaves.
 */

import type { Lane } from "../../connection/send/lane.ts";
import { ConduitError, ErrorCode } from "../../errors.ts";
import { HEADER_BYTES, MAX_CHUNK_BYTES } from "../../limits.ts";
import { Flag } from "../../wire/constants.ts";
import { writeHeader } from "../../wire/frame-writer.ts";
import type { FrameBytes } from "../../wire/scattered-frame.ts";
import { StreamFlag } from "./stream-frames.ts";

/** Small items are gathered until they have so many bytes, or until the end of the turn. */
const GATHERED_BYTES = 60 * 1024;
const FIRST_GATHERED_BYTES = 512;
/** Binary items from here up leave as they are, in frames of their own: without encoding, and copied once. */
const MIN_BINARY_BYTES = 4096;

/** The connection, as a sender uses it. */
export interface SenderHost {
  /** Encodes an item. The result is valid until the next call. @throws ConduitError UNSERIALIZABLE, MESSAGE_TOO_LARGE */
  encodeItem(item: unknown): Uint8Array;
  /** Largest item that the peer takes, in bytes. */
  readonly maxSentItemBytes: number;
  wallClock(): number;
  /** Whether the peer must be asked to acknowledge a frame of so many bytes at once. */
  mustAsk(bytes: number): boolean;
  pushFrame(frame: FrameBytes, lane: Lane): void;
  /** The stream has something to send: at once if it is much, else at the end of the turn. */
  sendNow(sender: StreamSender): void;
  sendLater(sender: StreamSender): void;
  /** Whether an item may take so many bytes beyond the credit of its stream. */
  mayOverdraw(bytes: number): boolean;
  countSentOverdraft(change: number): void;
  /** The stream's item waits until others have returned their overdraft. */
  waitForOverdraft(sender: StreamSender): void;
  countHeld(change: number): void;
  /** Returns a promise if others are to be served before the stream's first item. */
  beginTurn(): Promise<void> | null;
  /** An item of so many bytes was taken from the application, and the stream waits before the next one. */
  countTurn(bytes: number): void;
  /** An item of so many bytes was taken from the application. Returns a promise if others are to be served first. */
  passTurn(bytes: number): Promise<void> | null;
}

/** An item that leaves in frames of its own. */
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
  /** The next frame: room for its header, then items. */
  #gathered: Uint8Array | null = null;
  /** Room for the next frame: as much as the last one took, so that it needn't grow again. */
  #usualBytes = FIRST_GATHERED_BYTES;
  #end = HEADER_BYTES;
  #item: OwnFrames | null = null;
  /** This stream's part of the connection's overdraft. */
  #overdraft = 0;
  /** Why nothing more is sent; null while it may be. */
  #reason: Error | null = null;
  /** Waits for room, or for everything to leave. */
  #waiter: Waiter | null = null;
  #isFinishing = false;
  /** Whether it waits in the outlet. */
  isQueued = false;
  /** Called when it is aborted. */
  onAbort: (() => void) | null = null;

  constructor(host: SenderHost, name: string, type: number, idHi: number, idLo: number, credit: number) {
    this.#host = host;
    this.#name = name;
    this.#type = type;
    this.#idHi = idHi;
    this.#idLo = idLo;
    this.#credit = credit;
  }

  /** Why it was aborted; null if it wasn't. */
  get reason(): Error | null {
    return this.#reason;
  }

  /** Returns a promise if others are to be served before the first item is made. */
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

  /** Everything written leaves now, as far as it may. Returns a promise if something is left. */
  finish(): Promise<void> | null {
    if (this.#reason !== null) throw this.#reason;
    this.#isFinishing = true;
    if (!this.hasData) return null;
    this.#host.sendNow(this);
    return this.hasData ? this.#wait() : null;
  }

  /** Whether everything has left, and nothing follows. */
  get isFinished(): boolean {
    return this.#isFinishing && !this.hasData;
  }

  /** Sends nothing more, and drops what hasn't left. */
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

  /** Whether the next frame has credit, and what it takes beyond that has room in the overdraft. */
  get isSendable(): boolean {
    if (!this.hasData) return false;
    const item = this.#end > HEADER_BYTES ? null : this.#item;
    if (item !== null && item.sent > 0) return true;
    const cost = item === null ? this.#end : this.#itemCost(item);
    return this.#credit > 0 && this.#host.mayOverdraw(cost - this.#credit);
  }

  /** Sends the next frame. Returns its bytes; 0 if nothing may be sent. */
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

  /** Whether items wait, and their stream has credit. */
  get hasCredit(): boolean {
    return this.hasData && this.#credit > 0;
  }

  get #gatheredBytes(): number {
    return this.#end - HEADER_BYTES;
  }

  /** Memory counts as a whole: few items may wait in room for many, and the end of an item keeps all of it. */
  get #heldBytes(): number {
    return (this.#gathered?.length ?? 0) + (this.#item?.bytes.length ?? 0);
  }

  /** Takes an item. Returns its bytes. */
  #accept(item: unknown): number {
    const host = this.#host;
    const isBinary = item instanceof Uint8Array && item.length >= MIN_BINARY_BYTES;
    const bytes = isBinary ? item : host.encodeItem(item);
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

  /** Memory with room for `length` more bytes. */
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
    // A little more, since items differ.
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

  /** An item that has begun takes what it needs beyond the credit until that returns. */
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
