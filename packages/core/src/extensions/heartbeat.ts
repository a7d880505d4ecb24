/** Heartbeats: PING and PONG, latency, and the timeouts of a silent peer and of a frame that arrives too slowly. */

import type { Extension, ExtensionHost, ReceivedFrame } from "../connection/extension.ts";
import type { ProtocolConnection } from "../connection/protocol-connection.ts";
import { ConduitError, ErrorCode } from "../errors.ts";
import { MIN_FRAME_BYTES_PER_SECOND } from "../limits.ts";
import { TimerEntry } from "../util/timer-wheel.ts";
import { FrameType } from "../wire/constants.ts";
import { FrameProgress } from "./frame-progress.ts";
import { type Latency, Liveness, NO_LATENCY } from "./liveness.ts";

/** Limit of unsent answers to PINGs of a peer with credit, which is always read. An honest peer causes a few. */
const MAX_UNREAD_PONGS = 1000;

/** The heartbeat of one connection. As a timer, it runs the checks. */
class ConnectionHeartbeat extends TimerEntry {
  readonly #connection: ExtensionHost;
  readonly #liveness: Liveness;
  /** Number of bytes accepted by the operating system as of the last check. */
  #acceptedBytes = 0;
  /** Time of the last activity before the silence that is being verified. */
  #doubtedSinceMs = 0;
  /** Whether a frame seems too slow and is being checked once more. */
  #doubtsFrame = false;
  /** Number of PINGs answered while control frames have been waiting for the peer to read. */
  #unreadPongs = 0;
  /** Null while no frame is incomplete. */
  #progress: FrameProgress | null = null;

  constructor(connection: ExtensionHost) {
    super();
    this.#connection = connection;
    const now = connection.context.runtime.now();
    this.#liveness = new Liveness(connection.settings, now);
    connection.context.wheel.schedule(this, connection.settings.heartbeatIntervalMs);
  }

  get latency(): Latency {
    return this.#liveness.latency;
  }

  receive({ type, correlationHi, correlationLo }: ReceivedFrame): void {
    if (type === FrameType.HEARTBEAT_PING) {
      this.#answerPing(correlationHi, correlationLo);
      return;
    }
    this.#liveness.pongReceived(this.#connection.context.runtime.now(), this.#connection.readingSinceMs);
  }

  /** Answers a PING. Bounds the answers that wait for a peer that sends PINGs without reading. */
  #answerPing(idHi: number, idLo: number): void {
    this.#unreadPongs = this.#connection.sendQueue.hasWaitingControl ? this.#unreadPongs + 1 : 0;
    if (this.#unreadPongs > MAX_UNREAD_PONGS && this.#connection.features.hasCredit) {
      const message = `The peer sent ${this.#unreadPongs} PINGs without reading their answers`;
      this.#connection.fail(new ConduitError(ErrorCode.FLOW_CONTROL_ERROR, message));
      return;
    }
    this.#connection.sendControl(FrameType.HEARTBEAT_PONG, idHi, idLo);
  }

  stop(): void {
    this.#connection.context.wheel.cancel(this);
  }

  override onTimer(): void {
    const connection = this.#connection;
    const { heartbeatTimeoutMs } = connection.settings;
    if (this.#hasLostStream) {
      this.#waitForStream();
      return;
    }
    const now = connection.context.runtime.now();
    this.#noteActivity(now);
    const verdict = this.#liveness.check(now);
    // If this process was busy, the peer's bytes may still be in the socket. Read once more before deciding.
    if (verdict === "dead" && this.#doubtedSinceMs !== this.#liveness.seenAtMs) {
      this.#doubtedSinceMs = this.#liveness.seenAtMs;
      connection.context.wheel.schedule(this, 0);
      return;
    }
    if (verdict === "dead") {
      const message = `The peer sent nothing for ${heartbeatTimeoutMs} ms (heartbeatTimeoutMs)`;
      connection.streamFailed(new ConduitError(ErrorCode.HEARTBEAT_TIMEOUT, message));
      if (this.#hasLostStream) this.#waitForStream();
      return;
    }
    if (!this.#checkFrame(now)) {
      this.#doubtsFrame = false;
    } else if (!this.#doubtsFrame) {
      // Its remaining bytes may also still be in the socket.
      this.#doubtsFrame = true;
      connection.context.wheel.schedule(this, 0);
      return;
    } else {
      const message = `A frame arrived at less than ${MIN_FRAME_BYTES_PER_SECOND} bytes a second for ${heartbeatTimeoutMs} ms`;
      const error = new ConduitError(ErrorCode.FRAME_TIMEOUT, message);
      // A session can be resumed after a network path has become silent in the middle of a frame.
      if (connection.resumption?.stream.hasSession === true) connection.streamFailed(error);
      else connection.fail(error);
      if (this.#hasLostStream) this.#waitForStream();
      return;
    }
    if (verdict === "ping") {
      connection.sendControl(FrameType.HEARTBEAT_PING, 0, 0);
      this.#liveness.sent(now);
    }
    connection.context.wheel.schedule(this, this.#liveness.nextCheckMs(now));
  }

  get #hasLostStream(): boolean {
    return this.#connection.isSuspended;
  }

  /** Pauses the checks while there is no stream. */
  #waitForStream(): void {
    this.#progress = null;
    this.#doubtsFrame = false;
    this.#liveness.suspend();
    this.#connection.context.wheel.schedule(this, this.#connection.settings.heartbeatIntervalMs);
  }

  /** Checks the progress of an incomplete frame. Returns whether it is too slow. */
  #checkFrame(now: number): boolean {
    const connection = this.#connection;
    if (connection.incompleteFrame === 0) {
      this.#progress = null;
      return false;
    }
    this.#progress ??= new FrameProgress();
    return this.#progress.check(connection, connection.settings.heartbeatTimeoutMs, now);
  }

  /**
   * While this side doesn't read, the peer's silence proves nothing. If reading has stopped because the peer doesn't
   * read its replies, progress in writing counts as activity. A netconduit peer closes the connection when its PINGs
   * aren't read within its timeout, so this side doesn't wait longer for one either, because the path may be dead.
   */
  #noteActivity(now: number): void {
    const { isReading, readingSinceMs: sinceMs, sendQueue, hasNetconduitPeer, receivedAtMs } = this.#connection;
    const { hasUnreadReplies, acceptedBytes } = sendQueue;
    this.#liveness.activity(receivedAtMs);
    if (!isReading && !hasUnreadReplies && !hasNetconduitPeer) {
      this.#liveness.suspend();
      return;
    }
    this.#liveness.resume(isReading ? sinceMs : now);
    this.#liveness.activity(sinceMs);
    if (!isReading && hasUnreadReplies && acceptedBytes !== this.#acceptedBytes) this.#liveness.activity(now);
    this.#acceptedBytes = acceptedBytes;
  }
}

export const heartbeat: Extension<true, ConnectionHeartbeat> = {
  name: "heartbeat",
  frames: [{ type: FrameType.HEARTBEAT_PING }, { type: FrameType.HEARTBEAT_PONG }],
  isBase: true,
  // Not negotiated, because all peers support it, including netconduit.
  offer: () => null,
  accept: () => null,
  attach: (connection) => new ConnectionHeartbeat(connection),
  receive: (state, frame) => state.receive(frame),
  closing: (state) => state.stop(),
  closed: (state) => state.stop(),
};

/** Round trips of a connection's heartbeats; all zero before the first. */
export function latencyOf(connection: Pick<ProtocolConnection<unknown>, "extension">): Latency {
  return connection.extension(heartbeat)?.latency ?? NO_LATENCY;
}
