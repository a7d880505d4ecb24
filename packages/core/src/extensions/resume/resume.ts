/**
 * Lets a session outlive its byte stream. Both sides count the bytes that they receive after the login, and keep sent
 * bytes until the other side has acknowledged them by SESSION_ACK. When the stream is lost, the client logs in again
 * and states how many bytes it has received, the server does the same, and both continue from there.
 *
 * Because bytes are counted instead of frames, frames of every type are covered, and a frame that was cut off is
 * continued.
 */

import type { Extension, ExtensionHost, ReceivedFrame } from "../../connection/extension.ts";
import { HandledMessages } from "../../connection/receive/handled-messages.ts";
import { UnhandledMessages } from "../../connection/send/unhandled-messages.ts";
import { ConduitError, ErrorCode } from "../../errors.ts";
import { HEADER_BYTES, MIN_RESUME_BYTES } from "../../limits.ts";
import { isCount } from "../../util/is-count.ts";
import { isMap } from "../../util/is-map.ts";
import { TimerEntry } from "../../util/timer-wheel.ts";

/** `{received: int, handled: int}`: bytes received in the session, and from a server, messages handled. */
export const SESSION_ACK_FRAME = 0x0140;
/** Room for two integers and their keys. */
const MAX_SESSION_ACK_BYTES = 64;
/** Maximum delay of an acknowledgement. */
const ACK_DELAY_MS = 1000;
/** Maximum delay while the server is stopping, because it waits for acknowledgements. */
const DRAINING_ACK_DELAY_MS = 20;
/** Acknowledge after this fraction of the peer's buffer, so that its senders don't have to wait. */
const ACKS_PER_BUFFER = 4;
const MAX_UNACKNOWLEDGED_BYTES: number = 256 * 1024;

type Resumption = NonNullable<ExtensionHost["resumption"]>;

export interface ResumeParams {
  /** Limit of unacknowledged bytes that this side keeps. */
  readonly bytes: number;
  /** How long the server keeps a session without a stream; 0 from a client. */
  readonly window_ms: number;
}

/** The session of one connection. As a timer, it sends acknowledgements. */
export class ConnectionSession extends TimerEntry {
  readonly theirs: ResumeParams;
  readonly #connection: ExtensionHost;
  readonly #resumption: Resumption;
  readonly #stream: Resumption["stream"];
  readonly #mostUnacknowledged: number;
  #acknowledged = 0;
  /** Bytes of acknowledgements received since, which need no acknowledgement themselves. */
  #ackBytes = 0;
  #hasLeft = false;
  /** Whether to acknowledge soon, because the server is stopping. */
  #isSoon = false;
  /** Tracks which of the client's messages have been handled; null on a client. */
  readonly handled: HandledMessages | null;
  /**
   * Called when more messages have been handled. Notifies the client by default; a server with a store saves the
   * number first.
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

  /** Updates the count now, because nothing else may arrive for a long time. */
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

  /** Notifies the client which messages have been handled, so that it can drop them. */
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

  /** The acknowledgement was sent by other means, when the session was resumed. */
  acknowledgementSent(): void {
    this.#acknowledged = this.#stream.received;
    this.#ackBytes = 0;
  }

  /** Sends an acknowledgement ahead of waiting frames, because the other side's senders may be waiting for it. */
  acknowledge(): void {
    if (this.#stream.isSuspended) return;
    this.acknowledgementSent();
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

  /** Handles SESSION_ACK. */
  receive(frame: ReceivedFrame): void {
    const { received, handled } = this.#connection.readMap(frame) ?? {};
    if (isCount(handled)) this.#connection.sender.unhandled?.handled(handled);
    this.#ackBytes += HEADER_BYTES + frame.payloadEnd - frame.payloadStart;
    const { acknowledged, end } = this.#stream.sent;
    if (isCount(received) && received <= end) {
      // An older one may be repeated when the session is resumed.
      if (received > acknowledged) this.#stream.acknowledge(received);
      this.#checkDelivered();
      return;
    }
    const message = `SESSION_ACK must have received, an integer of at most ${end}`;
    this.#connection.fail(new ConduitError(ErrorCode.FLOW_CONTROL_ERROR, message));
  }

  /** The connection closes: stops acknowledging. */
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
  // Without chunks, a frame may be partly written, and an acknowledgement couldn't overtake waiting frames.
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
    // Flush, so that the login isn't counted.
    connection.sendQueue.flush();
    return new ConnectionSession(connection, connection.resumption, theirs);
  },
  receive: (session, frame) => session.receive(frame),
  closing: (session) => session.leave(),
  closed: (session) => session.leave(),
};
