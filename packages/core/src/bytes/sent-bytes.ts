const FIRST_SEGMENT_BYTES = 1024;
/**
 * Size of a segment that holds several writes. The last write is often an acknowledgement, which the peer doesn't
 * acknowledge, so stays while nothing is sent. With 64 KiB a write of 3 KB takes 0.6 us instead of 1.1.
 */
const MAX_SEGMENT_BYTES: number = 8 * 1024;

interface Segment {
  readonly bytes: Uint8Array;
  /** Position in the stream of its first byte. */
  readonly from: number;
  /** Bytes in use. */
  length: number;
}

/**
 * Bytes that were sent and the peer hasn't acknowledged, to send them again. Positions count the bytes of a stream from its
 * beginning. Every `append` is kept in one piece, so segments begin where a write began.
 */
export class SentBytes {
  #segments: Segment[] = [];
  #acknowledged = 0;
  #end = 0;
  #capacity = 0;

  /** Bytes that the peer has acknowledged. */
  get acknowledged(): number {
    return this.#acknowledged;
  }

  /** Bytes appended so far. */
  get end(): number {
    return this.#end;
  }

  /** Bytes kept. */
  get length(): number {
    return this.#end - this.#acknowledged;
  }

  /** Bytes of memory that keeping them takes. */
  get capacity(): number {
    return this.#capacity;
  }

  /** Copies the bytes. Returns the copy, which never changes. */
  append(bytes: Uint8Array): Uint8Array {
    const { length } = bytes;
    let last = this.#segments.at(-1);
    if (last === undefined || last.bytes.length - last.length < length) {
      const usual = last === undefined ? FIRST_SEGMENT_BYTES : Math.min(2 * last.bytes.length, MAX_SEGMENT_BYTES);
      last = { bytes: new Uint8Array(Math.max(usual, length)), from: this.#end, length: 0 };
      this.#segments.push(last);
      this.#capacity += last.bytes.length;
    }
    const copy = last.bytes.subarray(last.length, last.length + length);
    copy.set(bytes);
    last.length += length;
    this.#end += length;
    return copy;
  }

  /** Whether the peer may have received exactly so many bytes. */
  isPossible(received: number): boolean {
    return received >= this.#acknowledged && received <= this.#end;
  }

  /** The peer has received so many bytes since the beginning. Returns false if that isn't possible. */
  acknowledge(received: number): boolean {
    if (!this.isPossible(received)) return false;
    this.#acknowledged = received;
    let done = 0;
    for (const { bytes, from, length } of this.#segments) {
      if (from + length > received) break;
      done += 1;
      this.#capacity -= bytes.length;
    }
    if (done > 0) this.#segments.splice(0, done);
    return true;
  }

  /** The kept bytes, in order. */
  *unacknowledged(): Iterable<Uint8Array> {
    for (const { bytes, from, length } of this.#segments) {
      const skipped = Math.max(0, this.#acknowledged - from);
      yield bytes.subarray(skipped, length);
    }
  }

  /** The kept bytes, from the beginning of the write that the first unacknowledged byte belongs to or an earlier one. */
  *writes(): Iterable<{ readonly bytes: Uint8Array; readonly acknowledged: number }> {
    for (const { bytes, from, length } of this.#segments) {
      yield { bytes: bytes.subarray(0, length), acknowledged: Math.max(0, this.#acknowledged - from) };
    }
  }

  clear(): void {
    this.#segments = [];
    this.#capacity = 0;
    this.#acknowledged = this.#end;
  }
}
