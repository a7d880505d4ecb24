import type { Socket } from "node:net";
import type { Address, ByteSink, ByteStream, ConduitError, TlsInfo } from "@netconduit/core/adapter";
import type { Role } from "./node-error.ts";
import { lostError, streamError } from "./socket-error.ts";

/** What a {@link SocketStream} cannot ask its socket. */
export interface SocketFacts {
  readonly local: Address;
  readonly remote: Address;
  readonly tls: TlsInfo | null;
  /** Which side of the connection this is: the same TLS alert means another thing on each. */
  readonly role: Role;
  /** Bytes waiting in user space beyond which `write` returns false. At least the socket's own mark. */
  readonly highWaterMark: number;
  /** Names the error when the peer ends or resets the connection before it has sent a single byte. */
  readonly silentEnd?: ((cause?: Error) => ConduitError) | undefined;
}

/**
 * - `open`: bytes flow both ways.
 * - `ending`: our FIN is sent or queued (`close()`, or the peer's FIN arrived); data may still come in.
 * - `destroyed`: nothing flows any more; the socket's `close` event may still be due.
 */
type State = "open" | "ending" | "destroyed";

/** A connected `net.Socket` or `tls.TLSSocket` (handshake done) as a {@link ByteStream}. */
export class SocketStream implements ByteStream {
  readonly local: Address;
  readonly remote: Address;
  readonly tls: TlsInfo | null;
  readonly #socket: Socket;
  readonly #role: Role;
  readonly #highWaterMark: number;
  #sink: ByteSink | null = null;
  #state: State = "open";
  /** `write` returned false and `drained()` has not been called since. */
  #owesDrained = false;
  #paused = false;
  #silentEnd: ((cause?: Error) => ConduitError) | null;
  #error: Error | null = null;
  /** The socket's `close` event has come. */
  #over = false;
  #closing: Promise<void> | null = null;
  #resolveClosing: (() => void) | null = null;

  constructor(socket: Socket, facts: SocketFacts) {
    this.local = facts.local;
    this.remote = facts.remote;
    this.tls = facts.tls;
    this.#role = facts.role;
    this.#socket = socket;
    // Node decides by its own mark whether it will emit "drain", so a lower one of ours would never be drained.
    this.#highWaterMark = Math.max(facts.highWaterMark, socket.writableHighWaterMark);
    this.#silentEnd = facts.silentEnd ?? null;
    socket.setNoDelay(true);
    // Attached from the first moment and never removed: an "error" event without a listener ends the process.
    socket.on("error", (error) => this.#failed(error));
    socket.on("end", () => this.#ended());
    socket.on("drain", () => this.#drained());
    socket.on("close", () => this.#closed());
  }

  get queuedBytes(): number {
    return this.#state === "destroyed" ? 0 : this.#socket.writableLength;
  }

  open(sink: ByteSink): void {
    this.#sink = sink;
    if (this.#over) {
      process.nextTick(() => sink.closed(this.#error));
      return;
    }
    if (this.#silentEnd !== null) {
      this.#socket.once("data", () => {
        this.#silentEnd = null;
      });
    }
    if (this.#paused) this.#socket.pause();
    // Node's Buffer goes on as it is, without a copy or a wrapper: a Buffer is a Uint8Array, and libuv hands each
    // one over for good. Whoever slices it uses `subarray`, which means the same on both.
    this.#socket.on("data", (chunk: Buffer) => {
      if (this.#state !== "destroyed") sink.data(chunk);
    });
  }

  write(bytes: Uint8Array): boolean {
    if (this.#state !== "open") return false;
    const socket = this.#socket;
    socket.write(bytes);
    // Not the boolean of `socket.write`: that is false for every large write, even if the kernel took all of it.
    if (socket.writableLength < this.#highWaterMark && !socket.destroyed) return true;
    this.#owesDrained = true;
    return false;
  }

  // Before `open` the socket is left alone: set flowing without a listener, it would throw its data away.
  pause(): void {
    this.#paused = true;
    if (this.#sink !== null) this.#socket.pause();
  }

  resume(): void {
    this.#paused = false;
    if (this.#sink !== null) this.#socket.resume();
  }

  close(): Promise<void> {
    this.#silentEnd = null;
    this.#end();
    this.#closing ??= this.#over
      ? Promise.resolve()
      : new Promise((resolve) => {
          this.#resolveClosing = resolve;
        });
    return this.#closing;
  }

  destroy(reason: Error | null): void {
    if (this.#state === "destroyed") return;
    const wasOpen = this.#state === "open";
    this.#state = "destroyed";
    this.#error ??= reason;
    // With a reason, the peer is told by a reset: a FIN would pass a cut-off stream for a complete one, and leave
    // the kernel trying to deliver what we discard. Neither TLS nor Unix sockets can, nor one that is shutting down.
    const canReset = wasOpen && !this.#socket.destroyed && this.local.kind === "tcp" && this.tls === null;
    if (reason !== null && canReset) this.#socket.resetAndDestroy();
    else this.#socket.destroy();
  }

  /** The peer sent FIN. There is no half-close: what is written is flushed, and our side ends as well. */
  #ended(): void {
    if (this.#silentEnd !== null) this.#error ??= this.#silentEnd();
    this.#end();
  }

  #end(): void {
    if (this.#state !== "open") return;
    this.#state = "ending";
    this.#socket.end();
  }

  #failed(cause: Error): void {
    // After our own `destroy` only a failed reset comes here, and that is the one case without a "close" event.
    if (this.#state === "destroyed") process.nextTick(() => this.#closed());
    this.#state = "destroyed";
    this.#error ??= streamError(cause, this.remote, this.#role, this.#silentEnd);
    this.#socket.destroy();
  }

  #drained(): void {
    if (!this.#owesDrained || this.#state !== "open") return;
    this.#owesDrained = false;
    this.#sink?.drained();
  }

  #closed(): void {
    if (this.#over) return;
    this.#over = true;
    // Closed although neither side said so: never reported as a clean end.
    if (this.#state === "open") this.#error ??= lostError(this.remote);
    this.#state = "destroyed";
    this.#sink?.closed(this.#error);
    this.#resolveClosing?.();
  }
}
