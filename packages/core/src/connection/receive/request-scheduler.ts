/**
 * Which handler of one connection starts when.
 *
 * A request or message starts its handler at once while the bounds on running handlers allow it and the peer reads the
 * replies it has asked for. Otherwise it waits in the queue. A queue that fills calls `onReceivePressure`, so that the
 * peer can be told; at its bound the stream is not read any more.
 */

import { ConduitError, ErrorCode, RpcError } from "../../errors.ts";
import { HIGH_WATER_RATIO, LOW_WATER_RATIO } from "../../limits.ts";
import type { IncomingRequest, RequestSource } from "../../rpc/incoming-request.ts";
import { RequestQueue } from "./request-queue.ts";

/** The scheduler's connection. */
export interface SchedulerHost<Peer> extends RequestSource<Peer> {
  readonly settings: {
    readonly receiveQueueSize: number;
    readonly receiveQueueBytes: number;
    readonly handlerConcurrency: number;
  };
  /** Replies pile up that the peer does not read. */
  readonly hasUnreadReplies: boolean;
  readonly isOver: boolean;
  readonly onReceivePressure: ((isHigh: boolean) => void) | null;
  /** Starts the handler. */
  dispatch(request: IncomingRequest<Peer>): void;
  /** The queue is full. */
  receiveQueueFull(): void;
  /** The queue has room again, so reading may go on. */
  receiveQueueHasRoom(): void;
}

export class RequestScheduler<Peer> {
  readonly #host: SchedulerHost<Peer>;
  /** The connect hooks are done. */
  #isReady = false;
  #isDraining = false;
  /** The peer was told that the queue fills. */
  #isUnderPressure = false;
  readonly #queue: RequestQueue<Peer> = new RequestQueue();
  /** Requests whose asynchronous handlers run. */
  readonly #running: Set<IncomingRequest<Peer>> = new Set();
  #runningBytes = 0;
  #idleWaiters: (() => void)[] = [];

  constructor(host: SchedulerHost<Peer>) {
    this.#host = host;
  }

  /** Asynchronous handlers running now. */
  get runningHandlers(): number {
    return this.#running.size;
  }

  /** Requests and messages that wait for their handler. */
  get queuedHandlers(): number {
    return this.#queue.length;
  }

  /** Memory of those that wait. */
  get queuedBytes(): number {
    return this.#queue.bytes;
  }

  /** Handlers may start. Requests of a peer that has left meanwhile are served all the same. */
  activate(): void {
    this.#isReady = true;
    this.startWaiting();
  }

  /** From now on requests are refused with SERVER_STOPPING; running handlers go on. */
  drain(): void {
    this.#isDraining = true;
  }

  /** Resolves once no handler runs or waits, or the connection is over. */
  idle(): Promise<void> {
    if (this.#host.isOver || this.#isIdle) return Promise.resolve();
    return new Promise((resolve) => this.#idleWaiters.push(resolve));
  }

  /** Starts the handler of a request, queues it, or refuses it because the server stops. */
  submit(request: IncomingRequest<Peer>): void {
    if (this.#isDraining) {
      const error = new RpcError(ErrorCode.SERVER_STOPPING, "The server is stopping");
      if (request.wantsReply) this.#host.sendError(request, error);
    } else if (this.#canStart && this.#queue.length === 0) {
      this.#host.dispatch(request);
    } else {
      this.#queue.push(request);
      this.#checkFill();
    }
  }

  /** The peer gave up the request with this id. Does nothing if there is none. */
  cancel(idHi: number, idLo: number): void {
    if (idHi === 0 && idLo === 0) return;
    const hasId = (request: IncomingRequest<Peer>): boolean => request.idHi === idHi && request.idLo === idLo;
    for (const request of this.#queue) {
      if (!hasId(request)) continue;
      this.#queue.delete(request);
      this.startWaiting();
      this.#wakeIdle();
      return;
    }
    for (const request of this.#running) {
      if (!hasId(request)) continue;
      request.abort(new ConduitError(ErrorCode.CANCELLED, `The caller cancelled '${request.method}'`));
      return;
    }
  }

  handlerStarted(request: IncomingRequest<Peer>): void {
    this.#running.add(request);
    this.#runningBytes += request.bytes;
  }

  handlerSettled(request: IncomingRequest<Peer>): void {
    if (!this.#running.delete(request)) return;
    this.#runningBytes -= request.bytes;
    this.startWaiting();
    this.#wakeIdle();
  }

  /** Fires the signal of every running handler. */
  abortRunning(error: ConduitError): void {
    for (const request of [...this.#running]) request.abort(error);
  }

  /** Drops the queue: nobody would get the answers. */
  clear(): void {
    this.#queue.clear();
    this.#wakeIdle();
  }

  /** Resolves pending `idle()` calls when the connection is over. */
  over(): void {
    this.#wakeIdle();
  }

  /** Starts queued requests as far as the bounds allow, then lets the peer send and the stream flow. */
  startWaiting(): void {
    while (this.#queue.length > 0 && this.#canStart) {
      this.#host.dispatch(this.#queue.shift() as IncomingRequest<Peer>);
    }
    if (this.#fill > LOW_WATER_RATIO || this.#host.isOver) return;
    if (this.#isUnderPressure) {
      this.#isUnderPressure = false;
      this.#host.onReceivePressure?.(false);
    }
    this.#host.receiveQueueHasRoom();
  }

  get #isIdle(): boolean {
    return this.#running.size === 0 && this.#queue.length === 0;
  }

  /** Running requests count against `receiveQueueBytes`, too; one always runs, however large. */
  get #canStart(): boolean {
    if (!this.#isReady || this.#host.hasUnreadReplies) return false;
    if (this.#running.size === 0) return true;
    const { handlerConcurrency, receiveQueueBytes } = this.#host.settings;
    return this.#running.size < handlerConcurrency && this.#runningBytes < receiveQueueBytes;
  }

  get #fill(): number {
    const { receiveQueueSize, receiveQueueBytes } = this.#host.settings;
    return Math.max(this.#queue.length / receiveQueueSize, this.#queue.bytes / receiveQueueBytes);
  }

  #checkFill(): void {
    const fill = this.#fill;
    if (fill >= HIGH_WATER_RATIO && !this.#isUnderPressure) {
      this.#isUnderPressure = true;
      this.#host.onReceivePressure?.(true);
    }
    if (fill >= 1) this.#host.receiveQueueFull();
  }

  #wakeIdle(): void {
    if (!this.#isIdle && !this.#host.isOver) return;
    const waiters = this.#idleWaiters;
    if (waiters.length === 0) return;
    this.#idleWaiters = [];
    for (const wake of waiters) wake();
  }
}
