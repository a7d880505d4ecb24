const HEADER_BYTES = 32;
const TYPE_AT = 6;
const LENGTH_AT = 12;

/** Frame types of a login, by which the forwarder knows how far it is. */
export const AUTH_REQUEST = 0x0007;
export const AUTH_SUCCESS = 0x0008;
export const AUTH_RESPONSE = 0x0101;

/** Cuts a stream of bytes into frames. */
export class FrameScanner {
  #rest: Buffer = Buffer.alloc(0);

  /** The frames that are complete now. */
  take(chunk: Buffer): { readonly type: number; readonly bytes: Buffer }[] {
    let rest = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    const frames: { type: number; bytes: Buffer }[] = [];
    while (rest.length >= HEADER_BYTES) {
      const length = HEADER_BYTES + rest.readUInt32BE(LENGTH_AT);
      if (rest.length < length) break;
      frames.push({ type: rest.readUInt16BE(TYPE_AT), bytes: rest.subarray(0, length) });
      rest = rest.subarray(length);
    }
    this.#rest = Buffer.from(rest);
    return frames;
  }

  /** Bytes of a frame that isn't complete. */
  get rest(): Buffer {
    return this.#rest;
  }
}
