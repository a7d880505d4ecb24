/**
 * Lets a connection outlive its stream.
 *
 * Theory of operation. When the stream is lost, the connection is *suspended*. A client then logs in anew, by a connection
 * of its own that the application never sees. Once the server has agreed, that connection hands its stream over, and the
 * suspended one goes on with it. {@link ResumableStream} sees to it that no byte is lost or comes twice.
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
  /** Removes and returns bytes that have arrived and aren't decoded. */
  takeUndecoded(): Uint8Array;
  /** Ends without telling its listeners. */
  endUnheard(): void;
  /** Tells the connection's server or client, which may end the connection. */
  notifySuspended(reason: CloseReason): void;
  /** Applies changes made while suspended, after the state has become active. */
  becameActive(): void;
  readonly sender: { readonly calls: Pick<OutgoingCalls, "streamIsBack"> | null };
  destroy(error: ConduitError): void;
}

/** A stream that a suspended connection goes on with. */
export interface HandedStream {
  readonly carrier: Carrier;
  /** Bytes that have arrived behind the login. */
  readonly rest: Uint8Array;
}

export class ConnectionResumption {
  readonly stream: ResumableStream;
  readonly #host: ResumptionHost;

  constructor(host: ResumptionHost, stream: ResumableStream) {
    this.#host = host;
    this.stream = stream;
  }

  /** Whether the stream is lost, and the connection waits for another. */
  get isSuspended(): boolean {
    return this.stream.isSuspended && !this.#host.isOver;
  }

  /** Messages, calls, replies and items that have been sent and aren't acknowledged completely. */
  get unacknowledgedFrames(): number {
    return countLost(this.stream.sent.writes());
  }

  /** Frames that are lost if the connection ends now, unwritten ones included; null unless suspended. */
  get lostFrames(): number | null {
    return this.isSuspended ? this.unacknowledgedFrames + this.#host.sendQueue.queuedFrames : null;
  }

  /** The stream was lost. Returns whether the connection is kept. */
  streamLost(error: Error | null): boolean {
    const host = this.#host;
    if (!host.machine.allows("cut")) return false;
    const reason = streamEndReason(error);
    host.machine.transition("cut", { code: reason.code, message: `Waiting to resume: ${reason.message}` });
    // A listener may have closed it.
    if (!host.isOver) host.notifySuspended(reason);
    return !host.isOver;
  }

  /** Gives the stream to another connection. This one ends without telling its listeners. */
  handOver(): HandedStream {
    const rest = this.#host.takeUndecoded();
    const carrier = this.stream.release();
    this.#host.endUnheard();
    return { carrier, rest };
  }

  /**
   * Goes on over the stream of a connection that has logged in for this.
   * @param theirReceived bytes that the peer has received; must be possible
   */
  goOn({ carrier, rest }: HandedStream, theirReceived: number): void {
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
