/**
 * What comes in on one connection: which handler starts when, how much may wait, and when reading stops.
 *
 * Theory of operation. A request or message starts its handler at once while the bound on running handlers allows it;
 * beyond, it waits in the inbox. An inbox that fills says PAUSE to a peer that understands it, and past its bound the
 * stream is not read. The same goes for answers that the peer does not read. There is one exception: a peer that owes
 * replies, or RESUME, is read on for a while, because the handlers that are to make room may wait for just that.
 */

import type { ByteStream } from "../../bytes/byte-stream.ts";
import { ConduitError, ErrorCode } from "../../errors.ts";
import { HEADER_BYTES, HIGH_WATER_RATIO, LOW_WATER_RATIO, OVERRUN_BYTES, QUEUED_REQUEST_BYTES } from "../../limits.ts";
import type { CallContext } from "../../rpc/call-context.ts";
import type { DispatchPeer } from "../../rpc/dispatcher.ts";
import { RateLimiter, type RateLimits } from "../../util/token-bucket.ts";
import { FrameType } from "../../wire/constants.ts";
import type { FrameDecoder } from "../../wire/frame-decoder.ts";
import type { ConnectionDelegate, ConnectionFaults, ConnectionSettings } from "../connection-delegate.ts";
import type { ConnectionStateMachine } from "../connection-state.ts";
import type { Extensions } from "../extensions.ts";
import type { Heartbeat } from "../heartbeat.ts";
import type { SendQueue } from "../send/send-queue.ts";
import { type QueuedRequest, RequestQueue } from "./request-queue.ts";

/** For the state of a connection whose handlers may start. */
export const READY = { message: "Ready" } as const;

/** What an scheduler needs of its link. */
export interface SchedulerConnection<Peer> extends DispatchPeer<Peer> {
  readonly owner: ConnectionDelegate<Peer>;
  readonly stream: ByteStream;
  readonly sendQueue: SendQueue;
  readonly machine: ConnectionStateMachine;
  readonly extensions: Extensions;
  readonly heartbeat: Heartbeat | null;
  /** Calls of this side that wait for a reply. */
  readonly pendingCalls: number;
  /** A handshake frame is being worked on. */
  readonly isLoggingIn: boolean;
  readonly isOpen: boolean;
  readonly isOver: boolean;
  /** Whether the stream is read. Kept by the scheduler. */
  isReading: boolean;
  /** Nothing runs, waits or is measured: a request may start its handler without further ado. Kept by the scheduler. */
  canDispatchDirectly: boolean;
  /** What the request takes whose handler was started last. */
  readonly requestBytes: number;
  /** Something waits in the sendQueue, so that it is worth a look at how much. */
  readonly hasBacklog: boolean;
  /** Starts the handler of a request or message that takes `bytes`. */
  startHandler(
    isCall: boolean,
    name: string,
    value: unknown,
    hi: number,
    lo: number,
    timeoutMs: number,
    bytes: number,
  ): void;
  countFault(kind: keyof ConnectionFaults): void;
  /** Decodes on. */
  pump(): void;
  /** Reports a frame that was not used. */
  refused(error: ConduitError): void;
}

export class RequestScheduler<Peer> {
  readonly #link: SchedulerConnection<Peer>;
  /** Handlers may start: the connect hooks are done. */
  #ready: boolean;
  /** No new handlers start; requests are refused with SERVER_STOPPING. */
  #draining = false;
  #limiter: RateLimiter | null = null;
  #queue: RequestQueue | null = null;
  /** Handlers that run, and what their requests take. */
  #running: Map<CallContext<Peer>, number> | null = null;
  #runningBytes = 0;
  #idle: (() => void)[] | null = null;
  #pausedPeer = false;
  /** Bytes the operating system had taken when that was last looked at. */
  #takenBytes = 0;
  /** Whether the peer has said PAUSE. */
  isPausedByPeer = false;

  /** A link that starts handlers at once is ready, and only had no need of an scheduler for a while. */
  constructor(link: SchedulerConnection<Peer>) {
    this.#link = link;
    this.#ready = link.canDispatchDirectly;
  }

  /** It says no more than that the link starts handlers at once and reads: the link can do without. */
  get isIdle(): boolean {
    const isHeld = this.#pausedPeer || this.isPausedByPeer || this.#idle !== null;
    return this.#link.canDispatchDirectly && this.#link.isReading && !isHeld;
  }

  /** Asynchronous handlers running now. */
  get runningHandlers(): number {
    return this.#running?.size ?? 0;
  }

  /** Requests and messages that wait for their handler. */
  get queuedHandlers(): number {
    return this.#queue?.length ?? 0;
  }

  /** From now on what comes in is measured. */
  limit(rates: NonNullable<ConnectionSettings["rateLimit"]>): void {
    this.#limiter = new RateLimiter(limitsOf(rates));
    this.#noteCalm();
  }

  /** Handlers may start. A peer that sent and left while the connect hooks ran is served all the same. */
  activate(): void {
    this.#ready = true;
    if (this.#link.isOpen) {
      this.#link.machine.transition("ready", READY);
      if (this.isPausedByPeer || !this.#link.isReading) this.#notePaused(true);
    }
    this.startWaiting();
    this.#link.pump();
  }

  /** From now on requests are refused with SERVER_STOPPING; what runs goes on. */
  drain(): void {
    this.#draining = true;
    this.#noteCalm();
  }

  /** Resolves once no handler runs or waits. */
  idle(): Promise<void> {
    if (this.#link.isOver || (this.runningHandlers === 0 && this.queuedHandlers === 0)) return Promise.resolve();
    return new Promise((resolve) => {
      this.#idle ??= [];
      this.#idle.push(resolve);
    });
  }

  // --- requests and messages ----------------------------------------------------------------------------------------

  /** Takes a request or message: its handler starts, or it waits, or it is refused because the server stops. */
  take(isCall: boolean, name: string, value: unknown, hi: number, lo: number, timeoutMs: number, bytes: number): void {
    const link = this.#link;
    const { runtimeContext } = link.owner;
    if (this.#draining) {
      if (isCall || link.correlatesReplies) this.#refuse(hi, lo, ErrorCode.SERVER_STOPPING, "The server is stopping");
    } else if (!this.#canStart || (this.#queue !== null && this.#queue.length > 0)) {
      const receivedAt = timeoutMs === 0 ? 0 : runtimeContext.wallClock();
      this.#enqueue({ isCall, name, value, hi, lo, timeoutMs, receivedAt, bytes });
    } else {
      link.startHandler(isCall, name, value, hi, lo, timeoutMs, bytes);
    }
  }

  /** Whether this frame is within the rate limit; one that is not is answered, counted and reported here. */
  isWithinRate(frame: FrameDecoder, isCall: boolean): boolean {
    if (this.#limiter === null) return true;
    const link = this.#link;
    const bytes = HEADER_BYTES + frame.payloadEnd - frame.payloadStart;
    const retryAfter = this.#limiter.take(link.owner.runtimeContext.runtime.now(), bytes);
    if (retryAfter === 0) return true;
    link.countFault("rateLimited");
    const details = { retry_after: retryAfter };
    if (isCall || link.correlatesReplies) {
      this.#refuse(frame.correlationHi, frame.correlationLo, ErrorCode.RATE_LIMITED, "Rate limit exceeded", details);
    }
    const what = isCall ? "call" : "message";
    link.refused(new ConduitError(ErrorCode.RATE_LIMITED, `A ${what} exceeded the rate limit`, { details }));
    return false;
  }

  /** The peer gave up the call or request with this id. */
  cancel(hi: number, lo: number): void {
    if (hi === 0 && lo === 0) return;
    if (this.#queue?.cancel(hi, lo) === true) {
      this.startWaiting();
      this.#wakeIdle();
      return;
    }
    if (this.#running === null) return;
    for (const context of this.#running.keys()) {
      if (context.hi === hi && context.lo === lo) {
        context.abort(new ConduitError(ErrorCode.CANCELLED, `The caller cancelled '${context.method}'`));
        return;
      }
    }
  }

  handlerStarted(context: CallContext<Peer>): void {
    const link = this.#link;
    link.canDispatchDirectly = false;
    this.#running ??= new Map();
    this.#running.set(context, link.requestBytes);
    this.#runningBytes += link.requestBytes;
  }

  handlerSettled(context: CallContext<Peer>): void {
    this.#runningBytes -= this.#running?.get(context) ?? 0;
    this.#running?.delete(context);
    this.startWaiting();
    this.#wakeIdle();
  }

  /** Fires the signal of every handler that runs. */
  abortRunning(error: ConduitError): void {
    if (this.#running === null) return;
    for (const context of [...this.#running.keys()]) context.abort(error);
  }

  /** Forgets what waits: nobody would get the answers. */
  clear(): void {
    this.#queue?.clear();
    this.#noteCalm();
    this.#wakeIdle();
  }

  /** The link is over. Whoever waits for idleness need not any more. */
  over(): void {
    this.#wakeIdle();
  }

  /**
   * Whether a handler may start now. Those that run hold their requests in memory, so these count against
   * `receiveQueueBytes` as well; one always runs, however large its request.
   */
  get #canStart(): boolean {
    const link = this.#link;
    if (!this.#ready || (link.hasBacklog && link.sendQueue.isBackedUp)) return false;
    if (this.#running === null || this.#running.size === 0) return true;
    const { handlerConcurrency, receiveQueueBytes } = link.owner.settings;
    return this.#running.size < handlerConcurrency && this.#runningBytes < receiveQueueBytes;
  }

  #noteCalm(): void {
    const isEmpty = this.runningHandlers === 0 && this.queuedHandlers === 0;
    this.#link.canDispatchDirectly = isEmpty && this.#ready && !this.#draining && this.#limiter === null;
  }

  #enqueue(item: QueuedRequest): void {
    const { owner, extensions, sendQueue } = this.#link;
    this.#queue ??= new RequestQueue();
    this.#queue.push(item);
    this.#link.canDispatchDirectly = false;
    const fill = this.#fill(this.#queue);
    if (fill >= HIGH_WATER_RATIO && !this.#pausedPeer && extensions.flow && owner.settings.enableBackpressure) {
      this.#pausedPeer = true;
      owner.writer.control(FrameType.PAUSE, 0, 0);
      sendQueue.push(owner.writer, "flow");
    }
    if (fill >= 1) this.stopReadingUnlessOwed();
  }

  #fill(inbox: RequestQueue): number {
    const { receiveQueueSize, receiveQueueBytes } = this.#link.owner.settings;
    return Math.max(inbox.length / receiveQueueSize, inbox.bytes / receiveQueueBytes);
  }

  /** Starts what waits, as far as the bounds allow, and lets the peer send and the stream flow when there is room. */
  startWaiting(): void {
    const link = this.#link;
    const { writer } = link.owner;
    const inbox = this.#queue;
    if (inbox !== null) {
      while (this.#canStart) {
        const item = inbox.shift();
        if (item === null) break;
        const { isCall, name, value, hi, lo, bytes } = item;
        link.startHandler(isCall, name, value, hi, lo, isCall ? this.#timeLeft(item) : 0, bytes);
      }
      if (this.#fill(inbox) > LOW_WATER_RATIO) return;
      if (inbox.length === 0 && this.#queue === inbox) this.#queue = null;
    }
    this.#noteCalm();
    if (link.isOver) return;
    if (this.#pausedPeer) {
      this.#pausedPeer = false;
      writer.control(FrameType.RESUME, 0, 0);
      link.sendQueue.push(writer, "flow");
    }
    if (!this.#link.isReading && !link.sendQueue.isOverwhelmed) {
      this.startReading();
      link.pump();
    }
  }

  /** Of a call's deadline, after its time in the inbox. 0: it has none. */
  #timeLeft(item: QueuedRequest): number {
    if (item.timeoutMs === 0) return 0;
    return Math.max(1, item.timeoutMs - (this.#link.owner.runtimeContext.wallClock() - item.receivedAt));
  }

  #wakeIdle(): void {
    if (this.#idle === null || (!this.#link.isOver && (this.runningHandlers > 0 || this.queuedHandlers > 0))) return;
    const waiters = this.#idle;
    this.#idle = null;
    for (const wake of waiters) wake();
  }

  #refuse(hi: number, lo: number, code: number, message: string, details?: Record<string, unknown>): void {
    if (hi !== 0 || lo !== 0) this.#link.sendError(hi, lo, message, code, details);
  }

  // --- reading ------------------------------------------------------------------------------------------------------

  /**
   * A peer that owes replies, or RESUME, is read on: the handlers that are to make room may be waiting for just that,
   * and behind what it sent before it was told to pause, it comes. That much more is taken, and no further.
   */
  stopReadingUnlessOwed(): void {
    const isOwed = this.#link.pendingCalls > 0 || this.isPausedByPeer;
    if (!isOwed || !this.#mayOverrun) this.stopReading();
  }

  get #mayOverrun(): boolean {
    const { owner, sendQueue } = this.#link;
    const inbox = this.#queue;
    const waitingBytes = inbox === null ? 0 : inbox.bytes + inbox.length * QUEUED_REQUEST_BYTES;
    return waitingBytes < owner.settings.receiveQueueBytes + OVERRUN_BYTES && !sendQueue.isOverwhelmedBy(OVERRUN_BYTES);
  }

  stopReading(): void {
    if (!this.#link.isReading) return;
    this.#link.isReading = false;
    this.#link.stream.pause();
    this.judgeSilence(this.#link.owner.runtimeContext.runtime.now());
    this.#notePaused(true);
  }

  startReading(): void {
    this.#link.isReading = true;
    this.#link.stream.resume();
    this.#link.heartbeat?.resume(this.#link.owner.runtimeContext.runtime.now());
    this.#notePaused(this.isPausedByPeer);
  }

  /** A call of this side begins: its reply must get through. */
  readForReply(): void {
    const link = this.#link;
    if (link.isReading || link.isLoggingIn || !this.#mayOverrun) return;
    this.startReading();
    // Not within the application's call: handlers may start here.
    link.owner.runtimeContext.runtime.defer(() => {
      if (!link.isOver) link.pump();
    });
  }

  /**
   * While this side does not read, the peer's signs of life wait unread, so its silence proves nothing. Unless it is
   * the peer that does not read what it asked for: then its reading is the only sign of life, and none of it is silence.
   */
  judgeSilence(now: number): void {
    const { sendQueue, heartbeat, stream } = this.#link;
    if (!sendQueue.isBackedUp) {
      heartbeat?.suspend();
      return;
    }
    heartbeat?.resume(now);
    const takenBytes = sendQueue.bytesSent - stream.queuedBytes;
    if (takenBytes !== this.#takenBytes) heartbeat?.activity(now);
    this.#takenBytes = takenBytes;
  }

  /** The peer said PAUSE or RESUME. */
  setPausedByPeer(paused: boolean): void {
    if (this.isPausedByPeer === paused) return;
    this.isPausedByPeer = paused;
    this.#link.sendQueue.setPeerPaused(paused);
    this.#notePaused(paused || !this.#link.isReading);
  }

  /** Two things can hold a connection back at once; the state changes with the first and the last. */
  #notePaused(held: boolean): void {
    const { machine } = this.#link;
    if (held && machine.state === "active") {
      const message = this.isPausedByPeer ? "The peer sent PAUSE" : "Handlers lag; reading stopped";
      machine.transition("pause", { message });
    } else if (!held && machine.state === "paused") {
      machine.transition("resume", { message: "Flowing again" });
    }
  }
}

/** A rate that is not limited is Infinity in the configuration, and left out for the limiter. */
function limitsOf(rates: NonNullable<ConnectionSettings["rateLimit"]>): RateLimits {
  const { messagesPerSecond, bytesPerSecond } = rates;
  return {
    ...(messagesPerSecond === Number.POSITIVE_INFINITY ? {} : { messagesPerSecond }),
    ...(bytesPerSecond === Number.POSITIVE_INFINITY ? {} : { bytesPerSecond }),
  };
}
