/**
 * A frame whose large binary data is still in the application's memory.
 *
 * The data is copied in pieces as the stream accepts them, through a small buffer that stays in the CPU's cache.
 * Allocating a new mebibyte per frame would cost more than sending it.
 */
import type { LargeBinary } from "./value-composer.ts";

/** A frame as produced by the frame writer. */
export interface FrameBytes {
  readonly bytes: Uint8Array;
  readonly start: number;
  readonly end: number;
  /** Large data to insert before the byte `at` of `bytes`, in order; null if `bytes` is complete. */
  readonly large: readonly LargeBinary[] | null;
}

/** Total length of a frame in bytes. */
export function frameLength({ start, end, large }: FrameBytes): number {
  let length = end - start;
  if (large !== null) for (const { bytes } of large) length += bytes.length;
  return length;
}

/** Reads a frame from start to end. Use it immediately, because the application may change its data later. */
export class FrameCursor {
  /** Number of bytes not copied yet. */
  left: number;
  readonly #bytes: Uint8Array;
  readonly #end: number;
  readonly #large: readonly LargeBinary[];
  /** Position in `bytes`, index of the next large piece, and bytes copied of that piece. */
  #at: number;
  #piece = 0;
  #copied = 0;

  constructor(frame: FrameBytes) {
    this.left = frameLength(frame);
    this.#bytes = frame.bytes;
    this.#at = frame.start;
    this.#end = frame.end;
    this.#large = frame.large ?? [];
  }

  /** Copies the next bytes to `target`, as many as fit. Returns their number. */
  copyTo(target: Uint8Array): number {
    let length = 0;
    while (this.left > 0 && length < target.length) {
      const large = this.#large[this.#piece];
      const room = target.length - length;
      let next: Uint8Array;
      if (large !== undefined && this.#at === large.at) {
        next = large.bytes.subarray(this.#copied, this.#copied + room);
        this.#copied += next.length;
        if (this.#copied === large.bytes.length) {
          this.#piece += 1;
          this.#copied = 0;
        }
      } else {
        const end = large === undefined ? this.#end : large.at;
        next = this.#bytes.subarray(this.#at, Math.min(end, this.#at + room));
        this.#at += next.length;
      }
      target.set(next, length);
      length += next.length;
      this.left -= next.length;
    }
    return length;
  }
}
