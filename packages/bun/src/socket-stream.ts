import {
  type Address,
  type ByteSink,
  type ByteStream,
  type ConduitError,
  type TlsInfo,
  WriteQueue,
} from "@netconduit/core/adapter";
import type { Role } from "./bun-error.ts";
import { lostError, streamError } from "./socket-error.ts";
import type { EventSocket, SocketEvents } from "./socket-events.ts";

/** What a {@link SocketStream} cannot ask its socket. */
export interface SocketFacts {
  readonly local: Address;
  readonly remote: Address;
  readonly tls: TlsInfo | null;
  /** Which side of the connection this is: the same TLS alert means another thing on each. */
  readonly role: Role;
  /** Bytes waiting in user space from which on `write` returns false. */
  readonly highWaterMark: number;
  /** Names the error when the peer ends or resets the connection before it has sent a single byte. */
  readonly silentEnd?: ((cause?: Error) => ConduitError) | undefined;
}

/**
 * - `open`: bytes flow both ways.
 * - `ending`: our FIN is sent, or follows once the queue is empty (`close()`, or the peer's FIN arrived); data may
 *   still come in.
 * - `destroyed`: nothing flows any more; `closed` may still be due.
 */
type State = "open" | "ending" | "destroyed";

/** A connected socket (TLS: handshake done) with `allowHalfOpen` as a {@link ByteStream}. */
export class SocketStream implements ByteStream, SocketEvents {
  readonly local: Address;
  readonly remote: Address;
  readonly tls: TlsInfo | null;
  readonly #socket: EventSocket;
  readonly #role: Role;
  /** What the socket has not taken: Bun keeps none of it. */
  readonly #queue: WriteQueue;
  #sink: ByteSink | null = null;
  #state: State = "open";
  /** `write` returned false and `drained()` has not been called since. */
  #owesDrained = false;
  #paused = false;
  /** What arrived before `open`, or in spite of `pause`: a reset delivers what the system still holds. */
  #held: Uint8Array[] = [];
  #silentEnd: ((cause?: Error) => ConduitError) | null;
  #error: Error | null = null;
  /** Our FIN is sent. */
  #finSent = false;
  /** Bun has closed the socket. */
  #gone = false;
  /** The stream is over; `closed` is called, or follows at once. */
  #over = false;
  #told = false;
  #closing: Promise<void> | null = null;
  #resolveClosing: (() => void) | null = null;

  /** Takes the socket over: from now on its events come here. */
  constructor(socket: EventSocket, facts: SocketFacts) {
    this.local = facts.local;
    this.remote = facts.remote;
    this.tls = facts.tls;
    this.#role = facts.role;
    this.#queue = new WriteQueue(facts.highWaterMark);
    this.#silentEnd = facts.silentEnd ?? null;
    this.#socket = socket;
    socket.data = this;
    if (facts.local.kind === "tcp") socket.setNoDelay(true);
  }

  get queuedBytes(): number {
    return this.#queue.queuedBytes;
  }

  open(sink: ByteSink): void {
    this.#sink = sink;
    if (this.#over) queueMicrotask(() => this.#tell());
    else if (this.#held.length > 0) queueMicrotask(() => this.#release());
  }

  write(bytes: Uint8Array): boolean {
    if (this.#state !== "open") return false;
    const queue = this.#queue;
    let rest = bytes;
    if (queue.isEmpty && bytes.length > 0) {
      const taken = this.#socket.write(bytes as Uint8Array<ArrayBuffer>);
      if (taken === bytes.length) return true;
      // Negative: the socket is closed, and `gone` is about to say so.
      if (taken > 0) rest = bytes.subarray(taken);
    }
    queue.push(rest);
    if (!queue.isFull) return true;
    this.#owesDrained = true;
    return false;
  }

  pause(): void {
    if (this.#paused) return;
    this.#paused = true;
    if (this.#state !== "destroyed") this.#socket.pause();
  }

  resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    if (this.#held.length > 0) queueMicrotask(() => this.#release());
    else if (this.#state !== "destroyed") this.#socket.resume();
  }

  close(): Promise<void> {
    this.#silentEnd = null;
    this.#end();
    this.#closing ??=
      this.#told || (this.#over && this.#sink === null)
        ? Promise.resolve()
        : new Promise((resolve) => {
            this.#resolveClosing = resolve;
          });
    return this.#closing;
  }

  destroy(reason: Error | null): void {
    if (this.#state === "destroyed") return;
    // A stream that is cut off must not pass for a complete one, and the system need not go on delivering what we
    // discard. `close` would wait on TLS for a peer that does not read.
    const cut = (reason !== null && this.#state === "open") || !this.#queue.isEmpty;
    this.#state = "destroyed";
    this.#error ??= reason;
    this.#discard();
    if (cut) this.#socket.terminate();
    else this.#socket.close();
    this.#finish();
  }

  opened(): void {
    // It was, before it came here.
  }

  secured(): void {
    // It was, before it came here.
  }

  received(chunk: Uint8Array): void {
    if (this.#state === "destroyed") return;
    this.#silentEnd = null;
    if (this.#sink !== null && !this.#paused && this.#held.length === 0) {
      this.#sink.data(chunk);
      return;
    }
    // The first chunk that nobody takes stops the socket, so that there will be few of them.
    this.#held.push(chunk);
    this.#socket.pause();
  }

  writable(): void {
    const queue = this.#queue;
    for (let next = queue.peek(); next !== null; next = queue.peek()) {
      const taken = this.#socket.write(next as Uint8Array<ArrayBuffer>);
      if (taken > 0) queue.consume(taken);
      if (taken < next.length) return;
    }
    if (this.#state === "ending") {
      this.#shutDown();
    } else if (this.#state === "open" && this.#owesDrained) {
      this.#owesDrained = false;
      this.#sink?.drained();
    }
  }

  /** The peer sent FIN. There is no half-close: what is written is flushed, and our side ends as well. */
  ended(): void {
    if (this.#state === "destroyed") return;
    if (this.#silentEnd !== null) this.#error ??= this.#silentEnd();
    this.#end();
  }

  failed(cause: Error): void {
    if (this.#state === "destroyed") return;
    this.#error ??= streamError(cause, this.remote, this.#role, this.#silentEnd);
    this.#state = "destroyed";
    this.#discard();
    this.#socket.terminate();
    this.#finish();
  }

  gone(cause: Error | undefined): void {
    this.#gone = true;
    if (this.#state === "destroyed") return;
    if (cause !== undefined) this.#error ??= streamError(cause, this.remote, this.#role, this.#silentEnd);
    // Closed although neither side said so, or with bytes left over: never reported as a clean end.
    else if (!this.#finSent) this.#error ??= lostError(this.remote);
    // An orderly end waits until the data before it has been taken.
    else if (this.#held.length > 0) return;
    this.#state = "destroyed";
    this.#discard();
    this.#finish();
  }

  #end(): void {
    if (this.#state !== "open") return;
    this.#state = "ending";
    if (this.#queue.isEmpty) this.#shutDown();
  }

  #shutDown(): void {
    if (this.#finSent) return;
    this.#finSent = true;
    // Not `end`: that closes the socket at once, and what the peer still sends makes the system discard our bytes.
    this.#socket.shutdown();
  }

  /** Hands over what was held back, in order, and lets the rest come. */
  #release(): void {
    for (;;) {
      if (this.#state === "destroyed" || this.#paused || this.#sink === null) return;
      const chunk = this.#held.shift();
      if (chunk === undefined) break;
      this.#sink.data(chunk);
    }
    if (this.#gone) this.gone(undefined);
    else this.#socket.resume();
  }

  #discard(): void {
    this.#queue.clear();
    this.#held = [];
  }

  /** Never within the call that ends the stream, be it ours or the socket's. */
  #finish(): void {
    this.#over = true;
    queueMicrotask(() => this.#tell());
  }

  #tell(): void {
    if (this.#told) return;
    if (this.#sink !== null) {
      this.#told = true;
      this.#sink.closed(this.#error);
    }
    this.#resolveClosing?.();
  }
}
