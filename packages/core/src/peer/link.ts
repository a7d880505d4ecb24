/**
 * One connection, either end: where stream, session and RPC meet.
 *
 * Theory of operation. The stream pushes chunks into `data`; the frame decoder cuts them; each frame is acted on at
 * once: replies settle their call, heartbeats are answered, messages and requests start their handler. When the bound
 * on running handlers is reached (or the peer doesn't read our replies) requests wait in the inbox; when the inbox
 * fills, the peer is told PAUSE if it understands that, and past the bound the stream is not read any more. What
 * leaves goes through the outbox. Nothing a peer sends throws out of `data`: what breaks the framing ends the
 * connection with a code, what is malformed inside a whole frame is answered or reported and the connection lives.
 *
 * The owner (server or client) supplies the handshake, the dispatcher and the hooks through `LinkOwner`.
 */

import type { ByteSink, ByteStream } from "../bytes/byte-stream.ts";
import { asError, ConduitError, ErrorCode, RpcError } from "../errors.ts";
import {
  HEADER_BYTES,
  HIGH_WATER_RATIO,
  LOW_WATER_RATIO,
  MAX_HANDSHAKE_BYTES,
  NETCONDUIT_LINGER_MS,
  OVERRUN_BYTES,
  QUEUED_REQUEST_BYTES,
} from "../limits.ts";
import type { CallContext } from "../rpc/call-context.ts";
import type { Dispatcher, DispatchPeer } from "../rpc/dispatcher.ts";
import { PendingCall, PendingCalls, type PendingCallsOwner } from "../rpc/pending-calls.ts";
import { unwrapNetconduitResult } from "../rpc/response.ts";
import type { Validator } from "../rpc/validation.ts";
import type { ConnectionStateMachine, StateChange } from "../session/connection-state.ts";
import { type Extensions, NO_EXTENSIONS } from "../session/extensions.ts";
import { Heartbeat } from "../session/heartbeat.ts";
import type { PeerInfo } from "../session/peer-info.ts";
import { TimerEntry } from "../session/timer-wheel.ts";
import { RateLimiter, type RateLimits } from "../session/token-bucket.ts";
import { FrameType } from "../wire/constants.ts";
import { FrameDecoder } from "../wire/frame-decoder.ts";
import type { FrameWriter } from "../wire/frame-writer.ts";
import type { PayloadReader } from "../wire/payload-reader.ts";
import type { Engine } from "./engine.ts";
import { Inbox, type InboxItem } from "./inbox.ts";
import { type FrameBytes, Outbox } from "./outbox.ts";

/** Why a connection ended. */
export interface CloseReason {
  /** An `ErrorCode`; CONNECTION_CLOSED when nothing went wrong. */
  readonly code: number;
  readonly message: string;
  /** True if the peer's CLOSE said so, false if this side ended it or the stream broke. */
  readonly byPeer: boolean;
  /** False: the peer asks not to be dialled again. */
  readonly reconnect: boolean;
}

/** The options of a link; a server's and a client's configuration both fit. */
export interface LinkSettings {
  readonly maxMessageBytes: number;
  readonly sendQueueSize: number;
  readonly sendQueueBytes: number;
  readonly receiveQueueSize: number;
  readonly receiveQueueBytes: number;
  readonly handlerConcurrency: number;
  readonly heartbeatIntervalMs: number;
  readonly heartbeatTimeoutMs: number;
  readonly closeTimeoutMs: number;
  readonly rpcTimeoutMs: number;
  readonly enableBackpressure: boolean;
  readonly rateLimit?:
    | { readonly messagesPerSecond?: number | undefined; readonly bytesPerSecond?: number | undefined }
    | null
    | undefined;
}

/** What a link asks of its server or client. */
export interface LinkOwner<Face> {
  /** Which end this is. */
  readonly role: "server" | "client";
  readonly engine: Engine;
  readonly writer: FrameWriter;
  readonly reader: PayloadReader;
  readonly dispatcher: Dispatcher<Face>;
  readonly settings: LinkSettings;
  /** A handshake frame. The link decodes no further until the promise settles. */
  handshakeFrame(link: Link<Face>, type: number, payload: Record<string, unknown> | null): Promise<void>;
  /** The phase timer passed: login, or becoming usable, took too long. */
  phaseTimedOut(link: Link<Face>): void;
  /** Discovery asked by an RPC_LIST frame. */
  discovery(): Record<string, unknown>;
  /** A peer's frame could not be used, or went over the rate limit; the connection lives. */
  frameRefused(link: Link<Face>, error: ConduitError): void;
  /** The link is over. Called exactly once. */
  linkClosed(link: Link<Face>, reason: CloseReason): void;
}

/** Counters of one connection. */
export interface LinkStats {
  messagesSent: number;
  messagesReceived: number;
  bytesReceived: number;
  errors: number;
  /** Broadcasts not delivered because the peer read too slowly. */
  dropped: number;
  /** Messages and requests refused by the rate limit. */
  rateLimited: number;
}

type Timer = "phase" | "heartbeat";

class LinkTimer extends TimerEntry {
  readonly #link: { timerFired(timer: Timer): void };
  readonly #timer: Timer;

  constructor(link: { timerFired(timer: Timer): void }, timer: Timer) {
    super();
    this.#link = link;
    this.#timer = timer;
  }

  override onTimer(): void {
    this.#link.timerFired(this.#timer);
  }
}

/** Options of one call or request. */
export interface LinkCallOptions {
  readonly timeoutMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

export class Link<Face> implements ByteSink, DispatchPeer<Face>, PendingCallsOwner {
  readonly stream: ByteStream;
  readonly stats: LinkStats = {
    messagesSent: 0,
    messagesReceived: 0,
    bytesReceived: 0,
    errors: 0,
    dropped: 0,
    rateLimited: 0,
  };
  /** Set by the owner before anything can reach a handler. */
  face!: Face;
  /** Set by `authenticated`. */
  info: PeerInfo | null = null;
  extensions: Extensions = NO_EXTENSIONS;
  heartbeat: Heartbeat | null = null;
  isAuthenticated = false;
  readonly #owner: LinkOwner<Face>;
  readonly #machine: ConnectionStateMachine;
  readonly #decoder: FrameDecoder = new FrameDecoder(MAX_HANDSHAKE_BYTES);
  readonly #outbox: Outbox;
  #pending: PendingCalls | null = null;
  #inbox: Inbox | null = null;
  #running: Set<CallContext<Face>> | null = null;
  /** Requests to a netconduit server wait here, by reply type, oldest first. */
  #legacyReplies: Map<string, PendingCall[]> | null = null;
  #limiter: RateLimiter | null = null;
  #phaseTimer: LinkTimer | null = null;
  #heartbeatTimer: LinkTimer | null = null;
  #heard = false;
  /** Bytes the operating system had taken when that was last looked at. */
  #takenBytes = 0;
  #handshakeBusy = false;
  #ready = false;
  #pumping = false;
  #reading = true;
  #pausedPeer = false;
  #pausedByPeer = false;
  /** No new handlers start; requests are refused with SERVER_STOPPING. */
  #draining = false;
  /** The outbox is held. */
  #holding = false;
  #over = false;
  #closeReason: CloseReason | null = null;
  /** When the end is forced, once `close` was called. */
  #closeDeadlineMs = 0;
  #closed: Promise<void> | null = null;
  #resolveClosed: (() => void) | null = null;
  #idle: (() => void)[] | null = null;

  constructor(owner: LinkOwner<Face>, stream: ByteStream, machine: ConnectionStateMachine) {
    this.#owner = owner;
    this.stream = stream;
    this.#machine = machine;
    const { sendQueueSize, sendQueueBytes } = owner.settings;
    this.#outbox = new Outbox(owner.engine, stream, sendQueueSize, sendQueueBytes, () => this.#drainInbox());
  }

  // --- what the owner and the faces use -----------------------------------------------------------------------------

  get state(): ConnectionStateMachine["state"] {
    return this.#machine.state;
  }

  /** Logged in and not ending. */
  get isOpen(): boolean {
    return this.isAuthenticated && this.#closeReason === null && !this.#over;
  }

  /** Calls `listener` on every change of `state`. @returns a function that removes it. */
  onStateChange(listener: (change: StateChange) => void): () => void {
    return this.#machine.onChange(listener);
  }

  get isOver(): boolean {
    return this.#over;
  }

  get correlatesReplies(): boolean {
    return this.extensions.reply;
  }

  get bufferedBytes(): number {
    return this.#outbox.bufferedBytes;
  }

  get queuedFrames(): number {
    return this.#outbox.queuedFrames;
  }

  get bytesSent(): number {
    return this.#outbox.bytesSent;
  }

  get pendingCalls(): number {
    return this.#pending?.size ?? 0;
  }

  /** Asynchronous handlers running now. */
  get runningHandlers(): number {
    return this.#running?.size ?? 0;
  }

  /** Requests and messages that wait for their handler. */
  get queuedHandlers(): number {
    return this.#inbox?.length ?? 0;
  }

  /** Starts reading. `phaseTimeoutMs` bounds what comes first, the handshake. */
  start(phaseTimeoutMs: number): void {
    this.setPhaseTimer(phaseTimeoutMs);
    this.stream.open(this);
  }

  /** (Re)starts the timer of the present phase; 0 stops it. */
  setPhaseTimer(delayMs: number): void {
    const wheel = this.#owner.engine.wheel;
    if (delayMs === 0) {
      if (this.#phaseTimer !== null) wheel.cancel(this.#phaseTimer);
      this.#phaseTimer = null;
      return;
    }
    this.#phaseTimer ??= new LinkTimer(this, "phase");
    wheel.schedule(this.#phaseTimer, delayMs);
  }

  /** Sends a frame with a generic payload ahead of everything (handshake). */
  sendPayload(type: number, payload: Record<string, unknown>): void {
    this.#owner.writer.payload(type, 0, 0, payload);
    this.#outbox.push(this.#owner.writer, "urgent");
  }

  /** The handshake succeeded: full-sized frames, heartbeats, and from now on sends. */
  authenticated(info: PeerInfo, extensions: Extensions): void {
    const { settings, engine } = this.#owner;
    this.info = info;
    this.extensions = extensions;
    this.isAuthenticated = true;
    this.#decoder.maxPayloadBytes = settings.maxMessageBytes;
    if (settings.rateLimit) this.#limiter = new RateLimiter(limitsOf(settings.rateLimit));
    this.#machine.transition("authenticated", { message: "Logged in" });
    const now = engine.runtime.now();
    this.heartbeat = new Heartbeat(settings.heartbeatIntervalMs, settings.heartbeatTimeoutMs, now);
    this.#heartbeatTimer = new LinkTimer(this, "heartbeat");
    engine.wheel.schedule(this.#heartbeatTimer, settings.heartbeatIntervalMs);
  }

  /** Keeps everything back until `release`, or until the peer speaks; what was pushed before still leaves. */
  hold(): void {
    this.#holding = true;
    this.#outbox.hold();
  }

  release(): void {
    this.#holding = false;
    this.#outbox.release();
  }

  /** The connect hooks are done: handlers may start. */
  activate(): void {
    this.#ready = true;
    if (this.isOpen) {
      this.#machine.transition("ready", { message: "Ready" });
      if (this.#pausedByPeer || !this.#reading) this.#notePaused(true);
    }
    // A peer that sent and left while the hooks ran is served all the same.
    this.#drainInbox();
    this.#pump();
  }

  /**
   * Sends a message.
   * @returns whether there is room for more.
   * @throws ConduitError CONNECTION_CLOSED, SEND_QUEUE_FULL, UNSERIALIZABLE, MESSAGE_TOO_LARGE.
   */
  sendMessage(type: string, data: unknown): boolean {
    this.#mustBeOpen();
    const writer = this.#owner.writer;
    writer.message(0, 0, type, data);
    this.#pushBounded(writer, type);
    return !this.#outbox.isCongested;
  }

  /** A frame encoded once for many connections. @returns false if it does not fit. */
  sendShared(frame: FrameBytes): boolean {
    if (!this.#outbox.accepts) return false;
    this.stats.messagesSent += 1;
    this.#outbox.push(frame, "message");
    return true;
  }

  /** Resolves when there is room; rejects with CONNECTION_CLOSED when the connection ends first. */
  room(): Promise<void> {
    return this.#outbox.room();
  }

  /** Calls a method of the peer. Rejects with RpcError, TIMEOUT, CANCELLED, CONNECTION_CLOSED, SEND_QUEUE_FULL, … */
  call(
    method: string,
    params: unknown,
    options: LinkCallOptions | undefined,
    validator: Validator<unknown> | null,
  ): Promise<unknown> {
    return new Promise((resolve, reject) => {
      this.#mustBeOpen();
      this.#mustAnswerCalls(method);
      const pending = this.#begin(method, options, validator, resolve, reject);
      if (pending === null) return;
      const { writer } = this.#owner;
      try {
        const timeoutMs = this.extensions.deadline ? pending.timeoutMs : 0;
        writer.rpcRequest(pending.generation, pending.slot, method, params, timeoutMs);
        this.#pushBounded(writer, method);
      } catch (error) {
        this.#pending?.withdraw(pending);
        throw error;
      }
    });
  }

  /** Sends a request that wants no answer. @returns whether there is room for more. */
  callNoWait(method: string, params: unknown): boolean {
    this.#mustBeOpen();
    this.#mustAnswerCalls(method);
    const writer = this.#owner.writer;
    writer.rpcRequest(0, 0, method, params, 0);
    this.#pushBounded(writer, method);
    return !this.#outbox.isCongested;
  }

  /** Sends a message and resolves with the handler's reply. Rejects as `call`. */
  request(
    type: string,
    data: unknown,
    options: LinkCallOptions | undefined,
    validator: Validator<unknown> | null,
  ): Promise<unknown> {
    return new Promise((resolve, reject) => {
      this.#mustBeOpen();
      if (this.#owner.role === "server" && !this.extensions.reply) {
        const message = `Cannot request '${type}': a netconduit client does not answer messages`;
        throw new ConduitError(ErrorCode.PEER_UNSUPPORTED, message);
      }
      const pending = this.#begin(type, options, validator, resolve, reject);
      if (pending === null) return;
      const { writer } = this.#owner;
      const correlated = this.extensions.reply;
      try {
        writer.message(correlated ? pending.generation : 0, correlated ? pending.slot : 0, type, data);
        this.#pushBounded(writer, type);
      } catch (error) {
        this.#pending?.withdraw(pending);
        throw error;
      }
      if (correlated) return;
      const replyType = `${type}_response`;
      this.#legacyReplies ??= new Map();
      const waiting = this.#legacyReplies.get(replyType);
      if (waiting === undefined) {
        this.#legacyReplies.set(replyType, [pending]);
        return;
      }
      // Those that were given up must not pile up where no reply ever comes.
      while (waiting.length > 0 && !(waiting[0] as PendingCall).isPending) waiting.shift();
      waiting.push(pending);
    });
  }

  /** From now on requests are refused with SERVER_STOPPING; what runs goes on. */
  drain(): void {
    this.#draining = true;
  }

  /** Resolves once no handler runs or waits. */
  idle(): Promise<void> {
    if (this.#over || (this.runningHandlers === 0 && this.queuedHandlers === 0)) return Promise.resolve();
    return new Promise((resolve) => {
      this.#idle ??= [];
      this.#idle.push(resolve);
    });
  }

  /**
   * Ends the connection in order: what was sent is flushed, the peer is told why, then FIN. Forced after
   * `closeTimeoutMs`. Resolves when it is over; repeated calls return the same promise.
   */
  close(reason: { code: number; message: string; reconnect: boolean; byPeer?: boolean }): Promise<void> {
    this.#closed ??= this.#over
      ? Promise.resolve()
      : new Promise((resolve) => {
          this.#resolveClosed = resolve;
        });
    if (this.#over || this.#closeReason !== null) return this.#closed;
    this.#closeReason = { byPeer: false, ...reason };
    this.#machine.transition("close", { code: reason.code, message: reason.message });
    this.#rejectPending(this.#closeReason);
    this.#abortRunning(this.#closeReason);
    if (this.#heartbeatTimer !== null) this.#owner.engine.wheel.cancel(this.#heartbeatTimer);
    if (reason.byPeer !== true) {
      // Nobody would get the answers.
      this.#inbox?.clear();
      this.#wakeIdle();
    }
    // What PAUSE stopped goes first: behind CLOSE nothing is read.
    this.#outbox.setPeerPaused(false);
    if (this.extensions.close && reason.byPeer !== true) {
      const { code, message, reconnect } = reason;
      this.#owner.writer.payload(FrameType.CLOSE, 0, 0, { reason: message, code, reconnect });
      this.#outbox.push(this.#owner.writer, "reply");
    }
    const { closeTimeoutMs } = this.#owner.settings;
    this.#closeDeadlineMs = this.#owner.engine.runtime.now() + closeTimeoutMs;
    // A netconduit peer leaves its end of the connection open, so nobody waits for its FIN.
    const netconduit = this.info?.netconduit === true;
    this.setPhaseTimer(netconduit ? Math.min(closeTimeoutMs, NETCONDUIT_LINGER_MS) : closeTimeoutMs);
    if (!this.#reading) this.#startReading();
    this.#outbox.end();
    return this.#closed;
  }

  /** Ends the connection now: both directions are discarded. */
  destroy(error: ConduitError, reconnect = true): void {
    if (this.#over) return;
    this.#closeReason ??= { code: error.code, message: error.message, byPeer: false, reconnect };
    this.stream.destroy(error);
    // The slot is free and the calls are rejected now, whenever the stream gets round to saying so.
    this.closed(error);
  }

  // --- ByteSink -----------------------------------------------------------------------------------------------------

  data(chunk: Uint8Array): void {
    if (this.#over) return;
    this.stats.bytesReceived += chunk.length;
    this.#heard = true;
    // Whoever speaks after the login has read its answer, and reads on.
    if (this.#holding) this.release();
    // While closing, incoming replies no longer matter; the data is read only so that FIN can be seen.
    if (this.#closeReason !== null) return;
    this.#decoder.push(chunk);
    this.#pump();
    if (!this.isAuthenticated && this.#decoder.bufferedBytes > 2 * MAX_HANDSHAKE_BYTES) this.#tooMuchTooEarly();
  }

  #tooMuchTooEarly(): void {
    if (this.#owner.role === "client" && this.#handshakeBusy) {
      // A server may send right behind its AUTH_SUCCESS; that waits until the login has been checked.
      this.#stopReading();
      return;
    }
    const message = `More than ${2 * MAX_HANDSHAKE_BYTES} bytes before login`;
    this.#breakOff(new ConduitError(ErrorCode.MESSAGE_TOO_LARGE, message));
  }

  drained(): void {
    this.#outbox.streamDrained();
  }

  closed(error: Error | null): void {
    if (this.#over) return;
    this.#over = true;
    this.#outbox.over();
    this.setPhaseTimer(0);
    if (this.#heartbeatTimer !== null) this.#owner.engine.wheel.cancel(this.#heartbeatTimer);
    const reason = this.#closeReason ?? reasonOf(error);
    this.#closeReason = reason;
    const event = reason.code === ErrorCode.CONNECTION_CLOSED || this.state === "closing" ? "closed" : "fail";
    this.#machine.transition(event, { code: reason.code, message: reason.message });
    this.#rejectPending(reason);
    this.#abortRunning(reason);
    // A peer that sent and left is served in full; one that was thrown out is not.
    if (error !== null || !reason.byPeer) this.#inbox?.clear();
    else this.#drainInbox();
    this.#wakeIdle();
    this.#resolveClosed?.();
    this.#owner.linkClosed(this, reason);
  }

  // --- DispatchPeer -------------------------------------------------------------------------------------------------

  sendResult(hi: number, lo: number, result: unknown): void {
    if (this.#over) return;
    this.#owner.writer.rpcResponse(hi, lo, result);
    this.#outbox.push(this.#owner.writer, "reply");
  }

  sendError(
    hi: number,
    lo: number,
    message: string,
    code: number,
    details: Readonly<Record<string, unknown>> | undefined,
  ): void {
    if (this.#over) return;
    const writer = this.#owner.writer;
    try {
      writer.rpcError(hi, lo, message, code, details);
      this.#outbox.push(writer, "reply");
    } catch (error) {
      this.#sendBareError(hi, lo, message, code);
      this.#owner.frameRefused(this, asConduitError(error));
    }
  }

  /** Details or a text that cannot be sent must not cost the caller its answer. */
  #sendBareError(hi: number, lo: number, message: string, code: number): void {
    const writer = this.#owner.writer;
    try {
      writer.rpcError(hi, lo, message, code, undefined);
    } catch {
      writer.rpcError(
        hi,
        lo,
        "The error cannot be sent",
        typeof code === "number" ? code : ErrorCode.INTERNAL,
        undefined,
      );
    }
    this.#outbox.push(writer, "reply");
  }

  sendUncorrelatedReply(type: string, data: unknown): void {
    if (this.#over) return;
    this.#owner.writer.message(0, 0, type, data);
    this.stats.messagesSent += 1;
    this.#outbox.push(this.#owner.writer, "reply");
  }

  handlerStarted(context: CallContext<Face>): void {
    this.#running ??= new Set();
    this.#running.add(context);
    if (this.#over || this.#closeReason !== null) context.abort(errorOf(this.#closeReason ?? reasonOf(null)));
  }

  handlerSettled(context: CallContext<Face>): void {
    this.#running?.delete(context);
    this.#drainInbox();
    this.#wakeIdle();
  }

  // --- PendingCallsOwner --------------------------------------------------------------------------------------------

  scheduleCall(call: PendingCall): void {
    this.#owner.engine.wheel.schedule(call, call.timeoutMs);
  }

  unscheduleCall(call: PendingCall): void {
    this.#owner.engine.wheel.cancel(call);
  }

  callAbandoned(generation: number, slot: number): void {
    if (!this.extensions.cancel || !this.isOpen) return;
    this.#owner.writer.control(FrameType.CANCEL, generation, slot);
    // The request may still wait for RESUME, and must not be carried out then; or run already, and be the very one
    // that the peer waits for.
    if (this.#pausedByPeer) this.#outbox.push(this.#owner.writer, "reply");
    this.#outbox.push(this.#owner.writer, "message");
  }

  // --- timers -------------------------------------------------------------------------------------------------------

  /** @internal */
  timerFired(timer: Timer): void {
    if (this.#over) return;
    if (timer === "heartbeat") {
      this.#heartbeatDue();
    } else if (this.#closeReason !== null) {
      const leftMs = this.#closeDeadlineMs - this.#owner.engine.runtime.now();
      if (this.bufferedBytes > 0 && leftMs > 0) {
        this.setPhaseTimer(Math.min(leftMs, NETCONDUIT_LINGER_MS));
        return;
      }
      this.stream.destroy(null);
      this.closed(null);
    } else {
      this.#owner.phaseTimedOut(this);
    }
  }

  #heartbeatDue(): void {
    // A connection that is being closed has its own deadline.
    if (this.#closeReason !== null) return;
    const { engine, settings } = this.#owner;
    const heartbeat = this.heartbeat as Heartbeat;
    const now = engine.runtime.now();
    if (this.#heard) {
      this.#heard = false;
      heartbeat.activity(now);
    }
    if (!this.#reading) this.#judgeSilence(now);
    const verdict = heartbeat.check(now);
    if (verdict === "dead") {
      const message = `No sign of life for ${settings.heartbeatTimeoutMs} ms`;
      this.destroy(new ConduitError(ErrorCode.HEARTBEAT_TIMEOUT, message));
      return;
    }
    if (verdict === "ping") {
      this.#owner.writer.control(FrameType.HEARTBEAT_PING, 0, 0);
      this.#outbox.push(this.#owner.writer, "urgent");
      heartbeat.sent(now);
    }
    engine.wheel.schedule(this.#heartbeatTimer as LinkTimer, heartbeat.nextCheckMs(now));
  }

  // --- reading ------------------------------------------------------------------------------------------------------

  #pump(): void {
    if (this.#pumping) return;
    this.#pumping = true;
    const decoder = this.#decoder;
    try {
      while (this.#reading && !this.#handshakeBusy && this.#closeReason === null && decoder.next()) {
        this.#frame(decoder);
        if (this.#outbox.isOverwhelmed) this.#stopReadingUnlessOwed();
      }
    } catch (error) {
      this.#breakOff(asConduitError(error));
    } finally {
      this.#pumping = false;
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
          this.#response(frame);
          return;
        case FrameType.RPC_ERROR:
          this.#errorResponse(frame);
          return;
        case FrameType.HEARTBEAT_PING:
          this.#owner.writer.control(FrameType.HEARTBEAT_PONG, frame.correlationHi, frame.correlationLo);
          this.#outbox.push(this.#owner.writer, "urgent");
          return;
        case FrameType.HEARTBEAT_PONG:
          this.heartbeat?.pongReceived(this.#owner.engine.runtime.now());
          return;
        case FrameType.PAUSE:
          this.#peerPaused(true);
          return;
        case FrameType.RESUME:
          this.#peerPaused(false);
          return;
        case FrameType.CLOSE:
          this.#closeReceived(frame);
          return;
        case FrameType.CANCEL:
          this.#cancelReceived(frame.correlationHi, frame.correlationLo);
          return;
        case FrameType.RPC_LIST:
          if (frame.payloadStart === frame.payloadEnd) this.#answerList(frame.correlationHi, frame.correlationLo);
          return;
        case FrameType.ACK:
        case FrameType.NACK:
        case FrameType.CLOSE_ACK:
          return;
        default:
      }
    } catch (error) {
      // The frame was whole, its payload was not what it should be: that costs this frame, not the connection.
      this.#payloadRefused(frame.type, frame.correlationHi, frame.correlationLo, asConduitError(error));
      return;
    }
    const message = `Frame type 0x${frame.type.toString(16).padStart(4, "0")} is not allowed after login`;
    throw new ConduitError(ErrorCode.UNEXPECTED_FRAME, message);
  }

  #handshake(frame: FrameDecoder): void {
    const payload = this.#owner.reader.readMap(frame, MAX_HANDSHAKE_BYTES);
    this.#handshakeBusy = true;
    this.#owner.handshakeFrame(this, frame.type, payload).then(
      () => {
        this.#handshakeBusy = false;
        if (!this.#reading && !this.#over) this.#startReading();
        this.#pump();
      },
      (error: unknown) => this.#breakOff(asConduitError(error)),
    );
  }

  #request(frame: FrameDecoder, isCall: boolean): void {
    const { reader, dispatcher } = this.#owner;
    const hi = frame.correlationHi;
    const lo = frame.correlationLo;
    const bytes = frame.payloadEnd - frame.payloadStart;
    this.stats.messagesReceived += 1;
    if (this.#limiter !== null && !this.#withinRate(frame, isCall)) return;
    let timeoutMs = 0;
    if (isCall) {
      reader.readRpcRequest(frame);
      timeoutMs = reader.timeoutMs;
    } else {
      reader.readMessage(frame);
      if (this.#legacyReplies !== null && this.#legacyReply(reader.name, reader.value)) return;
    }
    const { name, value } = reader;
    if (this.#draining) {
      if (isCall || this.extensions.reply) this.#refuse(hi, lo, ErrorCode.SERVER_STOPPING, "The server is stopping");
      return;
    }
    if (!this.#canStart || (this.#inbox !== null && this.#inbox.length > 0)) {
      const receivedAt = timeoutMs === 0 ? 0 : this.#owner.engine.wallClock();
      this.#enqueue({ isCall, name, value, hi, lo, timeoutMs, receivedAt, bytes });
    } else if (isCall) {
      dispatcher.call(this, name, value, hi, lo, timeoutMs);
    } else {
      dispatcher.message(this, name, value, hi, lo);
    }
  }

  /** Whether a handler may start now. */
  get #canStart(): boolean {
    return (
      this.#ready &&
      (this.#running === null || this.#running.size < this.#owner.settings.handlerConcurrency) &&
      !this.#outbox.isBackedUp
    );
  }

  #enqueue(item: InboxItem): void {
    const { settings, writer } = this.#owner;
    this.#inbox ??= new Inbox();
    const inbox = this.#inbox;
    inbox.push(item);
    const fill = Math.max(inbox.length / settings.receiveQueueSize, inbox.bytes / settings.receiveQueueBytes);
    if (fill >= HIGH_WATER_RATIO && !this.#pausedPeer && this.extensions.flow && settings.enableBackpressure) {
      this.#pausedPeer = true;
      writer.control(FrameType.PAUSE, 0, 0);
      this.#outbox.push(writer, "urgent");
    }
    if (fill >= 1) this.#stopReadingUnlessOwed();
  }

  #drainInbox(): void {
    const inbox = this.#inbox;
    const { settings, dispatcher, writer } = this.#owner;
    if (inbox !== null) {
      while (this.#canStart) {
        const item = inbox.shift();
        if (item === null) break;
        if (item.isCall) dispatcher.call(this, item.name, item.value, item.hi, item.lo, this.#timeLeft(item));
        else dispatcher.message(this, item.name, item.value, item.hi, item.lo);
      }
      const fill = Math.max(inbox.length / settings.receiveQueueSize, inbox.bytes / settings.receiveQueueBytes);
      if (fill > LOW_WATER_RATIO) return;
      if (inbox.length === 0 && this.#inbox === inbox) this.#inbox = null;
    }
    if (this.#over) return;
    if (this.#pausedPeer) {
      this.#pausedPeer = false;
      writer.control(FrameType.RESUME, 0, 0);
      this.#outbox.push(writer, "urgent");
    }
    if (!this.#reading && !this.#outbox.isOverwhelmed) {
      this.#startReading();
      this.#pump();
    }
  }

  /** Of a call's deadline, after its time in the inbox. 0: it has none. */
  #timeLeft(item: InboxItem): number {
    if (item.timeoutMs === 0) return 0;
    return Math.max(1, item.timeoutMs - (this.#owner.engine.wallClock() - item.receivedAt));
  }

  /**
   * A peer that owes replies, or RESUME, is read on: the handlers that are to make room may be waiting for just that,
   * and behind what it sent before it was told to pause, it comes. That much more is taken, and no further.
   */
  #stopReadingUnlessOwed(): void {
    if (this.pendingCalls > 0 || this.#pausedByPeer) {
      const { receiveQueueBytes } = this.#owner.settings;
      const inbox = this.#inbox;
      const waitingBytes = inbox === null ? 0 : inbox.bytes + inbox.length * QUEUED_REQUEST_BYTES;
      if (waitingBytes < receiveQueueBytes + OVERRUN_BYTES && !this.#outbox.isOverwhelmedBy(OVERRUN_BYTES)) return;
    }
    this.#stopReading();
  }

  /** A call begins: its reply must get through. */
  #readForReply(): void {
    if (this.#reading || this.#handshakeBusy) return;
    this.#startReading();
    // Not within the application's call: handlers may start here.
    this.#owner.engine.runtime.defer(() => {
      if (!this.#over) this.#pump();
    });
  }

  #stopReading(): void {
    if (!this.#reading) return;
    this.#reading = false;
    this.stream.pause();
    this.#judgeSilence(this.#owner.engine.runtime.now());
    this.#notePaused(true);
  }

  /**
   * While this side does not read, the peer's signs of life wait unread, so its silence proves nothing. Unless it is
   * the peer that does not read what it asked for: then its reading is the only sign of life, and none of it is silence.
   */
  #judgeSilence(now: number): void {
    if (!this.#outbox.isBackedUp) {
      this.heartbeat?.suspend();
      return;
    }
    this.heartbeat?.resume(now);
    const takenBytes = this.#outbox.bytesSent - this.stream.queuedBytes;
    if (takenBytes !== this.#takenBytes) this.heartbeat?.activity(now);
    this.#takenBytes = takenBytes;
  }

  #startReading(): void {
    this.#reading = true;
    this.stream.resume();
    this.heartbeat?.resume(this.#owner.engine.runtime.now());
    this.#notePaused(this.#pausedByPeer);
  }

  #peerPaused(paused: boolean): void {
    if (this.#pausedByPeer === paused) return;
    this.#pausedByPeer = paused;
    this.#outbox.setPeerPaused(paused);
    this.#notePaused(paused || !this.#reading);
  }

  /** Two things can hold a connection back at once; the state changes with the first and the last. */
  #notePaused(held: boolean): void {
    const state = this.state;
    if (held && state === "active") {
      const message = this.#pausedByPeer ? "The peer sent PAUSE" : "Handlers lag; reading stopped";
      this.#machine.transition("pause", { message });
    } else if (!held && state === "paused") {
      this.#machine.transition("resume", { message: "Flowing again" });
    }
  }

  #withinRate(frame: FrameDecoder, isCall: boolean): boolean {
    const bytes = HEADER_BYTES + frame.payloadEnd - frame.payloadStart;
    const retryAfter = (this.#limiter as RateLimiter).take(this.#owner.engine.runtime.now(), bytes);
    if (retryAfter === 0) return true;
    this.stats.rateLimited += 1;
    const details = { retry_after: retryAfter };
    if (isCall || this.extensions.reply) {
      this.#refuse(frame.correlationHi, frame.correlationLo, ErrorCode.RATE_LIMITED, "Rate limit exceeded", details);
    }
    const what = isCall ? "call" : "message";
    const error = new ConduitError(ErrorCode.RATE_LIMITED, `A ${what} exceeded the rate limit`, { details });
    this.#owner.frameRefused(this, error);
    return false;
  }

  #refuse(hi: number, lo: number, code: number, message: string, details?: Record<string, unknown>): void {
    if (hi !== 0 || lo !== 0) this.sendError(hi, lo, message, code, details);
  }

  // --- replies ------------------------------------------------------------------------------------------------------

  #response(frame: FrameDecoder): void {
    const call = this.#pending?.take(frame.correlationHi, frame.correlationLo) ?? null;
    if (call === null) return;
    const { reader } = this.#owner;
    try {
      reader.readRpcResponse(frame);
    } catch (error) {
      this.stats.errors += 1;
      call.reject(asConduitError(error));
      return;
    }
    this.#settle(call, reader.value);
  }

  #settle(call: PendingCall, received: unknown): void {
    let value = received;
    try {
      if (this.info?.netconduit === true) value = unwrapNetconduitResult(value);
      if (call.validator !== null) value = call.validator.run(value, call.name);
    } catch (error) {
      call.reject(asConduitError(error));
      return;
    }
    call.resolve(value);
  }

  #errorResponse(frame: FrameDecoder): void {
    const call = this.#pending?.take(frame.correlationHi, frame.correlationLo) ?? null;
    if (call === null) return;
    const { reader } = this.#owner;
    try {
      reader.readRpcError(frame);
    } catch (error) {
      this.stats.errors += 1;
      call.reject(asConduitError(error));
      return;
    }
    call.reject(new RpcError(reader.code, reader.message, { details: reader.details }));
  }

  #legacyReply(type: string, value: unknown): boolean {
    const waiting = this.#legacyReplies?.get(type);
    if (waiting === undefined) return false;
    let call: PendingCall | null = null;
    while (call === null && waiting.length > 0) {
      const next = waiting.shift() as PendingCall;
      call = this.#pending?.take(next.generation, next.slot) ?? null;
    }
    if (waiting.length === 0) this.#legacyReplies?.delete(type);
    if (call === null) return false;
    this.#settle(call, value);
    return true;
  }

  // --- other frames -------------------------------------------------------------------------------------------------

  #closeReceived(frame: FrameDecoder): void {
    const payload = this.#owner.reader.readMap(frame, this.#owner.settings.maxMessageBytes);
    const message = typeof payload?.reason === "string" ? payload.reason : "Closed by the peer";
    const code = typeof payload?.code === "number" ? payload.code : ErrorCode.CONNECTION_CLOSED;
    if (this.extensions.close) {
      this.#owner.writer.control(FrameType.CLOSE_ACK, frame.correlationHi, frame.correlationLo);
      this.#outbox.push(this.#owner.writer, "reply");
    }
    void this.close({ code, message, reconnect: payload?.reconnect !== false, byPeer: true });
  }

  #cancelReceived(hi: number, lo: number): void {
    if (hi === 0 && lo === 0) return;
    if (this.#inbox?.cancel(hi, lo) === true) {
      this.#drainInbox();
      this.#wakeIdle();
      return;
    }
    if (this.#running === null) return;
    for (const context of this.#running) {
      if (context.hi === hi && context.lo === lo) {
        context.abort(new ConduitError(ErrorCode.CANCELLED, `The caller cancelled '${context.method}'`));
        return;
      }
    }
  }

  #answerList(hi: number, lo: number): void {
    this.#owner.writer.payload(FrameType.RPC_LIST, hi, lo, this.#owner.discovery());
    this.#outbox.push(this.#owner.writer, "reply");
  }

  #payloadRefused(type: number, hi: number, lo: number, error: ConduitError): void {
    this.stats.errors += 1;
    if (type === FrameType.RPC_REQUEST || (type === FrameType.MESSAGE && this.extensions.reply)) {
      this.#refuse(hi, lo, error.code, error.message);
    }
    this.#owner.frameRefused(this, error);
  }

  /** The framing is broken, or the peer is not who it should be: say why, then end. */
  #breakOff(error: ConduitError): void {
    if (this.#over || this.#closeReason !== null) return;
    this.stats.errors += 1;
    this.#owner.frameRefused(this, error);
    if (this.isAuthenticated) void this.close({ code: error.code, message: error.message, reconnect: true });
    else this.destroy(error);
  }

  // --- helpers ------------------------------------------------------------------------------------------------------

  #mustBeOpen(): void {
    if (this.isOpen) return;
    const why = this.#closeReason === null ? "the connection is not logged in" : this.#closeReason.message;
    throw new ConduitError(ErrorCode.CONNECTION_CLOSED, `Cannot send: ${why}`);
  }

  #mustAnswerCalls(method: string): void {
    if (this.#owner.role === "client" || this.extensions.call) return;
    const message = `Cannot call '${method}': a netconduit client does not answer calls`;
    throw new ConduitError(ErrorCode.PEER_UNSUPPORTED, message);
  }

  #begin(
    name: string,
    options: LinkCallOptions | undefined,
    validator: Validator<unknown> | null,
    resolve: (value: unknown) => void,
    reject: (error: Error) => void,
  ): PendingCall | null {
    this.#pending ??= new PendingCalls(this);
    const timeoutMs = options?.timeoutMs ?? this.#owner.settings.rpcTimeoutMs;
    checkTimeout(name, timeoutMs);
    const pending = new PendingCall(this.#pending, name, timeoutMs, validator, resolve, reject);
    const signal = options?.signal;
    if (signal !== undefined) {
      if (signal.aborted) {
        reject(cancelledError(name, signal));
        return null;
      }
      pending.signal = signal;
      pending.onAbort = () => this.#pending?.cancel(pending, signal.reason);
      signal.addEventListener("abort", pending.onAbort, { once: true });
    }
    this.#pending.add(pending);
    this.#readForReply();
    return pending;
  }

  #pushBounded(frame: FrameBytes, name: string): void {
    if (!this.#outbox.accepts) {
      const { sendQueueSize, sendQueueBytes } = this.#owner.settings;
      const { queuedFrames, bufferedBytes } = this.#outbox;
      const message =
        `Cannot send '${name}': the send queue holds ${queuedFrames} messages, ${bufferedBytes} bytes ` +
        `(sendQueueSize ${sendQueueSize}, sendQueueBytes ${sendQueueBytes})`;
      throw new ConduitError(ErrorCode.SEND_QUEUE_FULL, message);
    }
    this.stats.messagesSent += 1;
    this.#outbox.push(frame, "message");
  }

  #rejectPending(reason: CloseReason): void {
    this.#legacyReplies = null;
    this.#pending?.rejectAll(
      (call) =>
        new ConduitError(ErrorCode.CONNECTION_CLOSED, `'${call.name}' got no reply: ${reason.message}`, {
          cause: errorOf(reason),
        }),
    );
  }

  #abortRunning(reason: CloseReason): void {
    if (this.#running === null) return;
    const error = new ConduitError(ErrorCode.CONNECTION_CLOSED, reason.message);
    for (const context of [...this.#running]) context.abort(error);
  }

  #wakeIdle(): void {
    if (this.#idle === null || (!this.#over && (this.runningHandlers > 0 || this.queuedHandlers > 0))) return;
    const waiters = this.#idle;
    this.#idle = null;
    for (const wake of waiters) wake();
  }
}

/** A rate that is not limited is Infinity in the configuration, and left out for the limiter. */
function limitsOf(rates: NonNullable<LinkSettings["rateLimit"]>): RateLimits {
  const { messagesPerSecond, bytesPerSecond } = rates;
  return {
    ...(messagesPerSecond === Number.POSITIVE_INFINITY ? {} : { messagesPerSecond }),
    ...(bytesPerSecond === Number.POSITIVE_INFINITY ? {} : { bytesPerSecond }),
  };
}

/** @throws ConduitError INVALID_CONFIG for a timeout that no timer can keep. */
export function checkTimeout(name: string, timeoutMs: number): void {
  if (timeoutMs >= 0 && timeoutMs < Number.POSITIVE_INFINITY) return;
  const message = `timeoutMs of '${name}' must be a number of at least 0 (0: no timeout), got ${String(timeoutMs)}`;
  throw new ConduitError(ErrorCode.INVALID_CONFIG, message);
}

export function cancelledError(name: string, signal: AbortSignal): ConduitError {
  return new ConduitError(ErrorCode.CANCELLED, `'${name}' was cancelled`, { cause: signal.reason });
}

function asConduitError(error: unknown): ConduitError {
  if (error instanceof ConduitError) return error;
  return new ConduitError(ErrorCode.INTERNAL, asError(error).message, { cause: error });
}

function errorOf(reason: CloseReason): ConduitError {
  return new ConduitError(reason.code, reason.message);
}

function reasonOf(error: Error | null): CloseReason {
  if (error === null) {
    return { code: ErrorCode.CONNECTION_CLOSED, message: "Closed by the peer", byPeer: true, reconnect: true };
  }
  const code = error instanceof ConduitError ? error.code : ErrorCode.CONNECTION_ERROR;
  return { code, message: error.message, byPeer: false, reconnect: true };
}
