import { isOrdered, MAX_WHOLE_FRAME_BYTES } from "./large-frame.ts";

/** A frame in chunks leaves so much credit for small ones, which would wait until the application has taken it. */
const SPARED_BYTES: number = 512 * 1024;

/** The credit that this side has left of its peer's grant. */
export class SendCredit {
  readonly #granted: number;
  #frames: number;
  #bytes: number;
  /** Whether longer frames leave in chunks. */
  #usesChunks = false;

  constructor(frames: number, bytes: number) {
    this.#granted = bytes;
    this.#frames = frames;
    this.#bytes = bytes;
  }

  /** Longer frames leave in chunks from now on. */
  useChunks(): void {
    this.#usesChunks = true;
  }

  /** Whether a frame of any size may be sent. */
  get isOpen(): boolean {
    return this.#frames > 0 && this.#bytes > 0;
  }

  /**
   * Spends the credit of a frame. The bytes may fall below zero by the last frame. A call that leaves in chunks spends its
   * credit when it begins, by `begin`. A message in chunks must have it before others wait behind it: their credit could
   * be the rest, which comes back only after they have left.
   * @returns false if the frame has to wait for more credit
   */
  spend(bytes: Uint8Array, start: number, length: number): boolean {
    if (this.#leavesInChunks(length)) return !isOrdered(bytes, start) || this.begin(length);
    this.add(-1, -length);
    return true;
  }

  /** A frame that was let pass by `spend` is withdrawn. @param isOrdered as of the frame */
  refund(bytes: number, isOrdered: boolean): void {
    if (isOrdered || !this.#leavesInChunks(bytes)) this.add(1, bytes);
  }

  #leavesInChunks(bytes: number): boolean {
    return this.#usesChunks && bytes > MAX_WHOLE_FRAME_BYTES;
  }

  /**
   * Spends the credit of a frame that leaves in chunks, if that spares enough for small ones, or if half of the grant is
   * left: a peer need not return more.
   * @returns whether the frame may begin
   */
  begin(bytes: number): boolean {
    const mayBegin = this.isOpen && (this.#bytes - bytes >= SPARED_BYTES || 2 * this.#bytes >= this.#granted);
    if (mayBegin) this.add(-1, -bytes);
    return mayBegin;
  }

  /** The peer returned credit, or a frame that had begun was withdrawn. */
  add(frames: number, bytes: number): void {
    this.#frames = Math.min(this.#frames + frames, Number.MAX_SAFE_INTEGER);
    this.#bytes = Math.min(this.#bytes + bytes, Number.MAX_SAFE_INTEGER);
  }
}
