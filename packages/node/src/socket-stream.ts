import type { Socket } from "node:net";
import { SocketStreamBase, type StreamFacts } from "@netconduit/core/adapter";
import { errors } from "./node-error.ts";

export const STREAM: unique symbol = Symbol("netconduit");

/** A socket with its stream. The same five listeners serve all sockets: five closures each would take 400 bytes. */
export type StreamedSocket = Socket & { readonly [STREAM]: SocketStream };

function onError(this: StreamedSocket, cause: Error): void {
  this[STREAM].broke(cause);
}

function onEnd(this: StreamedSocket): void {
  this[STREAM].ended();
}

function onDrain(this: StreamedSocket): void {
  this[STREAM].drained();
}

function onClose(this: StreamedSocket): void {
  this[STREAM].closed();
}

function onData(this: StreamedSocket, chunk: Buffer): void {
  this[STREAM].received(chunk);
}

/** A connected `net.Socket` or `tls.TLSSocket` (handshake done) as a byte stream. */
export class SocketStream extends SocketStreamBase {
  readonly #socket: Socket;
  readonly #highWaterMark: number;
  /** Data comes by the option `onread`, not by the "data" event. */
  readonly #isFed: boolean;
  #listening = false;
  /** The next read goes where the sink wants it. */
  #landing = false;

  constructor(socket: Socket, facts: StreamFacts, options: { readonly isFed: boolean } = { isFed: false }) {
    super(facts, errors);
    this.#socket = socket;
    this.#isFed = options.isFed;
    // Node decides by its own mark whether it will emit "drain", so a lower one of ours would never be drained.
    this.#highWaterMark = Math.max(facts.highWaterMark, socket.writableHighWaterMark);
    socket.setNoDelay(true);
    const own = Object.assign(socket, { [STREAM]: this });
    // Attached from the first moment and never removed: an "error" event without a listener ends the process.
    own.on("error", onError).on("end", onEnd).on("drain", onDrain).on("close", onClose);
  }

  get queuedBytes(): number {
    return this.state === "destroyed" ? 0 : this.#socket.writableLength;
  }

  write(bytes: Uint8Array): boolean {
    if (this.state !== "open") return false;
    const socket = this.#socket;
    socket.write(bytes);
    // Not the boolean of `socket.write`: that is false for every large write, even if the kernel took all of it.
    return socket.writableLength < this.#highWaterMark && !socket.destroyed ? true : this.mustWait();
  }

  protected startReading(): void {
    if (this.#listening || this.#isFed) {
      this.#socket.resume();
      return;
    }
    this.#listening = true;
    // Node's Buffer goes on as it is, without a copy or a wrapper: a Buffer is a Uint8Array, and libuv hands each
    // one over for good. Whoever slices it uses `subarray`, which means the same on both.
    this.#socket.on("data", onData as (chunk: Buffer) => void);
  }

  // Before it is listened to, the socket is left alone: set flowing, it would throw its data away.
  protected stopReading(): void {
    if (this.#listening || this.#isFed) this.#socket.pause();
  }

  protected shutDown(): void {
    this.#socket.end();
  }

  // The "close" event follows.
  protected discard(reset: boolean): void {
    // Neither TLS nor Unix sockets can reset, nor one that is shutting down.
    const canReset = !this.#socket.destroyed && this.local.kind === "tcp" && this.tls === null;
    if (reset && canReset) this.#socket.resetAndDestroy();
    else this.#socket.destroy();
  }

  /** The socket has read, by the option `onread`. */
  hasRead(count: number, buffer: Uint8Array): void {
    if (this.#landing) this.landed(count);
    else this.received(buffer.subarray(0, count));
  }

  /** Where the next read goes: `shared`, or where the sink wants it; null: where the last one went. */
  nextBuffer(shared: Uint8Array): Uint8Array | null {
    const landing = this.landing();
    const wasLanding = this.#landing;
    this.#landing = landing !== null;
    return landing ?? (wasLanding ? shared : null);
  }

  /** The socket's "error" event. */
  broke(cause: Error): void {
    // After our own `destroy` only a failed reset comes here, and that is the one case without a "close" event.
    if (this.state === "destroyed") this.finish();
    else this.failed(cause);
  }

  /** The socket's "close" event. */
  closed(): void {
    if (this.state === "open") this.lost();
    this.finish();
  }
}
