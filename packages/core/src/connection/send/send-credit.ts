import { isOrdered, MAX_WHOLE_FRAME_BYTES } from "./large-frame.ts";

/** Credit that a chunked frame leaves for small frames, which would otherwise wait until the application has taken it. */
const SPARED_BYTES: number = 512 * 1024;

/** The remaining credit of the peer's grant. */
export class SendCredit {
  readonly #granted: number;
  #frames: number;
  #bytes: number;
  /** Whether longer frames are sent in chunks. */
  #usesChunks = false;

  constructor(frames: number, bytes: number) {
    this.#granted = bytes;
    this.#frames = frames;
    this.#bytes = bytes;
  }

  /** Enables chunks for longer frames. */
  useChunks(): void {
    this.#usesChunks = true;
  }

  /** Whether a frame of any size may be sent. */
  get isOpen(): boolean {
    return this.#frames > 0 && this.#bytes > 0;
  }

  /**
   * Spends the credit of a frame. The bytes may become negative with the last frame. A chunked call spends its credit
   * when it starts, by `begin`. A chunked message spends it now, before others wait behind it, because they could use
   * up the rest, which only returns after they have been sent.
   * @returns false if the frame has to wait for more credit
   */
  spend(bytes: Uint8Array, start: number, length: number): boolean {
    if (this.#leavesInChunks(length)) return !isOrdered(bytes, start) || this.begin(length);
    this.add(-1, -length);
    return true;
  }

  /** Refunds a withdrawn frame that had passed `spend`. @param isOrdered whether the frame is ordered */
  refund(bytes: number, isOrdered: boolean): void {
    if (isOrdered || !this.#leavesInChunks(bytes)) this.add(1, bytes);
  }

  #leavesInChunks(bytes: number): boolean {
    return this.#usesChunks && bytes > MAX_WHOLE_FRAME_BYTES;
  }

  /**
   * Spends the credit of a chunked frame, if that leaves enough for small ones, or if half of the grant is left,
   * because a peer isn't required to return more.
   * @returns whether the frame may start
   */
  begin(bytes: number): boolean {
    const mayBegin = this.isOpen && (this.#bytes - bytes >= SPARED_BYTES || 2 * this.#bytes >= this.#granted);
    if (mayBegin) this.add(-1, -bytes);
    return mayBegin;
  }

  /** The peer has returned credit, or a started frame was withdrawn. */
  add(frames: number, bytes: number): void {
    this.#frames = Math.min(this.#frames + frames, Number.MAX_SAFE_INTEGER);
    this.#bytes = Math.min(this.#bytes + bytes, Number.MAX_SAFE_INTEGER);
  }
}
