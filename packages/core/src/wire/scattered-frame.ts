/**
 * A frame whose large binary data is still where the application has it.
 *
 * It is copied piece by piece as the stream takes it, through one small buffer that stays in the processor's cache:
 * a mebibyte of fresh memory for each frame would cost more than sending it.
 */
import type { LargeBinary } from "./value-composer.ts";

/** A frame as the frame writer leaves it. */
export interface FrameBytes {
  readonly bytes: Uint8Array;
  readonly start: number;
  readonly end: number;
  /** What stands before the byte `at` of `bytes` each, in order; null: `bytes` has all of it. */
  readonly large: readonly LargeBinary[] | null;
}

/** Bytes of a whole frame. */
export function frameLength({ start, end, large }: FrameBytes): number {
  let length = end - start;
  if (large !== null) for (const { bytes } of large) length += bytes.length;
  return length;
}

/** Reads a frame from its beginning to its end. Use it at once: the application may change its data later. */
export class FrameCursor {
  /** Bytes not copied yet. */
  left: number;
  readonly #bytes: Uint8Array;
  readonly #end: number;
  readonly #large: readonly LargeBinary[];
  /** The next byte of `bytes`, the next large piece, and what was copied of it. */
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

  /** Copies what comes next, as much as `target` holds. @returns how many bytes. */
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
