/**
 * Decides when the stream is read.
 *
 * Reading stops temporarily when the peer is over its rate limit, and, for a peer without credit, when the queues are
 * full. Exception: if a peer without credit owes replies or has sent PAUSE, reading continues for a while, because
 * the handlers that would make room may be waiting for its replies or its RESUME.
 */

import type { ByteStream } from "../../bytes/byte-stream.ts";
import type { RuntimeContext } from "../../context/runtime-context.ts";
import { OVERRUN_BYTES, QUEUED_REQUEST_BYTES } from "../../limits.ts";
import { CallbackTimer } from "../../util/time.ts";
import type { RequestScheduler } from "./request-scheduler.ts";

/** The connection to read. */
export interface ReadHost {
  readonly context: RuntimeContext;
  readonly stream: ByteStream;
  readonly settings: { readonly receiveQueueBytes: number; readonly sendQueueBytes: number };
  readonly isOver: boolean;
  /** Whether a login frame is being processed; later frames wait in any case. */
  readonly isHandshaking: boolean;
  readonly pendingCalls: number;
  readonly sendQueue: {
    /** Whether data is held back at the peer's request. */
    readonly isHeldByPeer: boolean;
    /** Bytes of replies that the peer hasn't read. */
    readonly replyBytes: number;
  };
  readonly scheduler: Pick<RequestScheduler<unknown>, "queuedHandlers" | "queuedBytes">;
  /** Reading stopped or resumed. */
  readingChanged(): void;
  /** Resumes decoding. */
  pump(): void;
}

export class ReadControl {
  readonly #host: ReadHost;
  /** Whether queues are full or the login is in progress. */
  #isStopped = false;
  /** Set while the peer waits because it is over its rate. */
  #throttle: CallbackTimer | null = null;
  #sinceMs = 0;

  constructor(host: ReadHost) {
    this.#host = host;
  }

  get isReading(): boolean {
    return !this.#isStopped && this.#throttle === null;
  }

  get isThrottled(): boolean {
    return this.#throttle !== null;
  }

  /** Time when reading last resumed, in monotonic milliseconds; 0 if it never stopped. */
  get sinceMs(): number {
    return this.#sinceMs;
  }

  stop(): void {
    const wasReading = this.isReading;
    this.#isStopped = true;
    if (wasReading) this.#paused();
  }

  start(): void {
    if (!this.#isStopped) return;
    this.#isStopped = false;
    if (this.isReading) this.#resumed();
  }

  /** Pauses reading for this time. */
  throttle(delayMs: number): void {
    if (this.#throttle !== null) return;
    const wasReading = this.isReading;
    this.#throttle = new CallbackTimer(() => {
      this.unthrottle();
      this.#host.pump();
    });
    this.#host.context.wheel.schedule(this.#throttle, delayMs);
    if (wasReading) this.#paused();
  }

  unthrottle(): void {
    if (this.#throttle === null) return;
    this.#host.context.wheel.cancel(this.#throttle);
    this.#throttle = null;
    if (this.isReading) this.#resumed();
  }

  #paused(): void {
    this.#host.stream.pause();
    this.#host.readingChanged();
  }

  #resumed(): void {
    this.#sinceMs = this.#host.context.runtime.now();
    this.#host.stream.resume();
    this.#host.readingChanged();
  }

  /** Stops reading, unless handlers may be waiting for the peer and there is room for its data. */
  stopUnlessOwed(): void {
    const isOwed = this.#host.pendingCalls > 0 || this.#host.sendQueue.isHeldByPeer;
    if (!isOwed || !this.#mayOverrun) this.stop();
  }

  /** Resumes reading, because this side sent a call whose reply must be received. */
  startForReply(): void {
    const host = this.#host;
    if (this.isReading || host.isHandshaking || !this.#mayOverrun) return;
    this.start();
    // Handlers may start here, so don't run them synchronously within the application's call.
    host.context.runtime.defer(() => {
      if (!host.isOver) host.pump();
    });
  }

  get #mayOverrun(): boolean {
    const { settings, scheduler, sendQueue } = this.#host;
    const waitingBytes = scheduler.queuedBytes + scheduler.queuedHandlers * QUEUED_REQUEST_BYTES;
    return (
      waitingBytes < settings.receiveQueueBytes + OVERRUN_BYTES &&
      sendQueue.replyBytes < settings.sendQueueBytes + OVERRUN_BYTES
    );
  }
}
