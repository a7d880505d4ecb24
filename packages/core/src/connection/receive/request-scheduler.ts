/**
 * Decides when the handlers for one connection's requests start.
 *
 * A handler starts immediately if the limits on running handlers allow it and the peer reads its replies. Otherwise
 * the request or message waits in the queue, which is bounded by the peer's credit. For a peer without credit,
 * reading stops when the queue is full.
 */

import type { RuntimeContext } from "../../context/runtime-context.ts";
import type { Continuable } from "../../context/turn-queue.ts";
import { ConduitError, ErrorCode, quoted, RpcError } from "../../errors.ts";
import { LOW_WATER_RATIO } from "../../limits.ts";
import { calledOf, type IncomingRequest } from "../../rpc/incoming-request.ts";
import { QueuedFrame, type RequestFrame, wireBytes, workBytes } from "./queued-frame.ts";
import { RequestIds } from "./request-ids.ts";
import { RequestQueue } from "./request-queue.ts";

/** The scheduler's connection. */
export interface SchedulerHost {
  readonly context: Pick<RuntimeContext, "slice" | "turns" | "turnMs">;
  readonly settings: {
    readonly receiveQueueSize: number;
    readonly receiveQueueBytes: number;
    readonly handlerConcurrency: number;
  };
  /** Whether replies accumulate because the peer doesn't read them. */
  readonly hasUnreadReplies: boolean;
  readonly isOver: boolean;
  /**
   * Decodes the request and starts its handler. Answers a request that is invalid or has expired.
   * @param queuedAtMs when it arrived, in monotonic milliseconds; null if it has just arrived
   */
  startRequest(frame: RequestFrame, queuedAtMs: number | null): void;
  /** Whether the peer expects a reply to this request. */
  wantsReply(frame: RequestFrame): boolean;
  /** Answers a request whose handler won't start. */
  refuseRequest(frame: RequestFrame, error: RpcError): void;
  /** A request of this many wire bytes has been started, rejected or dropped. */
  requestTaken(bytes: number): void;
  /** The queue is full. */
  receiveQueueFull(): void;
  /** The queue has room again; reading may resume. */
  receiveQueueHasRoom(): void;
}

/** Handlers to abort per turn. By default, only handlers of streams can be more. */
const ABORTED_PER_TURN = 256;

export class RequestScheduler<Peer> implements Continuable {
  readonly #host: SchedulerHost;
  /** Whether the connect hooks have finished. */
  #isReady = false;
  /** The error for new requests when they are no longer accepted; null while they are. */
  #refusal: RpcError | null = null;
  /** Whether queued requests start in a later turn. */
  #isWaitingForTurn = false;
  /** Created on first use, like the next one; idle connections have neither. */
  #queue: RequestQueue | null = null;
  /** Queued and running requests that expect a reply. */
  #ids: RequestIds<QueuedFrame | IncomingRequest<Peer>> | null = null;
  /** Requests with running asynchronous handlers, each at its `runningAt`. */
  #running: IncomingRequest<Peer>[] | null = null;
  #runningBytes = 0;
  /** Number of those with streams, which have a separate limit because they run as long as their streams. */
  #runningStreams = 0;
  /** Number of running asynchronous hooks started by the peer's requests. */
  #runningHooks = 0;
  #idleWaiters: (() => void)[] | null = null;

  constructor(host: SchedulerHost) {
    this.#host = host;
  }

  /** Number of running asynchronous handlers. */
  get runningHandlers(): number {
    return this.#running?.length ?? 0;
  }

  /** Number of queued requests and messages. */
  get queuedHandlers(): number {
    return this.#queue?.length ?? 0;
  }

  /** Wire bytes of the queued requests and messages. */
  get queuedBytes(): number {
    return this.#queue?.bytes ?? 0;
  }

  /** Bytes of the requests with running handlers. */
  get runningBytes(): number {
    return this.#runningBytes;
  }

  /** Allows handlers to start. Requests of a peer that has disconnected in the meantime are still handled. */
  activate(): void {
    this.#isReady = true;
    this.startWaiting();
  }

  /** Makes new requests fail with this error; queued and running ones continue. */
  refuseNew(error: RpcError): void {
    this.#refusal = error;
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
  submit(frame: RequestFrame): void {
    if (this.#refusal !== null) {
      this.#host.refuseRequest(frame, this.#refusal);
      this.#host.requestTaken(wireBytes(frame));
    } else if (this.#canStart && this.queuedHandlers === 0) {
      this.#host.requestTaken(wireBytes(frame));
      this.#host.startRequest(frame, null);
    } else {
      this.#queue ??= new RequestQueue();
      const queued = new QueuedFrame(frame, this.#host.wantsReply(frame), this.#host.context.turnMs());
      this.#queue.push(queued);
      this.#addId(queued);
      if (this.#fill >= 1) this.#host.receiveQueueFull();
    }
  }

  /** Whether a request with this id is queued or running. */
  isIdInUse(idHi: number, idLo: number): boolean {
    return this.#ids !== null && this.#ids.size > 0 && this.#ids.get(idHi, idLo) !== undefined;
  }

  /** Cancels the peer's request with this id, if there is one. Answers it if it hasn't started. */
  cancel(idHi: number, idLo: number): void {
    const request = this.#ids?.get(idHi, idLo);
    if (request === undefined) return;
    if (!(request instanceof QueuedFrame)) {
      request.abort(new ConduitError(ErrorCode.CANCELLED, `The caller cancelled ${quoted(calledOf(request))}`));
      return;
    }
    this.#ids?.delete(request);
    this.#queue?.delete(request);
    this.#host.requestTaken(wireBytes(request));
    this.#host.refuseRequest(request, new RpcError(ErrorCode.CANCELLED, "The caller cancelled it before it started"));
    this.startWaiting();
    this.#wakeIdle();
  }

  handlerStarted(request: IncomingRequest<Peer>): void {
    this.#running ??= [];
    request.runningAt = this.#running.length;
    this.#running.push(request);
    this.#runningBytes += request.bytes;
    if (request.hasStream) this.#runningStreams += 1;
    this.#addId(request);
  }

  handlerSettled(request: IncomingRequest<Peer>): void {
    if (this.#running === null || !this.isRunning(request)) return;
    // Move the last one to its place.
    const last = this.#running.pop() as IncomingRequest<Peer>;
    last.runningAt = request.runningAt;
    if (last !== request) this.#running[request.runningAt] = last;
    request.runningAt = -1;
    this.#runningBytes -= request.bytes;
    if (request.hasStream) this.#runningStreams -= 1;
    this.#ids?.delete(request);
    this.startWaiting();
    this.#wakeIdle();
  }

  /** A peer's request has started a hook, which counts like an asynchronous handler. @param bytes size of its arguments */
  hookStarted(running: Promise<unknown>, bytes: number): void {
    this.#runningHooks += 1;
    this.#runningBytes += bytes;
    void running.then(() => {
      this.#runningHooks -= 1;
      this.#runningBytes -= bytes;
      this.startWaiting();
    });
  }

  /** Whether its asynchronous handler is running. */
  isRunning(request: IncomingRequest<Peer>): boolean {
    return request.runningAt >= 0;
  }

  /** Requests with running asynchronous handlers that expect a reply. */
  get runningRequests(): IncomingRequest<Peer>[] {
    return (this.#running ?? []).filter((request) => request.wantsReply);
  }

  /**
   * Fires the signal of every running handler. Thousands of streams are spread over several event loop turns; all at
   * once would block it for 100 ms.
   */
  abortRunning(error: ConduitError): void {
    const running = [...(this.#running ?? [])];
    const { turns } = this.#host.context;
    const work = {
      continueTurn: (): void => {
        for (const request of running.splice(0, ABORTED_PER_TURN)) {
          if (this.isRunning(request)) request.abort(error);
        }
        if (running.length > 0) turns.add(work);
      },
    };
    work.continueTurn();
  }

  /**
   * Drops the queue, because replies can no longer be sent. Returns its credit, which the peer may need to close.
   * @returns the dropped requests
   */
  clear(): readonly RequestFrame[] {
    const dropped = [...(this.#queue ?? [])];
    this.#queue?.clear();
    for (const request of dropped) {
      this.#ids?.delete(request);
      this.#host.requestTaken(wireBytes(request));
    }
    this.#wakeIdle();
    return dropped;
  }

  /** Resolves pending `idle()` calls when the connection has ended. */
  over(): void {
    this.#wakeIdle();
  }

  /**
   * Starts queued requests as far as the limits allow, then resumes the stream. Works in fair turns, because a peer
   * that starts to read its replies again may have a thousand requests waiting.
   */
  startWaiting(): void {
    const { slice, turns } = this.#host.context;
    for (let started = 0; this.queuedHandlers > 0 && this.#canStart && !this.#isWaitingForTurn; started += 1) {
      if (started === 1) slice.beginTurn(this);
      const frame = this.#queue?.shift() as QueuedFrame;
      this.#ids?.delete(frame);
      this.#host.requestTaken(wireBytes(frame));
      this.#host.startRequest(frame, frame.receivedAtMs);
      if (started === 0 || !slice.frameDone(workBytes(frame)) || this.queuedHandlers === 0) continue;
      this.#isWaitingForTurn = true;
      turns.add(this);
    }
    if (this.#fill <= LOW_WATER_RATIO && !this.#host.isOver) this.#host.receiveQueueHasRoom();
  }

  /** Continues in the next slice. */
  continueTurn(): void {
    this.#isWaitingForTurn = false;
    this.startWaiting();
    this.#wakeIdle();
  }

  #addId(request: QueuedFrame | IncomingRequest<Peer>): void {
    this.#ids ??= new RequestIds();
    this.#ids.add(request);
  }

  get #isIdle(): boolean {
    return this.runningHandlers === 0 && this.queuedHandlers === 0;
  }

  /** Running requests also count towards `receiveQueueBytes`. One may always run, regardless of its size. */
  get #canStart(): boolean {
    if (!this.#isReady || this.#host.hasUnreadReplies) return false;
    const running = this.runningHandlers + this.#runningHooks;
    if (running === 0) return true;
    const { handlerConcurrency, receiveQueueBytes } = this.#host.settings;
    return running - this.#runningStreams < handlerConcurrency && this.#runningBytes < receiveQueueBytes;
  }

  get #fill(): number {
    const { receiveQueueSize, receiveQueueBytes } = this.#host.settings;
    return Math.max(this.queuedHandlers / receiveQueueSize, this.queuedBytes / receiveQueueBytes);
  }

  #wakeIdle(): void {
    if (this.#idleWaiters === null || (!this.#isIdle && !this.#host.isOver)) return;
    const waiters = this.#idleWaiters;
    this.#idleWaiters = null;
    for (const wake of waiters) wake();
  }
}
