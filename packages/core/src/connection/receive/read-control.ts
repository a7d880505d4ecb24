/**
 * When the stream is read.
 *
 * Reading stops at the bounds of what waits. There is one exception: a peer that owes replies, or asked this side to hold
 * its data back, is read on for a while, because the handlers that are to make room may be waiting for just that.
 */

import type { ByteStream } from "../../bytes/byte-stream.ts";
import { OVERRUN_BYTES, QUEUED_REQUEST_BYTES } from "../../limits.ts";
import type { RuntimeContext } from "../runtime-context.ts";

/** The connection that is read. */
export interface ReadHost {
  readonly context: RuntimeContext;
  readonly stream: ByteStream;
  readonly settings: { readonly receiveQueueBytes: number };
  readonly isOver: boolean;
  /** A handshake frame is being worked on: frames behind it wait in any case. */
  readonly isHandshaking: boolean;
  readonly pendingCalls: number;
  /** Data is held back because the peer asked for that. */
  readonly isHeldByPeer: boolean;
  readonly queuedRequests: number;
  readonly queuedRequestBytes: number;
  /** Bytes of replies that wait for the peer to read. */
  readonly unreadReplyBytes: number;
  readonly maxUnreadReplyBytes: number;
  /** Reading stopped or began again. */
  readingChanged(): void;
  /** Decodes on. */
  pump(): void;
}

export class ReadControl {
  readonly #host: ReadHost;
  #isReading = true;
  #sinceMs = 0;

  constructor(host: ReadHost) {
    this.#host = host;
  }

  get isReading(): boolean {
    return this.#isReading;
  }

  /** When reading last began again, in monotonic milliseconds; 0: it never stopped. */
  get sinceMs(): number {
    return this.#sinceMs;
  }

  stop(): void {
    if (!this.#isReading) return;
    this.#isReading = false;
    this.#host.stream.pause();
    this.#host.readingChanged();
  }

  start(): void {
    if (this.#isReading) return;
    this.#isReading = true;
    this.#sinceMs = this.#host.context.runtime.now();
    this.#host.stream.resume();
    this.#host.readingChanged();
  }

  /** Stops, unless the peer owes something that handlers may wait for and there is room for it. */
  stopUnlessOwed(): void {
    const isOwed = this.#host.pendingCalls > 0 || this.#host.isHeldByPeer;
    if (!isOwed || !this.#mayOverrun) this.stop();
  }

  /** A call of this side begins: its reply must get through. */
  startForReply(): void {
    const host = this.#host;
    if (this.#isReading || host.isHandshaking || !this.#mayOverrun) return;
    this.start();
    // Handlers may start here, so not within the application's call.
    host.context.runtime.defer(() => {
      if (!host.isOver) host.pump();
    });
  }

  get #mayOverrun(): boolean {
    const { settings, queuedRequests, queuedRequestBytes, unreadReplyBytes, maxUnreadReplyBytes } = this.#host;
    const waitingBytes = queuedRequestBytes + queuedRequests * QUEUED_REQUEST_BYTES;
    return (
      waitingBytes < settings.receiveQueueBytes + OVERRUN_BYTES &&
      unreadReplyBytes < maxUnreadReplyBytes + OVERRUN_BYTES
    );
  }
}
