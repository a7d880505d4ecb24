/**
 * One end of a connection. Connects the stream, login, messages and RPC.
 *
 * The stream passes chunks to `data`, the decoder splits them into frames, and each frame is processed immediately:
 * replies settle their call, messages and requests go to the scheduler, and all other frames to their extension. Frames
 * leave through the send queue. `data` never throws, whatever a peer sends: invalid framing ends the connection with a
 * code; an invalid payload in a complete frame is answered or reported, and the connection continues.
 *
 * The endpoint holds the parts shared by all connections of a server or client. The delegate supplies the login and
 * is notified of the connection's life cycle.
 */

import type { PeerInfo } from "../auth/peer-info.ts";
import type { ByteSink, ByteStream } from "../bytes/byte-stream.ts";
import { ResumableStream } from "../bytes/resumable-stream.ts";
import type { RuntimeContext } from "../context/runtime-context.ts";
import { asConduitError, ConduitError, ErrorCode, type RpcError } from "../errors.ts";
import { MAX_CHUNK_BYTES, MAX_UNREAD_CONTROL_BYTES } from "../limits.ts";
import { calledOf, type IncomingRequest } from "../rpc/incoming-request.ts";
import type { RequestStreams } from "../rpc/request-streams.ts";
import type { Validator } from "../rpc/validation.ts";
import { CallbackTimer } from "../util/time.ts";
import { FrameType } from "../wire/constants.ts";
import type { FrameDecoder } from "../wire/frame-decoder.ts";
import { isOptionalFrameType } from "../wire/frame-types.ts";
import type { FrameWriter } from "../wire/frame-writer.ts";
import type { PayloadReader } from "../wire/payload-reader.ts";
import type { StreamKeys } from "../wire/stream-keys.ts";
import { type CloseReason, type CloseRequest, errorOf } from "./close-reason.ts";
import { type ClosingHost, ConnectionClosing } from "./connection-closing.ts";
import type { ConnectionDelegate, ConnectionEndpoint } from "./connection-endpoint.ts";
import { ConnectionReports } from "./connection-reports.ts";
import { ConnectionResumption, type ResumptionHost } from "./connection-resumption.ts";
import { ConnectionSender, type SenderHost } from "./connection-sender.ts";
import type { ConnectionSettings } from "./connection-settings.ts";
import type { ConnectionState, ConnectionStateMachine } from "./connection-state.ts";
import { Draining } from "./draining.ts";
import type { DrainNotice, Extension, ExtensionHost, ItemChecks, StreamLimits } from "./extension.ts";
import { type Agreement, AttachedExtensions } from "./extension-registry.ts";
import { type Features, NO_FEATURES } from "./features.ts";
import type { OutgoingCall } from "./outgoing-calls.ts";
import { type ConnectionLogin, FrameReceiver, type ReceiverHost } from "./receive/frame-receiver.ts";
import { wireBytes } from "./receive/queued-frame.ts";
import { ReadControl, type ReadHost } from "./receive/read-control.ts";
import { type RequestHost, RequestReceiver } from "./receive/request-receiver.ts";
import type { RequestScheduler } from "./receive/request-scheduler.ts";
import { Replies, type RepliesHost } from "./replies.ts";
import type { Lane } from "./send/lane.ts";
import type { ChunkLimits } from "./send/large-frames.ts";
import { SendCredit } from "./send/send-credit.ts";
import { SendQueue, type SendQueueHost } from "./send/send-queue.ts";

export class ProtocolConnection<Peer>
  implements
    ByteSink,
    ClosingHost,
    ExtensionHost,
    RequestHost<Peer>,
    ReadHost,
    ReceiverHost,
    RepliesHost,
    ResumptionHost,
    SenderHost,
    SendQueueHost
{
  // The fields needed for each message come first. With thousands of connections they aren't in the CPU's caches, and each cache line takes 0.1 µs.
  readonly endpoint: ConnectionEndpoint<Peer, ProtocolConnection<Peer>>;
  readonly delegate: ConnectionDelegate<ProtocolConnection<Peer>>;
  readonly context: RuntimeContext;
  readonly #receiver: FrameReceiver;
  /** Created when the connection starts to end. */
  #closing: ConnectionClosing | null = null;
  /** Null until the peer has logged in. */
  info: PeerInfo | null = null;
  /** Created when this side first stops reading. */
  #reading: ReadControl | null = null;
  readonly requests: RequestReceiver<Peer>;
  features: Features = NO_FEATURES;
  /** Before login, inflates if the option is set, because a netconduit peer also compresses its login. */
  reader: PayloadReader;
  /** Set by the delegate before any handler can run. */
  peer!: Peer;
  /** Set by the delegate before `start`, and removed when the login is complete. */
  login: ConnectionLogin | null = null;
  /** Created by the first message, call or broadcast. */
  #sender: ConnectionSender | null = null;
  readonly sendQueue: SendQueue;
  /** Compresses once compression was agreed on. */
  writer: FrameWriter;
  /** The peer's limit; this side's own until an extension sets it. */
  maxPeerPayloadBytes: number;
  messagesReceived = 0;
  bytesReceived = 0;
  receivedAtMs = 0;
  /** Set while new frames are held back. */
  #holdTimer: CallbackTimer | null = null;

  readonly settings: ConnectionSettings;
  readonly stream: ByteStream;
  /** Null if the connection can't outlive its stream. */
  readonly resumption: ConnectionResumption | null;
  machine: ConnectionStateMachine;
  readonly replies: Replies<Peer>;
  #extensions: AttachedExtensions | null = null;
  #creditFrameType = 0;

  // Set by extensions.
  unfinished: { readonly heldBytes: number; readonly oldestFrame: number } | null = null;
  streamLimits: StreamLimits | null = null;
  streamBytes = 0;
  /** Bytes of acknowledged messages, and of calls with a key, that are kept until the peer answers. */
  unansweredBytes = 0;

  errors = 0;
  rateLimited = 0;
  skippedFrames = 0;

  /** {@link heldBytes} as last counted by its server. */
  countedBytes = 0;

  /** Created when the server starts to stop, or a handler accesses its drain signal. */
  #draining: Draining | null = null;
  /** Runs when no messages and requests wait for the peer's permission or are being sent in chunks. */
  #afterMessages: (() => void) | null = null;
  /** Run when the stream accepts bytes again. */
  #whenSendable: (() => void)[] | null = null;
  /** Created by the first error. */
  #reports: ConnectionReports | null = null;

  /** Limits the duration of the login, the connect hooks or the close. */
  #phaseTimer: CallbackTimer | null = null;

  constructor(
    endpoint: ConnectionEndpoint<Peer, ProtocolConnection<Peer>>,
    delegate: ConnectionDelegate<ProtocolConnection<Peer>>,
    stream: ByteStream,
    machine: ConnectionStateMachine,
  ) {
    const { runtimeContext: context, settings, writer, reader, extensions } = endpoint;
    this.endpoint = endpoint;
    this.delegate = delegate;
    this.context = context;
    this.settings = settings;
    this.writer = writer;
    this.reader = reader;
    this.stream = stream;
    this.resumption = stream instanceof ResumableStream ? new ConnectionResumption(this, stream) : null;
    this.machine = machine;
    this.maxPeerPayloadBytes = settings.maxMessageBytes;
    this.sendQueue = new SendQueue(this);
    this.requests = new RequestReceiver<Peer>(this);
    this.replies = new Replies<Peer>(this);
    context.connectionMade();
    this.#receiver = new FrameReceiver(this, extensions);
  }

  // --- state --------------------------------------------------------------------------------------------------------

  get role(): "server" | "client" {
    return this.delegate.role;
  }

  get state(): ConnectionState {
    return this.machine.state;
  }

  /** Whether the peer has logged in. Stays true after the connection has ended. */
  get isAuthenticated(): boolean {
    return this.info !== null;
  }

  get isOver(): boolean {
    return this.machine.isOver;
  }

  /** Whether the peer is Python netconduit. False until it has logged in. */
  get hasNetconduitPeer(): boolean {
    return this.info?.netconduit === true;
  }

  get correlatesReplies(): boolean {
    return this.features.correlatesReplies;
  }

  /** Whether the peer answers calls. A server always does. */
  get answersCalls(): boolean {
    return this.role === "client" || this.features.callsClient;
  }

  /** Whether the peer may call this side. A netconduit server may do so without negotiation. */
  get acceptsCalls(): boolean {
    return this.role === "server" || this.features.callsClient || this.hasNetconduitPeer;
  }

  get sender(): ConnectionSender {
    this.#sender ??= new ConnectionSender(this);
    return this.#sender;
  }

  get reading(): ReadControl {
    this.#reading ??= new ReadControl(this);
    return this.#reading;
  }

  get isReading(): boolean {
    return this.#reading === null || this.#reading.isReading;
  }

  get isThrottled(): boolean {
    return this.#reading?.isThrottled === true;
  }

  get readingSinceMs(): number {
    return this.#reading?.sinceMs ?? 0;
  }

  get scheduler(): RequestScheduler<Peer> {
    return this.requests.scheduler;
  }

  get isClosing(): boolean {
    return this.closeReason !== null;
  }

  /** Whether it is logged in and not closing. */
  get isOpen(): boolean {
    return this.info !== null && this.closeReason === null;
  }

  /** Whether its stream is lost and it waits for a new one. */
  get isSuspended(): boolean {
    return this.resumption?.isSuspended === true;
  }

  get undecodedBytes(): number {
    return this.#receiver.undecodedBytes;
  }

  get lostFrames(): number | null {
    return this.resumption?.lostFrames ?? null;
  }

  get isHandshaking(): boolean {
    return this.#receiver.isHandshaking;
  }

  /** Whether frames are still processed. During a close, only frames that allow the remaining messages to be sent are. */
  get isReceiving(): boolean {
    return this.closeReason === null || this.#closing?.isFlushing === true;
  }

  get incompleteFrame(): number {
    // Negative, because frames split across chunks are numbered separately.
    const oldest = this.unfinished?.oldestFrame ?? 0;
    return oldest > 0 ? -oldest : this.#receiver.incompleteFrame;
  }

  /** Why the connection is closing or has ended; otherwise null. */
  get closeReason(): CloseReason | null {
    return this.#closing?.reason ?? null;
  }

  get pendingCalls(): number {
    return this.#sender?.calls?.size ?? 0;
  }

  /** Whether messages wait for the peer's credit or acknowledgement of chunks, which it sends until its CLOSE. */
  get mustFlush(): boolean {
    return (this.features.hasCredit && this.sendQueue.hasHeld) || this.sendQueue.hasLarge;
  }

  /** Bytes of incomplete frames, of waiting and running requests, of the send queue and of {@link unansweredBytes}; 0 after it has ended. */
  get heldBytes(): number {
    if (this.isOver) return 0;
    const { scheduler, sendQueue } = this;
    const incomplete = this.#receiver.heldBytes + (this.unfinished?.heldBytes ?? 0);
    const received = incomplete + this.streamBytes + scheduler.queuedBytes + scheduler.runningBytes;
    const kept = (this.resumption?.stream.sent.capacity ?? 0) + sendQueue.keptBytes;
    const toSend = Math.max(0, sendQueue.bufferedBytes - (this.#sender?.sharedBytes ?? 0));
    return received + kept + this.unansweredBytes + toSend;
  }

  /** Updates the count of held bytes after a change. */
  countHeldBytes(): void {
    this.delegate.buffers?.count(this);
  }

  /** The connection's state of an extension; undefined if it isn't attached. */
  extension<State>(extension: Extension<unknown, State>): State | undefined {
    return this.#extensions?.state(extension);
  }

  // --- login --------------------------------------------------------------------------------------------------------

  /** Starts reading. `phaseTimeoutMs` limits the login; 0 if the delegate limits it itself. */
  start(phaseTimeoutMs: number): void {
    this.setPhaseTimer(phaseTimeoutMs);
    this.stream.open(this);
  }

  /** (Re)starts the timer of the current phase; 0 stops it. */
  setPhaseTimer(delayMs: number): void {
    const { wheel } = this.context;
    if (this.#phaseTimer !== null) wheel.cancel(this.#phaseTimer);
    this.#phaseTimer = delayMs === 0 ? null : new CallbackTimer(() => this.#phaseTimedOut());
    if (this.#phaseTimer !== null) wheel.schedule(this.#phaseTimer, delayMs);
  }

  /** The login succeeded: allows full-sized frames and sending, and attaches the extensions. */
  authenticated(info: PeerInfo, agreement: Agreement): void {
    this.info = info;
    this.#receiver.maxPayloadBytes = this.settings.maxMessageBytes;
    this.reader = this.context.reader(this.settings.maxMessageBytes, false);
    this.machine.transition("authenticated", { message: "Logged in" });
    const { extensions } = this.endpoint;
    const { features, isAttached } = extensions.combinationOf(agreement);
    this.features = features;
    this.#extensions = new AttachedExtensions(extensions, agreement, isAttached, this);
  }

  /** Holds back all new frames for this time, or until the peer sends data. Earlier frames are still sent. */
  hold(forMs: number): void {
    this.sendQueue.hold();
    this.#holdTimer = new CallbackTimer(() => this.release());
    this.context.wheel.schedule(this.#holdTimer, forMs);
  }

  release(): void {
    if (this.#holdTimer !== null) this.context.wheel.cancel(this.#holdTimer);
    this.#holdTimer = null;
    this.sendQueue.release();
  }

  /** The connect hooks have finished; handlers may start. */
  activate(): void {
    if (this.isOpen) {
      this.machine.transition("ready", { message: "Ready" });
      this.becameActive();
    }
    this.scheduler.activate();
    this.pump();
  }

  becameActive(): void {
    this.readingChanged();
    this.#applyDraining();
  }

  // --- sending ------------------------------------------------------------------------------------------------------

  sendControl(type: number, idHi: number, idLo: number, lane: Lane = "control"): void {
    this.writer.control(type, idHi, idLo);
    this.sendQueue.push(this.writer, lane);
  }

  sendPayload(
    type: number,
    payload: Readonly<Record<string, unknown>>,
    lane: Lane = "control",
    idHi: number = 0,
    idLo: number = 0,
  ): void {
    this.writer.payload(type, idHi, idLo, payload);
    this.sendQueue.push(this.writer, lane);
  }

  whenSendable(action: () => void): void {
    this.#whenSendable ??= [];
    this.#whenSendable.push(action);
  }

  resultsOf(method: string): Validator<unknown> | null {
    return this.endpoint.results?.get(method) ?? null;
  }

  itemChecks(method: string): ItemChecks | null {
    return this.endpoint.items?.get(method) ?? null;
  }

  openStreams(request: IncomingRequest<Peer>, keys: StreamKeys): RequestStreams | null {
    const { idHi, idLo } = request;
    return this.#extensions?.openStreams(idHi, idLo, String(calledOf(request)), keys) ?? null;
  }

  setPausedByPeer(isPaused: boolean): void {
    this.sendQueue.setPausedByPeer(isPaused);
    this.readingChanged();
  }

  useCredit(theirs: { readonly frames: number; readonly bytes: number }, frameType: number): void {
    this.sendQueue.useCredit(new SendCredit(theirs.frames, theirs.bytes));
    this.#creditFrameType = frameType;
  }

  useCompression(): void {
    const { maxMessageBytes } = this.settings;
    this.writer = this.context.writer(maxMessageBytes, true);
    this.reader = this.context.reader(maxMessageBytes, true);
  }

  useChunks(theirs: ChunkLimits): void {
    this.sendQueue.useChunks(theirs);
    this.#receiver.maxPayloadBytes = Math.min(MAX_CHUNK_BYTES, this.settings.maxMessageBytes);
  }

  frameAssembled(frame: FrameDecoder): void {
    if (this.requests.isRequest(frame.type, wireBytes(frame))) this.requests.receive(frame);
    else this.#frame(frame);
  }

  returnCredit(frames: number, bytes: number): void {
    if (!this.isOver) this.sendPayload(this.#creditFrameType, { frames, bytes });
  }

  heldChanged(): void {
    this.readingChanged();
    if (this.mustFlush) return;
    this.#afterMessages?.();
    this.#afterMessages = null;
    this.#closing?.flushed();
  }

  readyByPeer(): void {
    if (this.state === "connected") this.delegate.connectionReady(this);
  }

  drainingByPeer(notice: DrainNotice): void {
    if (this.draining !== null) return;
    this.#madeDraining.start(notice);
    this.#applyDraining();
    this.delegate.connectionDraining(this, notice);
  }

  /** The server starts to stop: signals handlers that would never finish. */
  startDraining(): void {
    this.#madeDraining.start();
  }

  get draining(): DrainNotice | null {
    return this.#draining?.notice ?? null;
  }

  get drainSignal(): AbortSignal {
    return this.#madeDraining.signal;
  }

  get #madeDraining(): Draining {
    this.#draining ??= new Draining();
    return this.#draining;
  }

  afterMessages(action: () => void): void {
    if (this.mustFlush) this.#afterMessages = action;
    else action();
  }

  /** Applies a drain notice, which takes effect once the connection is ready. */
  #applyDraining(): void {
    if (this.draining === null || !this.machine.allows("drain")) return;
    this.machine.transition("drain", { code: ErrorCode.SERVER_STOPPING, message: "The server is stopping" });
  }

  // --- requests of the peer -----------------------------------------------------------------------------------------

  handlerStarted(request: IncomingRequest<Peer>): void {
    this.scheduler.handlerStarted(request);
    if (this.closeReason !== null) request.abort(errorOf(this.closeReason));
  }

  handlerSettled(request: IncomingRequest<Peer>): void {
    this.scheduler.handlerSettled(request);
    this.requests.handledMessages?.settled(request);
    // If it counted as 0, it holds no more than before, unless its reply waits.
    if (this.countedBytes > 0 || this.sendQueue.hasWaiting) this.countHeldBytes();
  }

  discovery(): Uint8Array {
    return this.endpoint.discovery();
  }

  requestRefused(name: string, error: RpcError): void {
    this.#extensions?.requestRefused(name, error);
  }

  /** Reports each one, because it is this side's fault. */
  errorCutShort(failure: ConduitError): void {
    this.delegate.frameRefused(this, failure, 1);
  }

  // --- closing ------------------------------------------------------------------------------------------------------

  /**
   * Closes the connection gracefully: flushes the send queue, sends the reason, then FIN. Aborts after
   * `closeTimeoutMs`. Resolves when the connection has ended; repeated calls return the same promise.
   */
  close(request: CloseRequest): Promise<void> {
    return this.#startClosing().close(request);
  }

  /** Aborts the connection and discards both directions. */
  destroy(error: ConduitError): void {
    this.#startClosing().destroy(error);
  }

  /** Sends the reason and ends the connection, because of invalid framing or a peer that doesn't speak the protocol. */
  fail(error: ConduitError): void {
    this.#startClosing().fail(error);
  }

  streamFailed(error: ConduitError): void {
    this.resumption?.stream.cut(error);
    // Not agreed on, or not logged in.
    if (!this.isSuspended) this.destroy(error);
  }

  endSilently(): void {
    this.machine = this.machine.withoutListeners();
    this.#startClosing().ended(null);
  }

  #startClosing(): ConnectionClosing {
    this.#closing ??= new ConnectionClosing(this);
    return this.#closing;
  }

  #phaseTimedOut(): void {
    if (this.isOver) return;
    if (this.#closing === null) this.delegate.phaseTimedOut(this);
    else this.#closing.timedOut();
  }

  closingStarted(reason: CloseReason, started: ReadonlySet<unknown> | null): void {
    this.delegate.connectionClosing(this);
    this.#giveUpCalls(reason, started);
    if (!reason.byPeer) this.#dropRequests(reason);
    this.#reading?.unthrottle();
    this.#reading?.start();
  }

  finishClosing(reason: CloseReason): void {
    this.#extensions?.closing(reason);
    this.sendQueue.end();
  }

  hasEnded(reason: CloseReason, error: Error | null): void {
    this.sendQueue.over();
    this.#receiver.over();
    this.release();
    this.#reading?.unthrottle();
    this.#extensions?.closed(reason);
    this.#giveUpCalls(reason, null);
    // Requests of a peer that closed the connection are still handled; those of a disconnected peer are dropped.
    if (error !== null || !reason.byPeer) this.#dropRequests(reason);
    else this.scheduler.startWaiting();
    this.scheduler.over();
    this.#reports?.end();
  }

  notifySuspended(reason: CloseReason): void {
    this.delegate.connectionSuspended(this, reason);
  }

  notifyClosed(reason: CloseReason): void {
    this.delegate.connectionClosed(this, reason);
    this.context.connectionEnded();
  }

  /** Drops the waiting requests, and reports them once. */
  #dropRequests(reason: CloseReason): void {
    const count = this.requests.dropQueued();
    if (count === 0) return;
    const frames = count === 1 ? "1 message or call was" : `${count} messages and calls were`;
    const message = `${frames} received, but not handled before the connection ended: ${reason.message}`;
    this.delegate.frameRefused(this, new ConduitError(ErrorCode.CONNECTION_CLOSED, message), count);
  }

  /** Rejects pending calls and aborts running handlers. */
  #giveUpCalls(reason: CloseReason, started: ReadonlySet<unknown> | null): void {
    this.requests.handledMessages?.over();
    if (this.pendingCalls > 0) this.#sender?.calls?.rejectAll(reason.message, errorOf(reason), started);
    if (this.scheduler.runningHandlers > 0) {
      this.scheduler.abortRunning(new ConduitError(ErrorCode.CONNECTION_CLOSED, reason.message));
    }
  }

  // --- ByteSink -----------------------------------------------------------------------------------------------------

  readTarget(): Uint8Array | null {
    return this.#receiver.readTarget();
  }

  bytesRead(count: number): void {
    this.#receiver.bytesRead(count);
    this.countHeldBytes();
  }

  data(chunk: Uint8Array): void {
    this.#receiver.data(chunk);
    this.countHeldBytes();
  }

  drained(): void {
    this.sendQueue.streamDrained();
    this.countHeldBytes();
  }

  closed(error: Error | null): void {
    if (this.isOver) return;
    if (error === null && !this.#receiver.end()) return;
    this.#startClosing().ended(error);
  }

  // --- frames -------------------------------------------------------------------------------------------------------

  recordReceive(count: number, nowMs: number): void {
    if (this.#closing !== null && this.isOver) return;
    this.bytesReceived += count;
    // V8 stores integers in the field itself, and fractions in a separate 16-byte object.
    this.receivedAtMs = Math.ceil(nowMs);
    // Data after the login shows that the peer has read AUTH_SUCCESS, so held frames can be sent.
    if (this.#holdTimer !== null) this.release();
  }

  pump(): void {
    this.#receiver.pump();
    this.countHeldBytes();
  }

  streamEnded(): void {
    this.closed(null);
  }

  takeUndecoded(): Uint8Array {
    return this.#receiver.takeRest();
  }

  frame(frame: FrameDecoder): void {
    const length = wireBytes(frame);
    if (this.requests.isRequest(frame.type, length)) {
      this.requests.charge(length);
      this.requests.receive(frame);
    } else {
      this.#frame(frame);
    }
    // A peer with credit is always read, because its credit bounds its requests.
    if (!this.features.hasCredit) {
      if (this.sendQueue.isOverwhelmed) this.reading.stopUnlessOwed();
    } else if (this.sendQueue.controlBytes > MAX_UNREAD_CONTROL_BYTES) {
      const message = `The peer doesn't read acknowledgements and credit: more than ${MAX_UNREAD_CONTROL_BYTES} bytes wait`;
      throw new ConduitError(ErrorCode.FLOW_CONTROL_ERROR, message);
    }
  }

  #frame(frame: FrameDecoder): void {
    try {
      switch (frame.type) {
        case FrameType.RPC_RESPONSE:
          this.#sender?.calls?.response(frame);
          return;
        case FrameType.RPC_ERROR:
          this.#sender?.calls?.errorResponse(frame);
          return;
        // A reply, which this side never requests.
        case FrameType.RPC_LIST:
        // Defined by netconduit without a meaning.
        case FrameType.ACK:
        case FrameType.NACK:
          return;
        default:
          if (this.#extensions?.receive(frame) === true) return;
          if (isOptionalFrameType(frame.type)) {
            this.skippedFrames += 1;
            return;
          }
      }
    } catch (error) {
      // A complete frame has an invalid payload: reports it, and the connection continues.
      this.requests.refusePayload(frame, asConduitError(error));
      return;
    }
    const message = this.endpoint.extensions.whyUnexpected(frame.type, this.role);
    throw new ConduitError(ErrorCode.UNEXPECTED_FRAME, message);
  }

  takeUncorrelatedReply(frame: FrameDecoder): boolean {
    const calls = this.#sender?.calls ?? null;
    if (calls === null || !calls.awaitsUncorrelated || frame.type !== FrameType.MESSAGE) return false;
    try {
      this.reader.readMessage(frame);
    } catch {
      // Decoded again, and rejected, when it is handled.
      return false;
    }
    return calls.uncorrelatedReply(this.reader.name, this.reader.value);
  }

  dispatch(request: IncomingRequest<Peer>): void {
    this.endpoint.dispatcher.dispatch(this, request);
  }

  sendRefused(error: RpcError, count: number): void {
    this.endpoint.sendRefused(this, error, count);
  }

  messageFailed(error: ConduitError, type: string): void {
    // After the end, report directly, because nothing would report the rest of a window.
    if (this.isOver) this.endpoint.messageFailed(this, error, type, 1);
    else this.#madeReports.addMessage(error, type, this.context.runtime.now());
  }

  // --- events of its parts ------------------------------------------------------------------------------------------

  callAbandoned(call: OutgoingCall): boolean {
    if (this.sendQueue.withdraw(call)) return false;
    this.#extensions?.callAbandoned(call.idHi, call.idLo);
    return true;
  }

  sendQueueDrained(): void {
    this.requests.returnDueCredit();
    this.scheduler.startWaiting();
    if (this.#whenSendable === null || !this.sendQueue.canSend) return;
    const actions = this.#whenSendable;
    this.#whenSendable = null;
    for (const action of actions) action();
  }

  /** The state is `paused` while this side doesn't read, or messages wait for the peer's permission. */
  readingChanged(): void {
    const { isHeldByPeer } = this.sendQueue;
    const isHeld = !this.isReading || isHeldByPeer;
    if (isHeld && this.state === "active") {
      const ours = this.isThrottled ? "Over the rate limit; reading paused" : "Handlers lag; reading stopped";
      const message = isHeldByPeer ? "The peer's handlers lag; messages for it wait" : ours;
      this.machine.transition("pause", { message });
    } else if (!isHeld && this.state === "paused") {
      this.machine.transition("resume", { message: "Flowing again" });
    }
  }

  readMap(frame: FrameDecoder): Record<string, unknown> | null {
    return this.reader.readMap(frame);
  }

  countError(): void {
    this.errors += 1;
  }

  report(error: ConduitError): void {
    this.#madeReports.addFrame(error, this.context.runtime.now());
  }

  callbackFailed(name: string, error: unknown): void {
    this.endpoint.callbackFailed(this, name, error);
  }

  get #madeReports(): ConnectionReports {
    this.#reports ??= new ConnectionReports({
      frameRefused: (error, count) => this.delegate.frameRefused(this, error, count),
      messageFailed: (error, type, count) => this.endpoint.messageFailed(this, error, type, count),
    });
    return this.#reports;
  }
}
