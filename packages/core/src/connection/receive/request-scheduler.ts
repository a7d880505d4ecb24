/**
 * Decides when the handlers of one connection start.
 *
 * A handler starts immediately if the limits on running handlers allow it and the peer reads its replies. Otherwise the
 * request or message waits in the queue. When the queue is filling up, `receivePressure` is called, so that the peer
 * can be asked to pause; when it is full, the stream is no longer read.
 */

import { ConduitError, ErrorCode, RpcError } from "../../errors.ts";
import { HIGH_WATER_RATIO, LOW_WATER_RATIO } from "../../limits.ts";
import type { IncomingRequest, RequestSource } from "../../rpc/incoming-request.ts";
import { RequestIds } from "./request-ids.ts";
import { RequestQueue } from "./request-queue.ts";

/** The scheduler's connection. */
export interface SchedulerHost<Peer> extends RequestSource<Peer> {
  readonly settings: {
    readonly receiveQueueSize: number;
    readonly receiveQueueBytes: number;
    readonly handlerConcurrency: number;
  };
  /** Whether replies accumulate because the peer doesn't read them. */
  readonly hasUnreadReplies: boolean;
  readonly isOver: boolean;
  /** The queue is filling up, or has room again. */
  receivePressure(isHigh: boolean): void;
  /** Starts the handler. */
  dispatch(request: IncomingRequest<Peer>): void;
  /** The queue is full. */
  receiveQueueFull(): void;
  /** The queue has room again; reading may resume. */
  receiveQueueHasRoom(): void;
}

export class RequestScheduler<Peer> {
  readonly #host: SchedulerHost<Peer>;
  /** Whether the connect hooks have finished. */
  #isReady = false;
  #isDraining = false;
  /** Whether the peer was asked to pause. */
  #isUnderPressure = false;
  /** Made when first needed, like the next one: idle connections have neither. */
  #queue: RequestQueue<Peer> | null = null;
  /** Queued and running requests that expect a reply. */
  #ids: RequestIds<Peer> | null = null;
  /** Requests with running asynchronous handlers. */
  #running: Set<IncomingRequest<Peer>> | null = null;
  #runningBytes = 0;
  #idleWaiters: (() => void)[] | null = null;

  constructor(host: SchedulerHost<Peer>) {
    this.#host = host;
  }

  /** Number of running asynchronous handlers. */
  get runningHandlers(): number {
    return this.#running?.size ?? 0;
  }

  /** Number of queued requests and messages. */
  get queuedHandlers(): number {
    return this.#queue?.length ?? 0;
  }

  /** Memory of the queued requests and messages. */
  get queuedBytes(): number {
    return this.#queue?.bytes ?? 0;
  }

  /** Allows handlers to start. Requests of a peer that has disconnected in the meantime are still handled. */
  activate(): void {
    this.#isReady = true;
    this.startWaiting();
  }

  /** From now on, requests are answered with SERVER_STOPPING; running handlers continue. */
  drain(): void {
    this.#isDraining = true;
  }

  /** Resolves when no handlers are running or queued, or when the connection ends. */
  idle(): Promise<void> {
    if (this.#host.isOver || this.#isIdle) return Promise.resolve();
    return new Promise((resolve) => {
      this.#idleWaiters ??= [];
      this.#idleWaiters.push(resolve);
    });
  }

  /** Starts the handler of a request, queues the request, or rejects it if the server is stopping. */
  submit(request: IncomingRequest<Peer>): void {
    if (this.#isDraining) {
      const error = new RpcError(ErrorCode.SERVER_STOPPING, "The server is stopping");
      if (request.wantsReply) this.#host.sendError(request, error);
    } else if (this.#canStart && this.queuedHandlers === 0) {
      this.#host.dispatch(request);
    } else {
      this.#queue ??= new RequestQueue();
      this.#queue.push(request);
      this.#addId(request);
      this.#checkFill();
    }
  }

  /** Whether a request with this id is queued or running. */
  isIdInUse(idHi: number, idLo: number): boolean {
    return this.#ids !== null && this.#ids.size > 0 && this.#ids.get(idHi, idLo) !== undefined;
  }

  /** The peer cancelled the request with this id, if there is one. A request that hasn't started is answered here. */
  cancel(idHi: number, idLo: number): void {
    const request = this.#ids?.get(idHi, idLo);
    if (request === undefined) return;
    const message = `The caller cancelled '${request.method}'`;
    if (this.#queue?.delete(request) !== true) {
      request.abort(new ConduitError(ErrorCode.CANCELLED, message));
      return;
    }
    this.#ids?.delete(request);
    this.#host.sendError(request, new RpcError(ErrorCode.CANCELLED, message));
    this.startWaiting();
    this.#wakeIdle();
  }

  handlerStarted(request: IncomingRequest<Peer>): void {
    this.#running ??= new Set();
    this.#running.add(request);
    this.#runningBytes += request.bytes;
    this.#addId(request);
  }

  handlerSettled(request: IncomingRequest<Peer>): void {
    if (this.#running?.delete(request) !== true) return;
    this.#runningBytes -= request.bytes;
    this.#ids?.delete(request);
    this.startWaiting();
    this.#wakeIdle();
  }

  /** Fires the signal of every running handler. */
  abortRunning(error: ConduitError): void {
    for (const request of [...(this.#running ?? [])]) request.abort(error);
  }

  /** Drops the queue, because replies can no longer be sent. */
  clear(): void {
    for (const request of this.#queue ?? []) this.#ids?.delete(request);
    this.#queue?.clear();
    this.#wakeIdle();
  }

  /** Resolves pending `idle()` calls when the connection is over. */
  over(): void {
    this.#wakeIdle();
  }

  /** Starts queued requests as far as the limits allow, then resumes the peer and the stream. */
  startWaiting(): void {
    while (this.queuedHandlers > 0 && this.#canStart) {
      this.#start(this.#queue?.shift() as IncomingRequest<Peer>);
    }
    if (this.#fill > LOW_WATER_RATIO || this.#host.isOver) return;
    if (this.#isUnderPressure) {
      this.#isUnderPressure = false;
      this.#host.receivePressure(false);
    }
    this.#host.receiveQueueHasRoom();
  }

  /** A request that expired while it waited is answered and not carried out. */
  #start(request: IncomingRequest<Peer>): void {
    this.#ids?.delete(request);
    if (!request.isExpired) this.#host.dispatch(request);
    else if (request.wantsReply) {
      const message = `The deadline of '${request.method}' passed before it started`;
      this.#host.sendError(request, new RpcError(ErrorCode.TIMEOUT, message));
    }
  }

  #addId(request: IncomingRequest<Peer>): void {
    this.#ids ??= new RequestIds();
    this.#ids.add(request);
  }

  get #isIdle(): boolean {
    return this.runningHandlers === 0 && this.queuedHandlers === 0;
  }

  /** Running requests also count against `receiveQueueBytes`; one may always run, whatever its size. */
  get #canStart(): boolean {
    if (!this.#isReady || this.#host.hasUnreadReplies) return false;
    if (this.runningHandlers === 0) return true;
    const { handlerConcurrency, receiveQueueBytes } = this.#host.settings;
    return this.runningHandlers < handlerConcurrency && this.#runningBytes < receiveQueueBytes;
  }

  get #fill(): number {
    const { receiveQueueSize, receiveQueueBytes } = this.#host.settings;
    return Math.max(this.queuedHandlers / receiveQueueSize, this.queuedBytes / receiveQueueBytes);
  }

  #checkFill(): void {
    const fill = this.#fill;
    if (fill >= HIGH_WATER_RATIO && !this.#isUnderPressure) {
      this.#isUnderPressure = true;
      this.#host.receivePressure(true);
    }
    if (fill >= 1) this.#host.receiveQueueFull();
  }

  #wakeIdle(): void {
    if (!this.#isIdle && !this.#host.isOver) return;
    const waiters = this.#idleWaiters ?? [];
    this.#idleWaiters = null;
    for (const wake of waiters) wake();
  }
}
