import { SocketStreamBase } from "./socket-stream-base.ts";

/** A stream whose socket asks before each read where to read to. */
export abstract class SharedReadStream extends SocketStreamBase {
  /** The next read goes where the sink wants it. */
  #isLanding = false;

  /** The socket has read. */
  hasRead(count: number, shared: SharedBuffer): void {
    if (this.#isLanding) this.landed(count);
    else this.received(shared.first(count));
  }

  /** Where the next read goes: `shared`, or where the sink wants it; null: where the last one went. */
  nextBuffer(shared: Uint8Array): Uint8Array | null {
    const landing = this.landing();
    const wasLanding = this.#isLanding;
    this.#isLanding = landing !== null;
    return landing ?? (wasLanding ? shared : null);
  }
}

/** What sockets read into. */
class SharedBuffer {
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

/** How a socket reads, as the option `onread` of `node:net` has it. */
export interface ReadOptions {
  buffer(): Uint8Array;
  callback(this: unknown, count: number): boolean;
}

/**
 * Has all sockets of a runtime read into one buffer, which saves each read its allocation, or where their streams say.
 * The same functions serve all of them.
 */
export class SharedReads {
  /** By size; there are as many as there are values of the option `bufferSize`. */
  readonly #known = new Map<number, ReadOptions>();
  readonly #streamOf: (socket: unknown) => SharedReadStream | null;
  /** Whose callback has just returned: right behind it the next buffer is asked for, without naming the socket. */
  #reader: SharedReadStream | null = null;

  /** False: a read of this system keeps its buffer while it waits, so that none can be shared. */
  readonly isPossible: boolean;

  /** @param streamOf the stream of a socket; null: none yet, and what is read is thrown away */
  constructor(isPossible: boolean, streamOf: (socket: unknown) => SharedReadStream | null) {
    this.isPossible = isPossible;
    this.#streamOf = streamOf;
  }

  /** For sockets that read `bufferSize` bytes at a time; empty if it is not possible. */
  options(bufferSize: number): { onread?: ReadOptions } {
    if (!this.isPossible) return {};
    const onread = this.#known.get(bufferSize) ?? this.#make(new SharedBuffer(bufferSize));
    this.#known.set(bufferSize, onread);
    return { onread };
  }

  #make(shared: SharedBuffer): ReadOptions {
    const reads = this;
    return {
      buffer() {
        const stream = reads.#reader;
        reads.#reader = null;
        // A socket's first buffer has to be one; later, what is none is taken for "the same again".
        return stream === null ? shared.bytes : (stream.nextBuffer(shared.bytes) as Uint8Array);
      },
      // Called as a method of the socket.
      callback(count) {
        const stream = reads.#streamOf(this);
        stream?.hasRead(count, shared);
        reads.#reader = stream;
        return true;
      },
    };
  }
}
