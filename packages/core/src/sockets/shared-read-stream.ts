import { SocketStreamBase } from "./socket-stream-base.ts";

/** A stream whose socket asks before each read where to read to. */
export abstract class SharedReadStream extends SocketStreamBase {
  /** The next read goes where the sink wants it. */
  #isLanding = false;

  /** The socket has read. */
  hasRead(count: number, shared: SharedBuffer): void {
    if (this.#isLanding) this.bytesRead(count);
    else this.received(shared.first(count));
  }

  /** Where the next read goes: `shared`, or where the sink wants it; null: where the last one went. */
  nextBuffer(shared: Uint8Array): Uint8Array | null {
    const readTarget = this.readTarget();
    const wasLanding = this.#isLanding;
    this.#isLanding = readTarget !== null;
    return readTarget ?? (wasLanding ? shared : null);
  }
}

/** What streams read into whose sinks do not mind where. */
export class SharedBuffer {
  readonly bytes: Uint8Array;
  /** Sockets in the same use read the same number of bytes time and again, and no chunk is kept. */
  #chunk: Uint8Array;

  constructor(size: number) {
    this.bytes = new Uint8Array(size);
    this.#chunk = this.bytes;
  }

  /** The first `count` bytes; the same array as the last time if it was as many. */
  first(count: number): Uint8Array {
    if (this.#chunk.length !== count) this.#chunk = this.bytes.subarray(0, count);
    return this.#chunk;
  }
}
