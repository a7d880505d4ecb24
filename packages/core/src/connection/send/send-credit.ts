/** The credit that this side has left of its peer's grant. */
export class SendCredit {
  #frames: number;
  #bytes: number;

  constructor(frames: number, bytes: number) {
    this.#frames = frames;
    this.#bytes = bytes;
  }

  /** Whether a frame of any size may be sent. */
  get isOpen(): boolean {
    return this.#frames > 0 && this.#bytes > 0;
  }

  /** A frame of this many bytes leaves. The credit of bytes may fall below zero by the last frame. */
  spend(bytes: number): void {
    this.#frames -= 1;
    this.#bytes -= bytes;
  }

  /** The peer returned credit, or frames that were to leave were withdrawn. */
  add(frames: number, bytes: number): void {
    this.#frames = Math.min(this.#frames + frames, Number.MAX_SAFE_INTEGER);
    this.#bytes = Math.min(this.#bytes + bytes, Number.MAX_SAFE_INTEGER);
  }
}
