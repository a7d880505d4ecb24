/** The two ends of a stream between nodes. Items are numbered from 1, so that a lost one is detected. */

import { asConduitError, ConduitError, ErrorCode, withCallerStack } from "../errors.ts";
import type { ItemSink } from "../extensions/streams/stream-source.ts";
import type { Validator } from "../rpc/validation.ts";
import { Fifo } from "../util/fifo.ts";

/** Bytes of items that may be in transit or unread on the other node; the last item may exceed it. */
const WINDOW_BYTES = 256 * 1024;
/** Overhead of a waiting item, in bytes, for its message and objects. */
const ITEM_BYTES = 256;

/** Sends items to the other node. */
export class NodeItemSender implements ItemSink {
  readonly #send: (number: number, item: unknown) => number;
  readonly #sizes = new Fifo<number>();
  #bytes = 0;
  #taken = 0;
  #reason: Error | null = null;
  #waiter: { resolve(): void; reject(error: Error): void } | null = null;
  /** Number of items sent. */
  count = 0;
  onAbort: (() => void) | null = null;

  /** @param send sends an item and returns its size in bytes; throws if it can't */
  constructor(send: (number: number, item: unknown) => number) {
    this.#send = send;
  }

  get reason(): Error | null {
    return this.#reason;
  }

  /** Whether the other node hasn't consumed all items. */
  get isWaiting(): boolean {
    return this.#taken < this.count;
  }

  begin(): null {
    return null;
  }

  /** @throws ConduitError UNSERIALIZABLE, MESSAGE_TOO_LARGE, CLUSTER_UNAVAILABLE; the reason of `abort` */
  write(item: unknown): Promise<void> | null {
    if (this.#reason !== null) throw this.#reason;
    const bytes = this.#send(this.count + 1, item) + ITEM_BYTES;
    this.count += 1;
    this.#sizes.push(bytes);
    this.#bytes += bytes;
    if (this.#bytes < WINDOW_BYTES) return null;
    return new Promise((resolve, reject) => {
      this.#waiter = { resolve, reject };
    });
  }

  finish(): null {
    return null;
  }

  /** The other node's application has consumed this many items. */
  taken(count: number): void {
    while (this.#taken < Math.min(count, this.count)) {
      this.#taken += 1;
      this.#bytes -= this.#sizes.shift() as number;
    }
    if (this.#bytes >= WINDOW_BYTES) return;
    this.#waiter?.resolve();
    this.#waiter = null;
  }

  /** Sends nothing more. */
  abort(reason: Error): void {
    if (this.#reason !== null) return;
    this.#reason = reason;
    this.#waiter?.reject(reason);
    this.#waiter = null;
    this.onAbort?.();
  }
}

/** The call that a {@link NodeItemReceiver} belongs to. */
export interface NodeItemReceiverHost {
  /** The method's name, for error messages. */
  readonly name: string;
  readonly check: Validator<unknown> | null;
  /** @throws ConduitError MALFORMED_PAYLOAD */
  decode(bytes: Uint8Array): unknown;
  /** The application has consumed this many items; 0 when it starts to read. */
  taken(count: number): void;
  /** The application has stopped reading. */
  stopped(): void;
}

type Step = IteratorResult<unknown, undefined>;
const DONE: Step = { done: true, value: undefined };

/** Items from the other node. */
export class NodeItemReceiver implements AsyncIterableIterator<unknown, undefined> {
  readonly #host: NodeItemReceiverHost;
  readonly #items = new Fifo<Uint8Array>();
  #last = 0;
  #taken = 0;
  /** Bytes consumed since the last report to the other node. */
  #unreported = 0;
  #isOpen = false;
  #hasEnded = false;
  #isStopped = false;
  #error: Error | null = null;
  #arrival: { readonly promise: Promise<void>; resolve(): void } | null = null;

  constructor(host: NodeItemReceiverHost) {
    this.#host = host;
  }

  receive(number: number, bytes: Uint8Array): void {
    if (number !== this.#last + 1) {
      this.#lost();
      return;
    }
    this.#last = number;
    if (this.#isStopped || this.#hasEnded) return;
    this.#items.push(bytes);
    this.#wake();
  }

  /** The other node repeats its position. Fails the stream if items are missing, or repeats the acknowledgement. */
  sentSoFar(count: number, hasEnded: boolean): void {
    if (this.#isStopped || this.#hasEnded) this.#host.stopped();
    else if (count !== this.#last || hasEnded) this.#lost();
    else if (this.#isOpen) this.#host.taken(this.#taken);
  }

  /** Ends the stream after the items received so far. @param count total number of items; null if unknown */
  end(error: Error | null, count: number | null = null): void {
    if (this.#hasEnded) return;
    if (count !== null && count !== this.#last) {
      this.#lost();
      return;
    }
    this.#hasEnded = true;
    this.#error ??= error;
    this.#wake();
  }

  /** Aborts the stream and drops unread items. */
  abort(error: Error): void {
    if (this.#hasEnded || this.#isStopped) return;
    this.#items.clear();
    this.end(error);
  }

  async next(): Promise<Step> {
    if (!this.#isOpen) {
      this.#isOpen = true;
      this.#host.taken(0);
    }
    while (this.#items.length === 0) {
      if (this.#isStopped || this.#hasEnded) return this.#finish();
      await this.#arrived();
    }
    const { name, check, decode } = this.#host;
    const bytes = this.#items.shift() as Uint8Array;
    this.#take(bytes.length + ITEM_BYTES);
    try {
      const item = decode(bytes);
      return { done: false, value: check === null ? item : await check.run(item, name) };
    } catch (error) {
      this.#stop();
      throw withCallerStack(asConduitError(error));
    }
  }

  async return(): Promise<Step> {
    this.#stop();
    return DONE;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  #take(bytes: number): void {
    this.#taken += 1;
    this.#unreported += bytes;
    if (2 * this.#unreported < WINDOW_BYTES) return;
    this.#unreported = 0;
    this.#host.taken(this.#taken);
  }

  #stop(): void {
    if (this.#isStopped) return;
    this.#isStopped = true;
    this.#items.clear();
    this.#error = null;
    this.#wake();
    if (!this.#hasEnded) this.#host.stopped();
  }

  #lost(): void {
    if (this.#isStopped || this.#hasEnded) return;
    const message = `Items of '${this.#host.name}' were lost between the nodes`;
    this.end(new ConduitError(ErrorCode.NODE_UNAVAILABLE, message));
    // The other node can stop sending.
    this.#host.stopped();
  }

  /** Throws the error once, then reports the end. */
  #finish(): Step {
    const error = this.#error;
    this.#error = null;
    if (error !== null) throw withCallerStack(error);
    return DONE;
  }

  #arrived(): Promise<void> {
    if (this.#arrival === null) {
      let resolve: () => void = () => undefined;
      const promise = new Promise<void>((settle) => {
        resolve = settle;
      });
      this.#arrival = { promise, resolve };
    }
    return this.#arrival.promise;
  }

  #wake(): void {
    this.#arrival?.resolve();
    this.#arrival = null;
  }
}
