/**
 * Lets a connection outlive its stream.
 *
 * Theory of operation. When the stream is lost, the connection is *suspended*. The client then logs in again over a
 * separate connection that the application never sees. Once the server has agreed, that connection hands its stream
 * over, and the suspended one continues with it. {@link ResumableStream} ensures that no byte is lost or duplicated.
 */

import type { Carrier, ResumableStream } from "../bytes/resumable-stream.ts";
import type { RuntimeContext } from "../context/runtime-context.ts";
import type { ConduitError } from "../errors.ts";
import { type CloseReason, streamEndReason } from "./close-reason.ts";
import type { ConnectionStateMachine } from "./connection-state.ts";
import type { OutgoingCalls } from "./outgoing-calls.ts";
import type { RequestReceiver } from "./receive/request-receiver.ts";
import { countLost } from "./send/lost-frames.ts";
import type { SendQueue } from "./send/send-queue.ts";

/** The connection that outlives its stream. */
export interface ResumptionHost {
  readonly context: RuntimeContext;
  readonly machine: ConnectionStateMachine;
  readonly isOver: boolean;
  readonly sendQueue: Pick<SendQueue, "queuedFrames">;
  /** Time when bytes last arrived, in monotonic milliseconds. */
  receivedAtMs: number;
  readonly requests: Pick<RequestReceiver<never>, "catchUp">;
  /** Removes and returns received bytes that aren't decoded yet. */
  takeUndecoded(): Uint8Array;
  /** Ends without notifying its listeners. */
  endSilently(): void;
  /** Notifies the connection's server or client, which may end the connection. */
  notifySuspended(reason: CloseReason): void;
  /** Applies changes made while suspended, after the state has become active. */
  becameActive(): void;
  readonly sender: { readonly calls: Pick<OutgoingCalls, "streamIsBack"> | null };
  destroy(error: ConduitError): void;
}

/** A stream over which a suspended connection continues. */
export interface HandedStream {
  readonly carrier: Carrier;
  /** Bytes received after the login. */
  readonly rest: Uint8Array;
}

export class ConnectionResumption {
  readonly stream: ResumableStream;
  readonly #host: ResumptionHost;

  constructor(host: ResumptionHost, stream: ResumableStream) {
    this.#host = host;
    this.stream = stream;
  }

  /** Whether the stream is lost and the connection waits for a new one. */
  get isSuspended(): boolean {
    return this.stream.isSuspended && !this.#host.isOver;
  }

  /** Number of sent messages, calls, replies and items that aren't fully acknowledged. */
  get unacknowledgedFrames(): number {
    return countLost(this.stream.sent.writes());
  }

  /** Number of frames that would be lost if the connection ended now, including unwritten ones; null unless suspended. */
  get lostFrames(): number | null {
    return this.isSuspended ? this.unacknowledgedFrames + this.#host.sendQueue.queuedFrames : null;
  }

  /** Handles the loss of the stream. Returns whether the connection is kept. */
  streamLost(error: Error | null): boolean {
    const host = this.#host;
    if (!host.machine.allows("cut")) return false;
    const reason = streamEndReason(error);
    host.machine.transition("cut", { code: reason.code, message: `Waiting to resume: ${reason.message}` });
    // A listener may have closed it.
    if (!host.isOver) host.notifySuspended(reason);
    return !host.isOver;
  }

  /** Hands the stream over to another connection. This one ends without notifying its listeners. */
  handOver(): HandedStream {
    const rest = this.#host.takeUndecoded();
    const carrier = this.stream.release();
    this.#host.endSilently();
    return { carrier, rest };
  }

  /**
   * Continues over the stream of a connection that has logged in for this purpose.
   * @param theirReceived number of bytes that the peer has received; must be plausible
   */
  resume({ carrier, rest }: HandedStream, theirReceived: number): void {
    const host = this.#host;
    const now = Math.ceil(host.context.runtime.now());
    host.requests.catchUp(host.receivedAtMs, now);
    host.receivedAtMs = now;
    host.machine.transition("restore", { message: "Resumed" });
    if (host.isOver) {
      // A listener has closed it, without a stream.
      carrier.stream.destroy(null);
      return;
    }
    this.stream.attach(carrier, theirReceived, rest);
    if (host.isOver) return;
    host.sender.calls?.streamIsBack();
    host.becameActive();
  }
}
