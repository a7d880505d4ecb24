/**
 * One connection, either end: where stream, session and RPC meet.
 *
 * Theory of operation. The stream pushes chunks into `data`; the frame decoder cuts them; each frame is acted on at
 * once: replies settle their call, heartbeats are answered, messages and requests start their handler. When the bound
 * on running handlers is reached (or the peer doesn't read our replies) requests wait in the inbox; when the inbox
 * fills, the peer is told PAUSE if it understands that, and past the bound the stream is not read any more. What
 * leaves goes through the sendQueue. Nothing a peer sends throws out of `data`: what breaks the framing ends the
 * connection with a code, what is malformed inside a whole frame is answered or reported and the connection lives.
 *
 * The owner (server or client) supplies the handshake, the dispatcher and the hooks through `ConnectionDelegate`.
 * What is not needed by every frame stands beside this file: the timers, how a link ends, and what it answers to what it
 * cannot use.
 */

import type { PeerInfo } from "../auth/peer-info.ts";
import type { ByteSink, ByteStream } from "../bytes/byte-stream.ts";
import { ConduitError, ErrorCode } from "../errors.ts";
import { MAX_HANDSHAKE_BYTES } from "../limits.ts";
import type { CallContext } from "../rpc/call-context.ts";
import type { Dispatcher, DispatchPeer } from "../rpc/dispatcher.ts";
import type { Validator } from "../rpc/validation.ts";
import type { Login } from "../server/login-manager.ts";
import { FrameType } from "../wire/constants.ts";
import type { FrameDecoder } from "../wire/frame-decoder.ts";
import type { PayloadReader } from "../wire/payload-reader.ts";
import type { FrameBytes } from "../wire/scattered-frame.ts";
import {
  type CloseRequest,
  closeReason,
  closeReceived,
  errorOf,
  failConnection,
  reasonOf,
  sendClose,
} from "./close.ts";
import { type CloseReason, type ConnectionDelegate, type ConnectionFaults, NO_FAULTS } from "./connection-delegate.ts";
import type { ConnectionStateMachine, StateChange } from "./connection-state.ts";
import { ConnectionHeartbeat, PhaseTimer } from "./connection-timers.ts";
import { type Extensions, NO_EXTENSIONS } from "./extensions.ts";
import {
  asConduitError,
  type CallingConnection,
  mustAnswerCalls,
  type OutgoingCallOptions,
  OutgoingCalls,
} from "./outgoing-calls.ts";
import { READY, RequestScheduler, type SchedulerConnection } from "./receive/request-scheduler.ts";
import { listAsked, payloadRefused, sendError, sendQueueFull } from "./replies.ts";
import type { RuntimeContext } from "./runtime-context.ts";
import { SendQueue, type SendQueueOwner } from "./send/send-queue.ts";

const LOGGED_IN = { message: "Logged in" } as const;

/** Flags of a link. One field for all of them, as there are many links. */
const AUTHENTICATED = 1;
const OVER = 2;
/** A handshake frame is being worked on. */
const LOGGING_IN = 4;
/** Frames are being decoded. */
const PUMPING = 8;
/** The sendQueue is held. */
const HOLDING = 16;
/** The stream ended, in order, while a handshake frame was being worked on. */
const ENDED_EARLY = 32;

/**
 * What every frame needs comes first in the object. Of ten thousand connections none is in the processor's caches when
 * its frame arrives, and each line of memory and each object that is touched costs a tenth of a microsecond. And what is
 * seldom needed is made when it is: an idle connection is this object, its stream, sendQueue and heartbeat, and little more.
 */
export class ProtocolConnection<Peer>
  implements ByteSink, DispatchPeer<Peer>, SchedulerConnection<Peer>, CallingConnection<Peer>, SendQueueOwner
{
  readonly sendQueue: SendQueue;
  #flags = 0;
  #closeReason: CloseReason | null = null;
  hasBacklog = false;
  messagesSent = 0;
  isReading = true;
  canDispatchDirectly = false;
  requestBytes = 0;
  /** Holds what is not decoded yet. Null: nothing is, and the decoder is the runtimeContext's to lend. */
  #decoder: FrameDecoder | null = null;
  /** When bytes last arrived, in whole monotonic milliseconds. */
  receivedAtMs = 0;
  bytesReceived = 0;
  messagesReceived = 0;
  // The owner's, at hand: of ten thousand clients each has an owner of its own, and that is one object more to touch.
  readonly #runtimeContext: RuntimeContext;
  readonly #reader: PayloadReader;
  readonly #dispatcher: Dispatcher<Peer>;
  /** Set by the owner before anything can reach a handler. */
  face!: Peer;
  readonly owner: ConnectionDelegate<Peer>;
  #calls: OutgoingCalls<Peer> | null = null;
  extensions: Extensions = NO_EXTENSIONS;
  #scheduler: RequestScheduler<Peer> | null = null;
  readonly stream: ByteStream;
  readonly machine: ConnectionStateMachine;
  /** Set by `authenticated`. */
  info: PeerInfo | null = null;
  heartbeat: ConnectionHeartbeat<Peer> | null = null;
  /** Of the present phase, if that has an end. While the peer logs in, it also has what the server notes of that. */
  #phaseTimer: PhaseTimer<Peer> | null = null;
  /** What has gone wrong. Null: nothing has. */
  #faults: ConnectionFaults | null = null;
  /** What `close` returns, once it was called. */
  #closed: { readonly promise: Promise<void>; readonly resolve: () => void } | null = null;

  constructor(owner: ConnectionDelegate<Peer>, stream: ByteStream, machine: ConnectionStateMachine) {
    this.#runtimeContext = owner.runtimeContext;
    this.#reader = owner.reader;
    this.#dispatcher = owner.dispatcher;
    this.owner = owner;
    this.stream = stream;
    this.machine = machine;
    this.sendQueue = new SendQueue(owner, stream, this);
  }

  // --- what the owner and the faces use -----------------------------------------------------------------------------

  get state(): ConnectionStateMachine["state"] {
    return this.machine.state;
  }

  get isAuthenticated(): boolean {
    return (this.#flags & AUTHENTICATED) !== 0;
  }

  get isOver(): boolean {
    return (this.#flags & OVER) !== 0;
  }

  get isLoggingIn(): boolean {
    return (this.#flags & LOGGING_IN) !== 0;
  }

  /** Logged in and not ending. */
  get isOpen(): boolean {
    return (this.#flags & (AUTHENTICATED | OVER)) === AUTHENTICATED && this.#closeReason === null;
  }

  get faults(): Readonly<ConnectionFaults> {
    return this.#faults ?? NO_FAULTS;
  }

  countFault(kind: keyof ConnectionFaults): void {
    this.#faults ??= { ...NO_FAULTS };
    this.#faults[kind] += 1;
  }

  /** Calls `listener` on every change of `state`. @returns a function that removes it. */
  onStateChange(listener: (change: StateChange) => void): () => void {
    return this.machine.onChange(listener);
  }

  /** What comes in, as far as it cannot be handled at once. */
  get scheduler(): RequestScheduler<Peer> {
    this.#scheduler ??= new RequestScheduler<Peer>(this);
    return this.#scheduler;
  }

  /** Why the connection is ending or has ended; null while it is not. */
  get closeReason(): CloseReason | null {
    return this.#closeReason;
  }

  get correlatesReplies(): boolean {
    return this.extensions.reply;
  }

  get bufferedBytes(): number {
    return this.sendQueue.bufferedBytes;
  }

  get queuedFrames(): number {
    return this.sendQueue.queuedFrames;
  }

  get bytesSent(): number {
    return this.sendQueue.bytesSent;
  }

  get pendingCalls(): number {
    return this.#calls === null ? 0 : this.#calls.size;
  }

  /** A client's login, while it lasts. The server's own. */
  get login(): Login<Peer> | null {
    return this.#phaseTimer === null ? null : this.#phaseTimer.login;
  }

  set login(login: Login<Peer> | null) {
    if (login === null && this.#phaseTimer === null) return;
    this.#phaseTimer ??= new PhaseTimer(this);
    this.#phaseTimer.login = login;
  }

  /** Starts reading. `phaseTimeoutMs` bounds what comes first, the handshake. `now`: what the runtime says. */
  start(phaseTimeoutMs: number, now?: number): void {
    this.setPhaseTimer(phaseTimeoutMs, now);
    this.stream.open(this);
  }

  /** (Re)starts the timer of the present phase; 0 stops it. */
  setPhaseTimer(delayMs: number, now?: number): void {
    const wheel = this.#runtimeContext.wheel;
    if (delayMs === 0) {
      if (this.#phaseTimer !== null) wheel.cancel(this.#phaseTimer);
      // A login that the connection's end cuts short is still to be taken leave of.
      if (this.login === null) this.#phaseTimer = null;
      return;
    }
    this.#phaseTimer ??= new PhaseTimer(this);
    wheel.schedule(this.#phaseTimer, delayMs, now);
  }

  /** Sends a frame with a generic payload ahead of everything (handshake). */
  sendPayload(type: number, payload: Record<string, unknown>): void {
    this.owner.writer.payload(type, 0, 0, payload);
    this.sendQueue.push(this.owner.writer, "urgent");
  }

  /** As `sendPayload`, of a payload that is encoded already. */
  sendEncoded(type: number, payload: Uint8Array): void {
    this.owner.writer.encoded(type, payload);
    this.sendQueue.push(this.owner.writer, "urgent");
  }

  /** The handshake succeeded: full-sized frames, heartbeats, and from now on sends. */
  authenticated(info: PeerInfo, extensions: Extensions): void {
    const { settings } = this.owner;
    const runtimeContext = this.#runtimeContext;
    this.info = info;
    this.extensions = extensions;
    this.#flags |= AUTHENTICATED;
    if (this.#decoder !== null) this.#decoder.maxPayloadBytes = settings.maxMessageBytes;
    if (settings.rateLimit) this.scheduler.limit(settings.rateLimit);
    this.machine.transition("authenticated", LOGGED_IN);
    // Not when the login came: it may have waited for others.
    const now = runtimeContext.runtime.now();
    this.heartbeat = new ConnectionHeartbeat(this, now);
    runtimeContext.wheel.schedule(this.heartbeat, settings.heartbeatIntervalMs, now);
  }

  /** Keeps everything back until `release`, or until the peer speaks; what was pushed before still leaves. */
  hold(): void {
    this.#flags |= HOLDING;
    this.sendQueue.hold();
  }

  release(): void {
    this.#flags &= ~HOLDING;
    this.sendQueue.release();
  }

  /** The connect hooks are done: handlers may start. */
  activate(): void {
    if (this.#scheduler === null && this.isReading && this.isOpen) {
      // Nothing came meanwhile, so there is nothing to take in hand.
      this.canDispatchDirectly = true;
      this.machine.transition("ready", READY);
      this.pump();
      return;
    }
    this.scheduler.activate();
    this.rest();
  }

  /** Gives up what a connection that nothing happens on has no need of. */
  rest(): void {
    if (this.#scheduler?.isIdle === true) this.#scheduler = null;
  }

  /**
   * Sends a message.
   * @returns whether there is room for more.
   * @throws ConduitError CONNECTION_CLOSED, SEND_QUEUE_FULL, UNSERIALIZABLE, MESSAGE_TOO_LARGE.
   */
  sendMessage(type: string, data: unknown): boolean {
    this.#mustBeOpen();
    const writer = this.owner.writer;
    writer.message(0, 0, type, data);
    this.pushBounded(writer, type);
    return !this.sendQueue.isCongested;
  }

  /** A frame encoded once for many connections. @returns false if it does not fit. */
  sendShared(frame: FrameBytes): boolean {
    if (this.hasBacklog && !this.sendQueue.accepts) return false;
    this.messagesSent += 1;
    this.sendQueue.push(frame, "message");
    return true;
  }

  /** Resolves when there is room; rejects with CONNECTION_CLOSED when the connection ends first. */
  room(): Promise<void> {
    return this.sendQueue.room();
  }

  /**
   * Calls a method of the peer. `validator` is the caller's own. Rejects with RpcError, TIMEOUT, CANCELLED,
   * CONNECTION_CLOSED, SEND_QUEUE_FULL, …
   */
  call(
    method: string,
    params: unknown,
    options: OutgoingCallOptions | undefined,
    validator: Validator<unknown> | null,
  ): Promise<unknown> {
    return new Promise((resolve, reject) => {
      this.#mustBeOpen();
      this.#calls ??= new OutgoingCalls(this);
      const { results } = this.owner;
      const check = validator !== null || results === null ? validator : (results.get(method) ?? null);
      this.#calls.call(method, params, options, check, resolve, reject);
    });
  }

  /** Sends a request that wants no answer. @returns whether there is room for more. */
  callNoWait(method: string, params: unknown): boolean {
    this.#mustBeOpen();
    mustAnswerCalls(this, method);
    const writer = this.owner.writer;
    writer.rpcRequest(0, 0, method, params, 0);
    this.pushBounded(writer, method);
    return !this.sendQueue.isCongested;
  }

  /** Sends a message and resolves with the handler's reply. Rejects as `call`. */
  request(
    type: string,
    data: unknown,
    options: OutgoingCallOptions | undefined,
    validator: Validator<unknown> | null,
  ): Promise<unknown> {
    return new Promise((resolve, reject) => {
      this.#mustBeOpen();
      this.#calls ??= new OutgoingCalls(this);
      this.#calls.request(type, data, options, validator, resolve, reject);
    });
  }

  /**
   * Ends the connection in order: what was sent is flushed, the peer is told why, then FIN. Forced after
   * `closeTimeoutMs`. Resolves when it is over; repeated calls return the same promise.
   */
  close(request: CloseRequest): Promise<void> {
    if (this.isOver) return this.#closed?.promise ?? Promise.resolve();
    this.#closed ??= promiseAndResolve();
    const closed = this.#closed;
    if (this.#closeReason !== null) return closed.promise;
    const reason = closeReason(request);
    this.#closeReason = reason;
    this.machine.transition("close", { code: reason.code, message: reason.message });
    this.owner.connectionClosing(this);
    this.#giveUpCalls(reason);
    if (this.heartbeat !== null) this.#runtimeContext.wheel.cancel(this.heartbeat);
    if (!reason.byPeer) this.#scheduler?.clear();
    // What PAUSE stopped goes first: behind CLOSE nothing is read.
    this.sendQueue.setPeerPaused(false);
    if (!reason.byPeer) sendClose(this, reason);
    this.#phaseTimer ??= new PhaseTimer(this);
    this.#phaseTimer.startClosing();
    if (!this.isReading) this.scheduler.startReading();
    this.sendQueue.end();
    return closed.promise;
  }

  /** Ends the connection now: both directions are discarded. */
  destroy(error: ConduitError, reconnect = true): void {
    if (this.isOver) return;
    this.#closeReason ??= closeReason({ code: error.code, message: error.message, reconnect });
    this.stream.destroy(error);
    // The slot is free and the calls are rejected now, whenever the stream gets round to saying so.
    this.closed(error);
  }

  // --- ByteSink -----------------------------------------------------------------------------------------------------

  readTarget(): Uint8Array | null {
    // While closing, nothing is decoded any more.
    return this.#decoder === null || this.#closeReason !== null ? null : this.#decoder.readTarget();
  }

  bytesRead(count: number): void {
    const runtimeContext = this.#runtimeContext;
    runtimeContext.receiving();
    try {
      if (!this.#recordReceive(count) || this.#decoder === null) return;
      this.#decoder.bytesRead(count);
      this.pump();
    } finally {
      runtimeContext.received();
    }
  }

  data(chunk: Uint8Array): void {
    const runtimeContext = this.#runtimeContext;
    runtimeContext.receiving();
    try {
      if (this.#recordReceive(chunk.length)) this.#decode(chunk);
    } finally {
      runtimeContext.received();
    }
  }

  #decode(chunk: Uint8Array): void {
    this.#decoder ??= this.#runtimeContext.lendDecoder(
      this.isAuthenticated ? this.#reader.maxBytes : MAX_HANDSHAKE_BYTES,
    );
    const decoder = this.#decoder;
    decoder.push(chunk);
    this.pump();
    // The chunk goes back to the stream. That something is left is rare: reading has just stopped.
    decoder.keepRest();
    if (this.isAuthenticated || this.#decoder === null) return;
    if (this.#decoder.bufferedBytes > 2 * MAX_HANDSHAKE_BYTES) this.#rejectPreLoginOverflow();
  }

  /** Notes that bytes came. @returns whether they matter. */
  #recordReceive(count: number): boolean {
    if (this.isOver) return false;
    this.bytesReceived += count;
    this.receivedAtMs = this.#runtimeContext.recordReceive();
    // Whoever speaks after the login has read its answer, and reads on.
    if ((this.#flags & HOLDING) !== 0) this.release();
    // While closing, incoming replies no longer matter; the data is read only so that FIN can be seen.
    return this.#closeReason === null;
  }

  #rejectPreLoginOverflow(): void {
    if (this.owner.role === "client" && this.isLoggingIn) {
      // A server may send right behind its AUTH_SUCCESS; that waits until the login has been checked.
      this.scheduler.stopReading();
      return;
    }
    const message = `More than ${2 * MAX_HANDSHAKE_BYTES} bytes before login`;
    failConnection(this, new ConduitError(ErrorCode.MESSAGE_TOO_LARGE, message));
  }

  drained(): void {
    this.sendQueue.streamDrained();
  }

  sendQueueDrained(): void {
    this.#scheduler?.startWaiting();
  }

  closed(error: Error | null): void {
    if (this.isOver) return;
    if (error === null && this.isLoggingIn && this.#closeReason === null) {
      // What the peer said last, a refusal perhaps, is still to be read: it says more than that the peer is gone.
      this.#flags |= ENDED_EARLY;
      return;
    }
    this.#flags |= OVER;
    this.sendQueue.over();
    this.setPhaseTimer(0);
    if (this.heartbeat !== null) this.#runtimeContext.wheel.cancel(this.heartbeat);
    const reason = this.#closeReason ?? reasonOf(error);
    this.#closeReason = reason;
    const event = reason.code === ErrorCode.CONNECTION_CLOSED || this.state === "closing" ? "closed" : "fail";
    this.machine.transition(event, { code: reason.code, message: reason.message });
    this.#giveUpCalls(reason);
    // A peer that sent and left is served in full; one that was thrown out is not.
    if (error !== null || !reason.byPeer) this.#scheduler?.clear();
    else this.#scheduler?.startWaiting();
    this.#scheduler?.over();
    this.#closed?.resolve();
    this.owner.connectionClosed(this, reason);
  }

  // --- DispatchPeer -------------------------------------------------------------------------------------------------

  sendResult(hi: number, lo: number, result: unknown): void {
    if (this.isOver) return;
    this.owner.writer.rpcResponse(hi, lo, result);
    this.sendQueue.push(this.owner.writer, "reply");
  }

  sendError(
    hi: number,
    lo: number,
    message: string,
    code: number,
    details: Readonly<Record<string, unknown>> | undefined,
  ): void {
    if (this.isOver) return;
    sendError(this, hi, lo, message, code, details);
  }

  sendUncorrelatedReply(type: string, data: unknown): void {
    if (this.isOver) return;
    this.owner.writer.message(0, 0, type, data);
    this.messagesSent += 1;
    this.sendQueue.push(this.owner.writer, "reply");
  }

  handlerStarted(context: CallContext<Peer>): void {
    this.scheduler.handlerStarted(context);
    if (this.#closeReason !== null) context.abort(errorOf(this.#closeReason));
  }

  handlerSettled(context: CallContext<Peer>): void {
    this.scheduler.handlerSettled(context);
  }

  // --- reading ------------------------------------------------------------------------------------------------------

  pump(): void {
    const decoder = this.#decoder;
    if ((this.#flags & PUMPING) !== 0 || decoder === null) return;
    this.#flags |= PUMPING;
    try {
      while (this.isReading && !this.isLoggingIn && this.#closeReason === null && decoder.next()) {
        this.#frame(decoder);
        if (this.hasBacklog && this.sendQueue.isOverwhelmed) this.scheduler.stopReadingUnlessOwed();
      }
    } catch (error) {
      failConnection(this, asConduitError(error));
    } finally {
      this.#flags &= ~PUMPING;
      decoder.leaveFrame();
      if (decoder.isIdle) {
        this.#decoder = null;
        this.#runtimeContext.returnDecoder(decoder);
      }
    }
  }

  #frame(frame: FrameDecoder): void {
    if (!this.isAuthenticated) {
      this.#handshake(frame);
      return;
    }
    try {
      switch (frame.type) {
        case FrameType.RPC_REQUEST:
          this.#request(frame, true);
          return;
        case FrameType.MESSAGE:
          this.#request(frame, false);
          return;
        case FrameType.RPC_RESPONSE:
          this.#calls?.response(frame);
          return;
        case FrameType.RPC_ERROR:
          this.#calls?.errorResponse(frame);
          return;
        case FrameType.HEARTBEAT_PING:
          this.owner.writer.control(FrameType.HEARTBEAT_PONG, frame.correlationHi, frame.correlationLo);
          this.sendQueue.push(this.owner.writer, "urgent");
          return;
        case FrameType.HEARTBEAT_PONG:
          this.heartbeat?.pongReceived(this.#runtimeContext.runtime.now());
          return;
        case FrameType.PAUSE:
          this.scheduler.setPausedByPeer(true);
          return;
        case FrameType.RESUME:
          this.scheduler.setPausedByPeer(false);
          return;
        case FrameType.CLOSE:
          closeReceived(this, frame);
          return;
        case FrameType.CANCEL:
          this.scheduler.cancel(frame.correlationHi, frame.correlationLo);
          return;
        case FrameType.RPC_LIST:
          listAsked(this, frame);
          return;
        case FrameType.ACK:
        case FrameType.NACK:
        case FrameType.CLOSE_ACK:
          return;
        default:
      }
    } catch (error) {
      // The frame was whole, its payload was not what it should be: that costs this frame, not the connection.
      payloadRefused(this, frame.type, frame.correlationHi, frame.correlationLo, asConduitError(error));
      return;
    }
    const message = `Frame type 0x${frame.type.toString(16).padStart(4, "0")} is not allowed after login`;
    throw new ConduitError(ErrorCode.UNEXPECTED_FRAME, message);
  }

  #handshake(frame: FrameDecoder): void {
    const payload = this.#reader.readLogin(frame, MAX_HANDSHAKE_BYTES);
    this.#flags |= LOGGING_IN;
    const working = this.owner.handshakeFrame(this, frame.type, payload);
    if (working === null) {
      this.#flags &= ~LOGGING_IN;
      return;
    }
    this.#handshakeGoesOn(working);
  }

  #handshakeGoesOn(working: Promise<void>): void {
    working.then(
      () => {
        this.#flags &= ~LOGGING_IN;
        if (!this.isReading && !this.isOver) this.scheduler.startReading();
        this.pump();
        if ((this.#flags & (ENDED_EARLY | LOGGING_IN)) === ENDED_EARLY) this.closed(null);
      },
      (error: unknown) => failConnection(this, asConduitError(error)),
    );
  }

  #request(frame: FrameDecoder, isCall: boolean): void {
    const reader = this.#reader;
    this.messagesReceived += 1;
    // Nothing is in the way of most requests, and then nothing need be asked about that.
    const mayStart = this.canDispatchDirectly && !this.hasBacklog;
    if (!mayStart && !this.scheduler.isWithinRate(frame, isCall)) return;
    if (isCall) {
      reader.readRpcRequest(frame);
    } else {
      reader.readMessage(frame);
      if (this.#calls?.legacyReply(reader.name, reader.value) === true) return;
    }
    const { name, value } = reader;
    const { correlationHi: hi, correlationLo: lo } = frame;
    const timeoutMs = isCall ? reader.timeoutMs : 0;
    if (!mayStart) this.scheduler.take(isCall, name, value, hi, lo, timeoutMs, reader.size);
    else this.startHandler(isCall, name, value, hi, lo, timeoutMs, reader.size);
  }

  /** Starts the handler of a request or message that takes `bytes`. */
  startHandler(
    isCall: boolean,
    name: string,
    value: unknown,
    hi: number,
    lo: number,
    timeoutMs: number,
    bytes: number,
  ): void {
    this.requestBytes = bytes;
    if (isCall) this.#dispatcher.call(this, name, value, hi, lo, timeoutMs);
    else this.#dispatcher.message(this, name, value, hi, lo);
  }

  // --- helpers ------------------------------------------------------------------------------------------------------

  #mustBeOpen(): void {
    if (this.isOpen) return;
    const why = this.#closeReason === null ? "the connection is not logged in" : this.#closeReason.message;
    throw new ConduitError(ErrorCode.CONNECTION_CLOSED, `Cannot send: ${why}`);
  }

  /** @throws ConduitError SEND_QUEUE_FULL. */
  pushBounded(frame: FrameBytes, name: string): void {
    if (this.hasBacklog && !this.sendQueue.accepts) throw sendQueueFull(this, name);
    this.messagesSent += 1;
    this.sendQueue.push(frame, "message");
  }

  /** Reports a frame that was not used. */
  refused(error: ConduitError): void {
    this.owner.frameRefused(this, error);
  }

  /** Calls of both sides: those that wait here are rejected, those that run for the peer are told. */
  #giveUpCalls(reason: CloseReason): void {
    if (this.pendingCalls > 0) this.#calls?.rejectAll(reason.message, errorOf(reason));
    if (this.#scheduler !== null && this.#scheduler.runningHandlers > 0) {
      this.#scheduler.abortRunning(new ConduitError(ErrorCode.CONNECTION_CLOSED, reason.message));
    }
  }
}

function promiseAndResolve(): { readonly promise: Promise<void>; readonly resolve: () => void } {
  let resolve: () => void = () => undefined;
  const promise = new Promise<void>((settle) => {
    resolve = settle;
  });
  return { promise, resolve };
}
