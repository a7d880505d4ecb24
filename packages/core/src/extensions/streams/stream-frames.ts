/** Frames of the extension `stream`. All have the correlation id of the call that their stream belongs to. */

/** `INPUT…` concerns items from the caller, `OUTPUT…` items to the caller, so each type has one direction. */
export const StreamFrame = {
  /** Items from the caller. */
  INPUT: 0x0120,
  /** Items for the caller. */
  OUTPUT: 0x0121,
  /** No payload, or `{error, code}`: from the caller. The end of the output is the call's reply. */
  INPUT_END: 0x0122,
  /** `{bytes}`, from the called side. The first one opens the input. */
  INPUT_CREDIT: 0x0123,
  /** `{bytes}`, from the caller. */
  OUTPUT_CREDIT: 0x0124,
  /** No payload, from the called side: it accepts no more input. */
  INPUT_STOP: 0x0125,
  /** `{bytes}`: acknowledges this many more bytes of items, of all streams. No id. */
  STREAM_ACK: 0x0126,
  /** `{value}`, from the called side. */
  PROGRESS: 0x0127,
} as const;

/** Flags of frames with items. */
export const StreamFlag = {
  /** The payload is the content of a binary item, or a part of it, instead of MessagePack. */
  BINARY: 0x0040,
  /** The item continues in the next frame of its stream. */
  MORE: 0x2000,
  /** The sender has no credit left. */
  BLOCKED: 0x4000,
} as const;
