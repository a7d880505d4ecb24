import type { Called } from "../errors.ts";

/** A value encoded in advance, whose bytes a `FrameWriter` copies. */
export class EncodedValue {
  readonly bytes: Uint8Array;
  /** The application's call that it belongs to, if it is for a reserved method. */
  readonly called: Called | null;
  /** For a reserved method, the decoded value, or the fields that identify its purpose. */
  readonly decoded: unknown;

  constructor(bytes: Uint8Array, called: Called | null = null, decoded: unknown = null) {
    this.bytes = bytes;
    this.called = called;
    this.decoded = decoded;
  }
}
