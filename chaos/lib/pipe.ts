import type { Socket } from "node:net";

/** Bytes that a pipe queues before it stops reading. */
const MAX_WAITING_BYTES = 256 * 1024;

interface Waiting {
  readonly atMs: number;
  /** Null for the end of the stream. */
  readonly bytes: Buffer | null;
}

/** One direction of a connection: forwards bytes in order, with a delay and at a limited rate. */
export class Pipe {
  readonly #from: Socket;
  readonly #to: Socket;
  readonly #delayMs: number;
  readonly #rate: number;
  readonly #queue: Waiting[] = [];
  #queuedBytes = 0;
  #timer: NodeJS.Timeout | null = null;
  #freeAtMs = 0;
  #isHeld = false;

  constructor(from: Socket, to: Socket, delayMs: number, rate: number) {
    this.#from = from;
    this.#to = to;
    this.#delayMs = delayMs;
    this.#rate = rate;
    to.on("drain", () => this.#regulate());
  }

  /** Queues bytes to forward; null for the end of the stream. */
  push(bytes: Buffer | null): void {
    const now = performance.now();
    const length = bytes?.length ?? 0;
    const atMs = Math.max(now + this.#delayMs, this.#freeAtMs) + (length / this.#rate) * 1000;
    this.#freeAtMs = atMs;
    this.#queue.push({ atMs, bytes });
    this.#queuedBytes += length;
    this.#pump();
  }

  /** Holds bytes back until `release`. */
  hold(): void {
    this.#isHeld = true;
  }

  release(): void {
    this.#isHeld = false;
    this.#pump();
  }

  /** Discards queued bytes. */
  drop(): void {
    clearTimeout(this.#timer ?? undefined);
    this.#timer = null;
    this.#queue.length = 0;
    this.#queuedBytes = 0;
  }

  #pump(): void {
    if (this.#timer !== null || this.#isHeld) return;
    for (;;) {
      const [next] = this.#queue;
      if (next === undefined) break;
      const waitMs = next.atMs - performance.now();
      if (waitMs > 0) {
        this.#timer = setTimeout(() => {
          this.#timer = null;
          this.#pump();
        }, waitMs);
        break;
      }
      this.#queue.shift();
      this.#queuedBytes -= next.bytes?.length ?? 0;
      if (next.bytes === null) this.#to.end();
      else this.#to.write(next.bytes);
    }
    this.#regulate();
  }

  #regulate(): void {
    const isFull = this.#queuedBytes + this.#to.writableLength > MAX_WAITING_BYTES;
    if (isFull) this.#from.pause();
    else if (this.#from.isPaused()) this.#from.resume();
  }
}
