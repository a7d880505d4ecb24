import { ConduitError, ErrorCode } from "../errors.ts";
import { DEFAULT_BUFFER_SIZE } from "../limits.ts";
import type { Address, ByteSink, ByteStream } from "./byte-stream.ts";

/** Options of {@link memoryPair}. */
export interface MemoryPairOptions {
  /** Undelivered bytes from which `write` returns false. Default 65,536. */
  readonly highWaterMark?: number;
  /** Maximum bytes per delivered chunk; 1 delivers byte by byte. Default: chunks as written. */
  readonly maxChunkBytes?: number;
  /** Runs a task later, in order. Every delivery is one task. Default: a microtask. */
  readonly schedule?: (task: () => void) => void;
  /** Called with all bytes when they are written, by the first or the second stream. They must not change. */
  readonly written?: ((by: 0 | 1, bytes: Uint8Array) => void) | undefined;
}

/**
 * Creates two connected in-memory byte streams, for tests and for a client and server in one process. They follow the
 * contract of sockets, and are strict where sockets vary: `destroy` always reaches the peer as CONNECTION_RESET and
 * discards everything in transit.
 */
export function memoryPair(options: MemoryPairOptions = {}): [ByteStream, ByteStream] {
  const { written } = options;
  const a = new MemoryStream("a", "b", options, (bytes) => written?.(0, bytes));
  const b = new MemoryStream("b", "a", options, (bytes) => written?.(1, bytes));
  a.join(b);
  b.join(a);
  return [a, b];
}

const settled: Promise<void> = Promise.resolve();

function inMicrotask(task: () => void): void {
  void settled.then(task);
}

/** `ending`: our FIN is queued after the written bytes. */
type State = "open" | "ending" | "closed";

class MemoryStream implements ByteStream {
  readonly local: Address;
  readonly remote: Address;
  readonly tls = null;
  readonly #name: string;
  readonly #highWaterMark: number;
  readonly #maxChunkBytes: number;
  readonly #schedule: (task: () => void) => void;
  readonly #written: (bytes: Uint8Array) => void;
  /** Set by `join` before the stream is exposed. */
  #peer: MemoryStream = this;
  #sink: ByteSink | null = null;
  #state: State = "open";
  #paused = false;
  #error: Error | null = null;
  /** Written bytes not yet delivered to the peer. */
  #outgoing: Uint8Array[] = [];
  #queuedBytes = 0;
  #owesDrained = false;
  #finReceived = false;
  #deliveryScheduled = false;
  #closing: Promise<void> | null = null;
  #resolveClosing: (() => void) | null = null;

  constructor(name: string, peerName: string, options: MemoryPairOptions, written: (bytes: Uint8Array) => void) {
    this.#name = name;
    this.local = { kind: "memory", name };
    this.remote = { kind: "memory", name: peerName };
    this.#highWaterMark = options.highWaterMark ?? DEFAULT_BUFFER_SIZE;
    this.#maxChunkBytes = options.maxChunkBytes ?? Number.POSITIVE_INFINITY;
    this.#schedule = options.schedule ?? inMicrotask;
    this.#written = written;
  }

  join(peer: MemoryStream): void {
    this.#peer = peer;
  }

  get queuedBytes(): number {
    return this.#queuedBytes;
  }

  open(sink: ByteSink): void {
    this.#sink = sink;
    if (this.#state === "closed") this.#schedule(() => sink.closed(this.#error));
    else this.#scheduleDelivery();
  }

  write(bytes: Uint8Array): boolean {
    if (this.#state !== "open") return false;
    if (bytes.length > 0) {
      this.#written(bytes);
      this.#outgoing.push(bytes);
      this.#queuedBytes += bytes.length;
      this.#peer.#scheduleDelivery();
    }
    if (this.#queuedBytes < this.#highWaterMark) return true;
    this.#owesDrained = true;
    return false;
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    this.#paused = false;
    this.#scheduleDelivery();
  }

  close(): Promise<void> {
    this.#end();
    this.#closing ??=
      this.#state === "closed"
        ? settled
        : new Promise((resolve) => {
            this.#resolveClosing = resolve;
          });
    return this.#closing;
  }

  destroy(reason: Error | null): void {
    if (this.#state === "closed") return;
    this.#finish(reason);
    this.#peer.#finish(
      new ConduitError(ErrorCode.CONNECTION_RESET, `Connection to memory stream "${this.#name}" was reset by the peer`),
    );
  }

  #end(): void {
    if (this.#state !== "open") return;
    this.#state = "ending";
    this.#peer.#scheduleDelivery();
  }

  #scheduleDelivery(): void {
    if (this.#deliveryScheduled) return;
    this.#deliveryScheduled = true;
    this.#schedule(this.#deliver);
  }

  /** Delivers one chunk or the FIN, then yields to other tasks. */
  readonly #deliver = (): void => {
    this.#deliveryScheduled = false;
    const sink = this.#sink;
    const peer = this.#peer;
    if (sink === null || this.#paused || this.#state === "closed") return;
    const next = peer.#outgoing[0];
    if (next !== undefined) {
      // Copy, as a kernel does: the writer may pass the same bytes to other streams.
      const chunk = next.slice(0, Math.min(next.length, this.#maxChunkBytes));
      if (chunk.length === next.length) peer.#outgoing.shift();
      else peer.#outgoing[0] = next.subarray(chunk.length);
      peer.#queuedBytes -= chunk.length;
      this.#scheduleDelivery();
      sink.data(chunk);
      // Overwrite it, as the next read would, to expose code that keeps the chunk without copying.
      chunk.fill(0xee);
      peer.#drain();
    } else if (peer.#state === "ending" && !this.#finReceived) {
      this.#finReceived = true;
      // No half-close: flush, and end this side too.
      this.#end();
      if (!peer.#finReceived) return;
      this.#finish(null);
      peer.#finish(null);
    }
  };

  #drain(): void {
    if (!this.#owesDrained || this.#queuedBytes > 0 || this.#state !== "open") return;
    this.#owesDrained = false;
    this.#sink?.drained();
  }

  #finish(error: Error | null): void {
    if (this.#state === "closed") return;
    this.#state = "closed";
    this.#error = error;
    this.#outgoing = [];
    this.#queuedBytes = 0;
    const sink = this.#sink;
    this.#schedule(() => {
      sink?.closed(error);
      this.#resolveClosing?.();
    });
  }
}
