import type { Called } from "../errors.ts";

/** A value that was encoded before its frame. A `FrameWriter` copies its bytes instead of encoding it again. */
export class EncodedValue {
  readonly bytes: Uint8Array;
  /** The program's call that it belongs to, if the method is the protocol's own. */
  readonly called: Called | null;
  /** If the method is the protocol's own: the decoded value, or the fields that name what it is for. */
  readonly decoded: unknown;

  constructor(bytes: Uint8Array, called: Called | null = null, decoded: unknown = null) {
    this.bytes = bytes;
    this.called = called;
    this.decoded = decoded;
  }
}
