/**
 * A session outlives its byte stream. Both sides count the bytes that they receive behind the login, and keep what they
 * sent until the other has acknowledged it by SESSION_ACK. When the stream is lost, the client logs in again and says how
 * much it has received; the server says the same, and both go on at that byte.
 *
 * Bytes are counted, not frames: so every frame is counted, of whatever type, and a frame that was cut goes on.
 */

import type { Extension, ExtensionHost, ReceivedFrame } from "../../connection/extension.ts";
import { HandledMessages } from "../../connection/receive/handled-messages.ts";
import { UnhandledMessages } from "../../connection/send/unhandled-messages.ts";
import { ConduitError, ErrorCode } from "../../errors.ts";
import { HEADER_BYTES, MIN_RESUME_BYTES } from "../../limits.ts";
import { isCount } from "../../util/is-count.ts";
import { isMap } from "../../util/is-map.ts";
import { TimerEntry } from "../../util/timer-wheel.ts";

/** `{received: int, handled: int}`: bytes of the session, and from a server, messages that were handled. */
export const SESSION_ACK_FRAME = 0x0140;
/** Room for two integers and their keys. */
const MAX_SESSION_ACK_BYTES = 64;
/** Bytes are acknowledged after this time at the latest. */
const ACK_DELAY_MS = 1000;
/** The same while the server stops, which waits for acknowledgements. */
const DRAINING_ACK_DELAY_MS = 20;
/** Or after this part of what the peer keeps, so that its senders don't wait. */
const ACKS_PER_BUFFER = 4;
const MAX_UNACKNOWLEDGED_BYTES: number = 256 * 1024;

type Resumption = NonNullable<ExtensionHost["resumption"]>;

export interface ResumeParams {
  /** Bytes that this side keeps until they are acknowledged. */
  readonly bytes: number;
  /** How long the server keeps a session without a stream; 0 if a client says it. */
  readonly window_ms: number;
}

/** The session of one connection. Its timer acknowledges what has arrived. */
export class ConnectionSession extends TimerEntry {
  readonly theirs: ResumeParams;
  readonly #connection: ExtensionHost;
  readonly #resumption: Resumption;
  readonly #stream: Resumption["stream"];
  readonly #mostUnacknowledged: number;
  #acknowledged = 0;
  /** Acknowledgements that have arrived since: they need none themselves. */
  #ackBytes = 0;
  #hasLeft = false;
  /** Whether the acknowledgement comes soon, because the server is stopping. */
  #isSoon = false;
  /** Tracks the client's messages that have been handled; null on a client. */
  readonly handled: HandledMessages | null;
  /**
   * Called when more messages have been handled. By default it tells the client; a server with a store saves that
   * first.
   */
  handledMore: () => void = () => this.tellHandled();
  #handledToTell = 0;
  #handledTold = 0;
  #whenDelivered: (() => void)[] = [];

  constructor(connection: ExtensionHost, resumption: Resumption, theirs: ResumeParams) {
    super();
    this.#connection = connection;
    this.#resumption = resumption;
    this.#stream = resumption.stream;
    this.theirs = theirs;
    this.#mostUnacknowledged = Math.min(theirs.bytes / ACKS_PER_BUFFER, MAX_UNACKNOWLEDGED_BYTES);
    const { maxBytes = 0 } = connection.settings.resume ?? {};
    this.handled = connection.role === "server" ? new HandledMessages(() => this.handledMore()) : null;
    if (this.handled === null) connection.sender.unhandled = new UnhandledMessages(maxBytes);
    else connection.requests.handledMessages = this.handled;
    this.#stream.keep(this, maxBytes, connection.undecodedBytes);
  }

  received(): void {
    if (this.#hasLeft) return;
    if (this.#stream.received - this.#acknowledged >= this.#mostUnacknowledged) this.acknowledge();
    else this.#acknowledgeLater();
  }

  /** Nothing may arrive for a long time, so it counts now. */
  keptMore(): void {
    this.#connection.countHeldBytes();
  }

  #acknowledgeLater(): void {
    const isDraining = this.#connection.draining !== null;
    if ((this.isScheduled && !isDraining) || this.#isSoon || this.#hasLeft) return;
    this.#stop();
    this.#isSoon = isDraining;
    this.#connection.context.wheel.schedule(this, isDraining ? DRAINING_ACK_DELAY_MS : ACK_DELAY_MS);
  }

  /** Tells the client which messages have been handled, so that it forgets them. */
  tellHandled(handled: number = this.handled?.handled ?? 0): void {
    this.#handledToTell = handled;
    this.#acknowledgeLater();
  }

  /** Resolves when the peer has received everything, or the session has ended. */
  delivered(): Promise<void> {
    if (this.#isDelivered) return Promise.resolve();
    return new Promise((resolve) => this.#whenDelivered.push(resolve));
  }

  get #isDelivered(): boolean {
    return this.#hasLeft || this.#resumption.unacknowledgedFrames === 0;
  }

  #checkDelivered(): void {
    if (this.#whenDelivered.length === 0 || !this.#isDelivered) return;
    const waiting = this.#whenDelivered;
    this.#whenDelivered = [];
    for (const resolve of waiting) resolve();
  }

  overflowed(): void {
    const { runtime } = this.#connection.context;
    const message = "The peer doesn't acknowledge what it receives";
    runtime.defer(() => this.#connection.fail(new ConduitError(ErrorCode.FLOW_CONTROL_ERROR, message)));
  }

  lost(error: Error | null): boolean {
    this.#stop();
    return !this.#hasLeft && this.#resumption.streamLost(error);
  }

  override onTimer(): void {
    this.#isSoon = false;
    const hasMore = this.#stream.received - this.#acknowledged > this.#ackBytes;
    if (hasMore || this.#handledToTell > this.#handledTold) this.acknowledge();
  }

  /** The peer has been told by other means, when the session was resumed. */
  told(): void {
    this.#acknowledged = this.#stream.received;
    this.#ackBytes = 0;
  }

  /** Says how much has arrived, whatever waits: senders of the other side may wait for this. */
  acknowledge(): void {
    if (this.#stream.isSuspended) return;
    this.told();
    const { context, settings } = this.#connection;
    const writer = context.writer(settings.maxMessageBytes, false);
    const received = this.#acknowledged;
    this.#handledTold = this.#handledToTell;
    writer.payload(
      SESSION_ACK_FRAME,
      0,
      0,
      this.handled === null ? { received } : { received, handled: this.#handledTold },
    );
    this.#stream.write(writer.bytes.subarray(writer.start, writer.end));
  }

  /** SESSION_ACK arrived. */
  receive(frame: ReceivedFrame): void {
    const { received, handled } = this.#connection.readMap(frame) ?? {};
    if (isCount(handled)) this.#connection.sender.unhandled?.handled(handled);
    this.#ackBytes += HEADER_BYTES + frame.payloadEnd - frame.payloadStart;
    const { acknowledged, end } = this.#stream.sent;
    if (isCount(received) && received <= end) {
      // An older one may come again when the session is resumed.
      if (received > acknowledged) this.#stream.acknowledge(received);
      this.#checkDelivered();
      return;
    }
    const message = `SESSION_ACK must have received, an integer of at most ${end}`;
    this.#connection.fail(new ConduitError(ErrorCode.FLOW_CONTROL_ERROR, message));
  }

  /** The connection closes: nothing is acknowledged any more. */
  leave(): void {
    this.#hasLeft = true;
    this.#stop();
    this.#stream.leave();
    this.#checkDelivered();
  }

  #stop(): void {
    this.#isSoon = false;
    if (this.isScheduled) this.#connection.context.wheel.cancel(this);
  }
}

export const resume: Extension<ResumeParams, ConnectionSession> = {
  name: "resume",
  frames: [{ type: SESSION_ACK_FRAME, maxPayloadBytes: MAX_SESSION_ACK_BYTES }],
  // Without chunks, a frame may be written in part, and an acknowledgement couldn't pass what waits.
  needs: "chunk",
  offer: ({ resume: settings }) =>
    settings === null || settings === undefined ? null : { bytes: settings.maxBytes, window_ms: settings.windowMs },
  accept(theirs) {
    if (!isMap(theirs)) return null;
    const { bytes, window_ms } = theirs;
    if (!isCount(bytes, MIN_RESUME_BYTES) || !isCount(window_ms)) return null;
    return { bytes, window_ms };
  },
  attach(connection, theirs) {
    if (theirs === null || connection.resumption === null) return undefined;
    // The login isn't counted.
    connection.sendQueue.flush();
    return new ConnectionSession(connection, connection.resumption, theirs);
  },
  receive: (session, frame) => session.receive(frame),
  closing: (session) => session.leave(),
  closed: (session) => session.leave(),
};
