/**
 * The receiving end of one stream: buffers items until the application takes them, and returns credit as it does.
 *
 * The window is the number of bytes that may be in flight or buffered here. It doubles if the peer ran out of credit
 * while the application was waiting for items, because then the window limits the stream.
 */

import type { ReceivedFrame } from "../../connection/extension.ts";
import { asConduitError, ConduitError, ErrorCode, forCaller, withCallerStack } from "../../errors.ts";
import { HEADER_BYTES, MAX_STREAM_WINDOW_BYTES } from "../../limits.ts";
import type { Validator } from "../../rpc/validation.ts";
import { isThenable } from "../../util/is-thenable.ts";
import type { PayloadReader } from "../../wire/payload-reader.ts";
import { ItemBuffer } from "./item-buffer.ts";
import { StreamFlag } from "./stream-frames.ts";

/** The part of the connection that a receiver uses. */
export interface ReceiverHost {
  readonly reader: PayloadReader;
  /** Largest item in bytes. */
  readonly maxReceivedItemBytes: number;
  /** Takes up to `bytes` for a window from the connection's total. Returns how many. */
  takeWindow(bytes: number): number;
  returnWindow(bytes: number): void;
  /**
   * Counts bytes of items that exceed their windows.
   * @returns whether the total exceeds the peer's allowance
   */
  countReceivedOverdraft(change: number): boolean;
  /** Counts the bytes held for items. */
  countHeld(change: number): void;
  /** The application took items of this many bytes. Returns a promise if others should be served first. */
  passTurn(bytes: number): Promise<void> | null;
}

/** The stream that a receiver belongs to. */
export interface ReceiverStream {
  /** The method's name, for error messages. */
  readonly name: string;
  returnCredit(bytes: number): void;
  /** The application has stopped reading. */
  stopped(): void;
}

type Step = IteratorResult<unknown, undefined>;

interface Waiter {
  readonly promise: Promise<Step>;
  resolve(step: Step): void;
  reject(error: Error): void;
}

const DONE: Step = { done: true, value: undefined };

export class StreamReceiver implements AsyncIterableIterator<unknown, undefined> {
  readonly #host: ReceiverHost;
  readonly #stream: ReceiverStream;
  readonly #check: Validator<unknown> | null;
  readonly #buffer = new ItemBuffer();
  #window: number;
  /** The peer's remaining credit. Negative if the last item exceeded it. */
  #credit = 0;
  /** Bytes taken since credit was last returned. */
  #taken = 0;
  #wasBlocked = false;
  /** Bytes of the incomplete item; 0 if there is none. */
  #itemBytes = 0;
  /** Whether the peer has sent the end. */
  #hasEnded = false;
  /** The error thrown after the last item; null for a normal end. */
  #error: Error | null = null;
  /** Whether the application has stopped reading, so that received items are dropped. */
  #isStopped = false;
  /** The pending `next`. */
  #waiter: Waiter | null = null;

  /** @param window bytes of the first grant, as returned by `takeWindow` */
  constructor(host: ReceiverHost, stream: ReceiverStream, window: number, check: Validator<unknown> | null) {
    this.#host = host;
    this.#stream = stream;
    this.#window = window;
    this.#check = check;
  }

  /** Bytes of received items that weren't taken yet. */
  get heldBytes(): number {
    return this.#buffer.bytes;
  }

  /** Size of the window. */
  get window(): number {
    return this.#window;
  }

  /** Whether the application has stopped reading. */
  get isStopped(): boolean {
    return this.#isStopped;
  }

  /** The peer has its first credit. */
  granted(): void {
    this.#credit = this.#window;
  }

  /** Sends the first credit. */
  open(): void {
    this.granted();
    this.#stream.returnCredit(this.#window);
  }

  /**
   * Handles a frame with items.
   * @throws ConduitError FLOW_CONTROL_ERROR, MESSAGE_TOO_LARGE, which end the connection
   */
  receive(frame: ReceivedFrame): void {
    const length = frame.payloadEnd - frame.payloadStart;
    if (this.#credit <= 0 && this.#itemBytes === 0) {
      throw new ConduitError(
        ErrorCode.FLOW_CONTROL_ERROR,
        `The peer sent items of '${this.#stream.name}' without credit`,
      );
    }
    const { maxReceivedItemBytes: maxItemBytes } = this.#host;
    if (this.#itemBytes + length > maxItemBytes) {
      const message = `An item of '${this.#stream.name}' exceeds the limit of ${maxItemBytes} bytes`;
      throw new ConduitError(ErrorCode.MESSAGE_TOO_LARGE, message, { details: { limit: maxItemBytes } });
    }
    if (this.#changeCredit(-HEADER_BYTES - length)) {
      const message = "Items of streams exceed their credit by more than the peer was allowed";
      throw new ConduitError(ErrorCode.FLOW_CONTROL_ERROR, message);
    }
    if ((frame.flags & StreamFlag.BLOCKED) !== 0) this.#wasBlocked = true;
    this.#itemBytes = (frame.flags & StreamFlag.MORE) === 0 ? 0 : this.#itemBytes + length;
    if (this.#isStopped) return;
    const before = this.#buffer.bytes;
    this.#buffer.add(frame);
    this.#host.countHeld(this.#buffer.bytes - before);
    if (this.#buffer.hasItem) this.#wake();
  }

  /** The peer has ended the stream. Received items are delivered first. */
  end(error: Error | null): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    if (!this.#isStopped) this.#error = error ?? this.#errorOfPart();
    this.#dropPart();
    if (this.#credit < 0) this.#host.countReceivedOverdraft(this.#credit);
    this.#credit = 0;
    this.#keepWindow(this.#buffer.bytes);
    this.#wake();
  }

  /** The error for a stream that ends within an item; null if the last item is complete. */
  #errorOfPart(): Error | null {
    if (this.#itemBytes === 0) return null;
    const message = `The items of '${this.#stream.name}' ended within an item, after ${this.#itemBytes} bytes of it`;
    return new ConduitError(ErrorCode.TRUNCATED_PAYLOAD, message);
  }

  #dropPart(): void {
    const before = this.#buffer.bytes;
    this.#buffer.dropPart();
    this.#host.countHeld(this.#buffer.bytes - before);
  }

  /** Aborts the stream: drops items that weren't taken, and those that arrive until the peer's end. */
  abort(error: Error): void {
    if (this.#isStopped) return;
    this.#isStopped = true;
    this.#drop();
    this.#error ??= error;
    this.#wake();
  }

  next(): Promise<Step> {
    if (this.#waiter !== null) {
      const again = (): Promise<Step> => this.next();
      return this.#waiter.promise.then(again, again);
    }
    if (this.#buffer.hasItem) return this.#takeForNext();
    if (this.#hasEnded || this.#isStopped) return this.#finish();
    let resolve: (step: Step) => void = () => undefined;
    let reject: (error: Error) => void = () => undefined;
    const promise = new Promise<Step>((settle, fail) => {
      resolve = settle;
      reject = fail;
    });
    this.#waiter = { promise, resolve, reject };
    return forCaller(() => promise);
  }

  /** The application stops reading: delivers nothing more and notifies the peer. */
  async return(): Promise<Step> {
    this.stop();
    return DONE;
  }

  async throw(error: unknown): Promise<Step> {
    this.stop();
    throw error;
  }

  stop(): void {
    if (this.#isStopped) return;
    this.#isStopped = true;
    this.#drop();
    const waiter = this.#waiter;
    this.#waiter = null;
    waiter?.resolve(DONE);
    this.#error = null;
    if (this.#hasEnded) return;
    this.#stream.stopped();
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  #wake(): void {
    const waiter = this.#waiter;
    this.#waiter = null;
    if (waiter === null) return;
    const error = this.#error;
    if (this.#buffer.hasItem) {
      this.#takeFor(waiter);
    } else if (error === null) {
      waiter.resolve(DONE);
    } else {
      this.#error = null;
      waiter.reject(error);
    }
  }

  /** Throws the error once, then reports the end, like a generator. */
  #finish(): Promise<Step> {
    const error = this.#error;
    this.#error = null;
    return error === null ? Promise.resolve(DONE) : Promise.reject(withCallerStack(error));
  }

  #takeForNext(): Promise<Step> {
    try {
      return Promise.resolve(this.#take());
    } catch (error) {
      return Promise.reject(withCallerStack(error));
    }
  }

  /** Settles the waiter. Doesn't resolve it with a promise that rejects, which Bun may report before its handler is attached. */
  #takeFor(waiter: Waiter): void {
    try {
      const step = this.#take();
      if (step instanceof Promise) step.then(waiter.resolve, waiter.reject);
      else waiter.resolve(step);
    } catch (error) {
      waiter.reject(asConduitError(error));
    }
  }

  /** @throws ConduitError if the item is invalid */
  #take(): Step | Promise<Step> {
    const before = this.#buffer.bytes;
    let item: unknown;
    try {
      item = this.#buffer.take(this.#host.reader);
      if (this.#check !== null) item = this.#check.run(item, this.#stream.name);
    } catch (error) {
      // The application gets the error instead of the item, and nothing after it.
      const failure = asConduitError(error);
      this.#host.countHeld(this.#buffer.bytes - before);
      this.stop();
      throw failure;
    }
    const taken = before - this.#buffer.bytes;
    this.#host.countHeld(-taken);
    this.#returnCredit(taken);
    const turn = this.#host.passTurn(taken);
    if (turn === null && !isThenable(item)) return { done: false, value: item };
    return this.#deliverLater(item, turn);
  }

  async #deliverLater(item: unknown, turn: Promise<void> | null): Promise<Step> {
    try {
      const value = await item;
      if (turn !== null) await turn;
      return { done: false, value };
    } catch (error) {
      this.stop();
      throw withCallerStack(error);
    }
  }

  #returnCredit(bytes: number): void {
    if (this.#hasEnded) {
      this.#keepWindow(this.#buffer.bytes);
      return;
    }
    this.#taken += bytes;
    if (2 * this.#taken < this.#window) return;
    let credit = this.#taken;
    this.#taken = 0;
    if (this.#wasBlocked && !this.#buffer.hasItem) {
      const wanted = Math.min(this.#window, MAX_STREAM_WINDOW_BYTES - this.#window);
      const grown = this.#host.takeWindow(wanted);
      this.#window += grown;
      credit += grown;
    }
    this.#wasBlocked = false;
    this.#changeCredit(credit);
    this.#stream.returnCredit(credit);
  }

  /** @returns whether the overdraft of all streams is too large */
  #changeCredit(change: number): boolean {
    const before = Math.max(0, -this.#credit);
    this.#credit += change;
    const overdraft = Math.max(0, -this.#credit) - before;
    return overdraft !== 0 && this.#host.countReceivedOverdraft(overdraft);
  }

  #drop(): void {
    this.#host.countHeld(-this.#buffer.bytes);
    this.#buffer.clear();
    if (this.#hasEnded) this.#keepWindow(0);
  }

  /** Reduces the window to the received items, because no more will arrive. */
  #keepWindow(bytes: number): void {
    if (bytes >= this.#window) return;
    this.#host.returnWindow(this.#window - bytes);
    this.#window = bytes;
  }
}
