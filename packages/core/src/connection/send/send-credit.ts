import { MAX_WHOLE_FRAME_BYTES } from "./large-frame.ts";

/** A frame in chunks leaves so much credit for small ones, which would wait until the application has taken it. */
const SPARED_BYTES: number = 512 * 1024;

/** The credit that this side has left of its peer's grant. */
export class SendCredit {
  readonly #granted: number;
  #frames: number;
  #bytes: number;
  /** Whether longer frames leave in chunks: their credit is spent by `begin`, not by `spend`. */
  #usesChunks = false;

  constructor(frames: number, bytes: number) {
    this.#granted = bytes;
    this.#frames = frames;
    this.#bytes = bytes;
  }

  /** Frames that leave in chunks use their credit when they begin. */
  useChunks(): void {
    this.#usesChunks = true;
  }

  /** Whether a frame of any size may be sent. */
  get isOpen(): boolean {
    return this.#frames > 0 && this.#bytes > 0;
  }

  /** A frame of this many bytes leaves. The credit of bytes may fall below zero by the last frame. */
  spend(bytes: number): void {
    if (!this.#leavesInChunks(bytes)) this.add(-1, -bytes);
  }

  /** A frame for which credit was spent is withdrawn. */
  refund(bytes: number): void {
    if (!this.#leavesInChunks(bytes)) this.add(1, bytes);
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
