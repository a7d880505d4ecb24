/**
 * The receiving end of one stream: buffers items until the application takes them, and returns credit as it does.
 *
 * The window is what the peer may have on its way and here. It doubles if the peer had no credit left although the
 * application waits for items: then the window is what limits the stream.
 */

import type { ReceivedFrame } from "../../connection/extension.ts";
import { asConduitError, ConduitError, ErrorCode, forCaller, withCallerStack } from "../../errors.ts";
import { HEADER_BYTES, MAX_STREAM_WINDOW_BYTES } from "../../limits.ts";
import type { Validator } from "../../rpc/validation.ts";
import { isThenable } from "../../util/is-thenable.ts";
import type { PayloadReader } from "../../wire/payload-reader.ts";
import { ItemBuffer } from "./item-buffer.ts";
import { StreamFlag } from "./stream-frames.ts";

/** The connection, as a receiver uses it. */
export interface ReceiverHost {
  readonly reader: PayloadReader;
  /** Largest item in bytes. */
  readonly maxReceivedItemBytes: number;
  /** Takes up to `bytes` for a window from what the connection grants in total. Returns how many. */
  takeWindow(bytes: number): number;
  returnWindow(bytes: number): void;
  /**
   * Counts bytes that items take beyond their windows.
   * @returns whether that is more than the peer was allowed
   */
  countReceivedOverdraft(change: number): boolean;
  /** Counts the bytes held for items. */
  countHeld(change: number): void;
  /** The application took items of this many bytes. Returns a promise if others are to be served first. */
  passTurn(bytes: number): Promise<void> | null;
}

/** The stream of a receiver. */
export interface ReceiverStream {
  /** The method, for errors. */
  readonly name: string;
  returnCredit(bytes: number): void;
  /** The application takes no more items. */
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
  /** Credit that the peer has left. Below 0 by the item that used it up. */
  #credit = 0;
  /** Bytes that were taken since credit was last returned. */
  #taken = 0;
  #wasBlocked = false;
  /** Bytes of the item that isn't complete; 0 if there is none. */
  #itemBytes = 0;
  /** Whether the peer sends no more items. */
  #hasEnded = false;
  /** How it ends once its items are taken; null if well. */
  #error: Error | null = null;
  /** Whether the application takes no more items; those that arrive are dropped. */
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

  /** Bytes of items that arrived and weren't taken. */
  get heldBytes(): number {
    return this.#buffer.bytes;
  }

  /** Size of the window. */
  get window(): number {
    return this.#window;
  }

  /** Whether the application takes no more items. */
  get isStopped(): boolean {
    return this.#isStopped;
  }

  /** The peer has got its first credit. */
  granted(): void {
    this.#credit = this.#window;
  }

  /** Sends the first credit. */
  open(): void {
    this.granted();
    this.#stream.returnCredit(this.#window);
  }

  /**
   * Items arrived.
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

  /** The peer sends no more items; those that are here come first. */
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

  /** A part of an item mustn't pass for the end of all of them; null if the last item is complete. */
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

  /** The stream is given up: drops items that weren't taken, and those that still arrive until the peer's end. */
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

  /** The application leaves: nothing more is delivered, and the peer is told. */
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

  /** An error is thrown once, then the stream is done, like a generator. */
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

  /** The waiter isn't resolved with a promise that rejects: Bun may report that one before its handler is attached. */
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
      // The application gets the error instead of the item, and nothing behind it.
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

  /** No more items come: only those that are here need room. */
  #keepWindow(bytes: number): void {
    if (bytes >= this.#window) return;
    this.#host.returnWindow(this.#window - bytes);
    this.#window = bytes;
  }
}
