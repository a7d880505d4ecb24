/**
 * A block of memory for the frames of one turn, one after the other.
 *
 * Sockets hold views of it. If no stream refers to a turn's bytes at its end, which is nearly always, the next turn
 * reuses the same memory, which is already in the CPU's caches. Otherwise it continues after them, and a full block is
 * left to the sockets.
 */

/** Room for about a thousand small frames. */
const BLOCK_BYTES = 64 * 1024;
/** Larger frames get their own array, because they would waste too much at a block's end. */
export const MAX_SLAB_FRAME_BYTES: number = 16 * 1024;
/** Views from the block's start are cached up to this length, because most turns write one small frame there. */
const MAX_KEPT_VIEW_BYTES = 1024;

export class Slab {
  bytes: Uint8Array<ArrayBuffer> = new Uint8Array(0);
  /** View of all `bytes`. */
  view: DataView = new DataView(this.bytes.buffer);
  readonly #makeView: (bytes: Uint8Array, start: number, end: number) => Uint8Array;
  #used = 0;
  /** Streams may refer to bytes before this. */
  #kept = 0;
  #isReferenced = false;
  /** Views from the start of the block, by length. */
  #firstViews: (Uint8Array | undefined)[] = [];
  /** The last view, because a broadcast writes the same range to many connections. */
  #last: {
    readonly bytes: Uint8Array;
    readonly start: number;
    readonly end: number;
    readonly view: Uint8Array;
  } | null = null;

  /** @param makeView as `Runtime.view` */
  constructor(makeView: (bytes: Uint8Array, start: number, end: number) => Uint8Array) {
    this.#makeView = makeView;
  }

  /** Reserves space for a frame of at most {@link MAX_SLAB_FRAME_BYTES}. Returns its start in `bytes`. */
  reserve(length: number): number {
    if (this.bytes.length - this.#used < length) {
      this.bytes = new Uint8Array(BLOCK_BYTES);
      this.view = new DataView(this.bytes.buffer);
      this.#used = 0;
      this.#kept = 0;
      this.#firstViews = [];
    }
    const start = this.#used;
    this.#used = start + length;
    return start;
  }

  /** Returns `bytes[start, end)` as an array for a stream. */
  viewOf(bytes: Uint8Array, start: number, end: number): Uint8Array {
    const last = this.#last;
    if (last !== null && last.bytes === bytes && last.start === start && last.end === end) return last.view;
    const view = this.#viewOf(bytes, start, end);
    this.#last = { bytes, start, end, view };
    return view;
  }

  #viewOf(bytes: Uint8Array, start: number, end: number): Uint8Array {
    if (start > 0 || end > MAX_KEPT_VIEW_BYTES || bytes !== this.bytes) return this.#makeView(bytes, start, end);
    this.#firstViews[end] ??= this.#makeView(bytes, start, end);
    return this.#firstViews[end];
  }

  /** A stream still refers to frames of this turn. */
  keep(): void {
    this.#isReferenced = true;
  }

  /** @param isPending whether frames of this turn still wait to be written */
  endTurn(isPending: boolean): void {
    if (this.#isReferenced || isPending) this.#kept = this.#used;
    else this.#used = this.#kept;
    this.#isReferenced = false;
    this.#last = null;
  }
}
