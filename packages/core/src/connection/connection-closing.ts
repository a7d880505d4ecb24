/**
 * The end of one connection.
 *
 * Theory of operation. `close` ends it gracefully. First, frames that wait for the peer's credit or are being sent in
 * chunks are sent (*flushing*), then the reason in CLOSE, then FIN. The close timer aborts a peer that doesn't
 * finish. `fail` closes without flushing, because nothing more is read from a peer that violated the protocol.
 * `destroy` aborts. A stream that ends on its own skips to the last step, `ended`, which runs once in any case.
 */

import type { ByteStream } from "../bytes/byte-stream.ts";
import type { RuntimeContext } from "../context/runtime-context.ts";
import { ConduitError, ErrorCode } from "../errors.ts";
import { MAX_CHUNK_BYTES, NETCONDUIT_LINGER_MS } from "../limits.ts";
import { type CloseReason, type CloseRequest, closeReason, streamEndReason } from "./close-reason.ts";
import type { ConnectionStateMachine } from "./connection-state.ts";
import type { SendQueue } from "./send/send-queue.ts";

/** The closing connection. */
export interface ClosingHost {
  readonly context: RuntimeContext;
  readonly settings: { readonly closeTimeoutMs: number; readonly maxMessageBytes: number };
  readonly role: "server" | "client";
  readonly stream: ByteStream;
  readonly machine: ConnectionStateMachine;
  readonly isOver: boolean;
  readonly isAuthenticated: boolean;
  /** Whether its stream is lost, so that CLOSE can't be sent. */
  readonly isSuspended: boolean;
  readonly hasNetconduitPeer: boolean;
  /** Whether messages wait for the peer's credit or acknowledgement of chunks. */
  readonly mustFlush: boolean;
  readonly sendQueue: Pick<SendQueue, "bufferedBytes" | "dropHeld" | "flush">;
  /** Number of unacknowledged frames of a session that ends without a stream; null otherwise. */
  readonly lostFrames: number | null;
  countError(): void;
  report(error: ConduitError): void;
  /** (Re)starts the timer that calls `timedOut`; 0 stops it. */
  setPhaseTimer(delayMs: number): void;
  /**
   * Rejects pending calls and starts no more requests.
   * @param started see {@link CloseRequest.started}
   */
  closingStarted(reason: CloseReason, started: ReadonlySet<unknown> | null): void;
  /** Sends the reason; the stream closes when all data has been flushed. */
  finishClosing(reason: CloseReason): void;
  /**
   * Releases everything.
   * @param error the stream's error, or null
   */
  hasEnded(reason: CloseReason, error: Error | null): void;
  /** Notifies the connection's server or client. This is the last call. */
  notifyClosed(reason: CloseReason): void;
}

export class ConnectionClosing {
  readonly #host: ClosingHost;
  #reason: CloseReason | null = null;
  #deadlineMs = 0;
  #isFlushing = false;
  /** The promise returned by `close`, once called. */
  #closed: { readonly promise: Promise<void>; readonly resolve: () => void } | null = null;

  constructor(host: ClosingHost) {
    this.#host = host;
  }

  /** Why the connection is closing or has ended; otherwise null. */
  get reason(): CloseReason | null {
    return this.#reason;
  }

  /** Whether CLOSE waits until the remaining messages have been sent. */
  get isFlushing(): boolean {
    return this.#isFlushing;
  }

  /** See `ProtocolConnection.close`. */
  close(request: CloseRequest): Promise<void> {
    // The peer reads nothing after its own CLOSE.
    return this.#close(request, request.byPeer !== true);
  }

  #close(request: CloseRequest, mayFlush: boolean): Promise<void> {
    const host = this.#host;
    if (host.isOver) return this.#closed?.promise ?? Promise.resolve();
    this.#closed ??= promiseWithResolve();
    const { promise } = this.#closed;
    if (this.#reason !== null) return promise;
    const reason = closeReason(request);
    this.#reason = reason;
    if (host.isSuspended) {
      // Flush, so that frames of this turn are counted as lost.
      host.sendQueue.flush();
      host.stream.destroy(null);
      this.ended(null);
      return promise;
    }
    host.machine.transition("close", { code: reason.code, message: reason.message });
    this.#startTimer();
    // Otherwise, after `unref`, the process could exit before the queued data has been sent.
    if (request.byPeer !== true) host.stream.ref?.();
    host.closingStarted(reason, request.started ?? null);
    if (mayFlush && host.mustFlush) this.#isFlushing = true;
    else this.#finish(reason, !mayFlush);
    return promise;
  }

  #finish(reason: CloseReason, dropsHeld: boolean): void {
    this.#isFlushing = false;
    if (dropsHeld) this.#host.sendQueue.dropHeld();
    this.#host.finishClosing(reason);
  }

  /** All messages that waited for the peer's permission have been sent. */
  flushed(): void {
    if (this.#isFlushing && this.#reason !== null) this.#finish(this.#reason, false);
  }

  /** See `ProtocolConnection.destroy`. */
  destroy(error: ConduitError): void {
    if (this.#host.isOver) return;
    this.#reason ??= closeReason(requestOf(error));
    if (this.#host.isSuspended) this.#host.sendQueue.flush();
    this.#host.stream.destroy(error);
    // Free the slot and reject calls now, without waiting for the stream's `closed`.
    this.ended(error);
  }

  /** See `ProtocolConnection.fail`. */
  fail(failure: ConduitError): void {
    const host = this.#host;
    if (host.isOver || (this.#reason !== null && !this.#isFlushing)) return;
    const error = this.#withOption(failure);
    host.countError();
    host.report(error);
    if (this.#reason !== null) this.#finish(this.#reason, true);
    else if (host.isAuthenticated) void this.#close(requestOf(error), false);
    else this.destroy(error);
  }

  /** The stream has ended. */
  ended(error: Error | null): void {
    const host = this.#host;
    if (host.isOver) return;
    const known = this.#reason ?? streamEndReason(error);
    const { lostFrames } = host;
    const reason = lostFrames === null ? known : { ...known, lost: lostFrames };
    this.#reason = reason;
    const isClean = reason.code === ErrorCode.CONNECTION_CLOSED || host.machine.state === "closing";
    host.machine.transition(isClean ? "closed" : "fail", { code: reason.code, message: reason.message });
    this.#isFlushing = false;
    host.setPhaseTimer(0);
    host.hasEnded(reason, error);
    this.#closed?.resolve();
    host.notifyClosed(reason);
  }

  /** Adds whose option the limit is to the message about an oversized frame, because both sides see it. */
  #withOption(error: ConduitError): ConduitError {
    if (error.code !== ErrorCode.MESSAGE_TOO_LARGE || !this.#host.isAuthenticated) return error;
    const { role, settings } = this.#host;
    const limit = error.details?.["limit"];
    let hint = "";
    if (limit === settings.maxMessageBytes) hint = ` (option maxMessageBytes of the ${role}, which received it)`;
    else if (limit === MAX_CHUNK_BYTES) hint = " (larger frames must be sent in chunks)";
    return new ConduitError(error.code, `${error.message}${hint}`, { details: error.details, cause: error });
  }

  /** Starts the close timer. Doesn't wait for a netconduit peer's FIN, because it leaves its end open. */
  #startTimer(): void {
    const { context, settings, hasNetconduitPeer } = this.#host;
    const { closeTimeoutMs } = settings;
    this.#deadlineMs = context.runtime.now() + closeTimeoutMs;
    this.#host.setPhaseTimer(hasNetconduitPeer ? Math.min(closeTimeoutMs, NETCONDUIT_LINGER_MS) : closeTimeoutMs);
  }

  /** Aborts a connection that hasn't closed in time. */
  timedOut(): void {
    const host = this.#host;
    const leftMs = this.#deadlineMs - host.context.runtime.now();
    if (host.sendQueue.bufferedBytes > 0 && leftMs > 0) {
      host.setPhaseTimer(Math.min(leftMs, NETCONDUIT_LINGER_MS));
      return;
    }
    host.stream.destroy(null);
    this.ended(null);
  }
}

function requestOf({ code, message }: ConduitError): CloseRequest {
  return { code, message, reconnect: true };
}

function promiseWithResolve(): { readonly promise: Promise<void>; readonly resolve: () => void } {
  let resolve: () => void = () => undefined;
  const promise = new Promise<void>((settle) => {
    resolve = settle;
  });
  return { promise, resolve };
}
