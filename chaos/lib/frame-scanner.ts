const HEADER_BYTES = 32;
const TYPE_AT = 6;
const LENGTH_AT = 12;

/** Frame types of a login, by which the forwarder tracks its progress. */
export const AUTH_REQUEST = 0x0007;
export const AUTH_SUCCESS = 0x0008;
export const AUTH_RESPONSE = 0x0101;

/** Splits a stream of bytes into frames. */
export class FrameScanner {
  #rest: Buffer = Buffer.alloc(0);

  /** Returns the frames completed by this chunk. */
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

  /** Bytes of an incomplete frame. */
  get rest(): Buffer {
    return this.#rest;
  }
}
