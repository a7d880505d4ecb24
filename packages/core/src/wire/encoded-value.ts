/** A value that was encoded before its frame. A `FrameWriter` copies its bytes instead of encoding it again. */
export class EncodedValue {
  readonly bytes: Uint8Array;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
  }
}
