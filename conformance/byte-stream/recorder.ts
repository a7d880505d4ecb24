import type { ByteSink, ByteStream } from "@netconduit/core/adapter";

/** A prime, so that a lost or swapped chunk shifts the pattern. */
const PERIOD = 251;

/** Fills `target` with the pattern, starting at `offset` of the stream. */
export function fillPattern(target: Uint8Array, offset: number): Uint8Array {
  for (let i = 0; i < target.length; i++) target[i] = (offset + i) % PERIOD;
  return target;
}

/** A sink that records its calls and resolves promises for them. */
export class Recorder implements ByteSink {
  opened = false;
  /** All chunks; empty if the pattern is verified instead. */
  readonly chunks: Uint8Array[] = [];
  total = 0;
  drains = 0;
  readonly closedCalls: (Error | null)[] = [];
  readonly callsAfterClosed: string[] = [];
  /** Offset of the first byte that doesn't match the pattern, or -1. */
  firstMismatch = -1;
  onData: (() => void) | null = null;
  readonly whenClosed: Promise<void>;
  #resolveClosed: () => void = () => {};
  #verifies = false;
  #landing: Uint8Array | null = null;
  #waiting: { readonly met: () => boolean; readonly resolve: () => void }[] = [];

  constructor() {
    this.whenClosed = new Promise((resolve) => {
      this.#resolveClosed = resolve;
    });
  }

  open(stream: ByteStream): void {
    this.opened = true;
    stream.open(this);
  }

  /** Compares further chunks with the pattern instead of keeping them. */
  verifyPattern(): void {
    this.#verifies = true;
  }

  /** Requests the next bytes in `target`, until it is full. */
  landIn(target: Uint8Array): void {
    this.#landing = target;
  }

  readTarget(): Uint8Array | null {
    return this.#landing;
  }

  bytesRead(count: number): void {
    const target = this.#landing as Uint8Array;
    this.#landing = count < target.length ? target.subarray(count) : null;
    this.data(target.subarray(0, count));
  }

  bytes(): Uint8Array {
    const all = new Uint8Array(this.total);
    let offset = 0;
    for (const chunk of this.chunks) {
      all.set(chunk, offset);
      offset += chunk.length;
    }
    return all;
  }

  /** Resolves when `count` bytes have arrived; rejects if the stream closes first. */
  received(count: number): Promise<void> {
    return this.#until(() => this.total >= count, `${count} bytes`);
  }

  drainedTimes(count: number): Promise<void> {
    return this.#until(() => this.drains >= count, `${count} times drained`);
  }

  data(chunk: Uint8Array): void {
    if (this.closedCalls.length > 0) this.callsAfterClosed.push("data");
    if (this.#verifies) this.#verify(chunk);
    else this.chunks.push(chunk.slice());
    this.total += chunk.length;
    this.onData?.();
    this.#wake();
  }

  drained(): void {
    if (this.closedCalls.length > 0) this.callsAfterClosed.push("drained");
    this.drains++;
    this.#wake();
  }

  closed(error: Error | null): void {
    this.closedCalls.push(error);
    this.#wake();
    this.#resolveClosed();
  }

  #verify(chunk: Uint8Array): void {
    if (this.firstMismatch >= 0) return;
    let expected = this.total % PERIOD;
    for (let i = 0; i < chunk.length; i++) {
      if (chunk[i] !== expected) {
        this.firstMismatch = this.total + i;
        return;
      }
      if (++expected === PERIOD) expected = 0;
    }
  }

  async #until(met: () => boolean, what: string): Promise<void> {
    if (!met()) await new Promise<void>((resolve) => this.#waiting.push({ met, resolve }));
    if (met()) return;
    const [error] = this.closedCalls;
    throw new Error(`The stream closed before ${what}: ${this.total} bytes, drained ${this.drains} times`, {
      cause: error,
    });
  }

  #wake(): void {
    const over = this.closedCalls.length > 0;
    this.#waiting = this.#waiting.filter(({ met, resolve }) => {
      if (!over && !met()) return true;
      resolve();
      return false;
    });
  }
}

/**
 * Writes `total` bytes of the pattern in chunks, and waits for `drained` whenever `write` returns false.
 * @returns the maximum number of bytes that were queued at any time
 */
export async function sendPattern(
  stream: ByteStream,
  recorder: Recorder,
  total: number,
  chunkBytes: number,
): Promise<number> {
  let mostQueued = 0;
  // The pattern repeats, so each chunk is a window into one buffer.
  const pattern = fillPattern(new Uint8Array(chunkBytes + PERIOD), 0);
  for (let sent = 0; sent < total; ) {
    const start = sent % PERIOD;
    const size = Math.min(chunkBytes, total - sent);
    const drains = recorder.drains;
    const ready = stream.write(pattern.subarray(start, start + size));
    sent += size;
    mostQueued = Math.max(mostQueued, stream.queuedBytes);
    if (!ready) await recorder.drainedTimes(drains + 1);
  }
  return mostQueued;
}
