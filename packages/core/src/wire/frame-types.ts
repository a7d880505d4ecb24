import { FrameType } from "./constants.ts";

/** Types from here up are optional: a receiver that doesn't know one skips the frame. */
const FIRST_OPTIONAL_TYPE = 0x8000;

export function isOptionalFrameType(type: number): boolean {
  return type >= FIRST_OPTIONAL_TYPE;
}

/** Frames of topics: 0x0130 to 0x013f. They keep their order as messages do, and may come in chunks. */
export function isTopicFrame(type: number): boolean {
  return type >> 4 === 0x0013;
}

/** The frame types that a decoder accepts. */
export interface FrameTypes {
  /** Maximum payload size of this type, `limit` at most; -1 if frames of the type are refused. */
  maxPayloadBytes(type: number, limit: number): number;
}

/** Types known to every connection: messages, RPC, login. */
export const baseFrameTypes: FrameTypes = {
  maxPayloadBytes(type, limit) {
    if (type >= FrameType.MESSAGE && type <= FrameType.RPC_ERROR) return limit;
    switch (type) {
      case FrameType.AUTH_REQUEST:
      case FrameType.AUTH_SUCCESS:
      case FrameType.AUTH_FAILURE:
      case FrameType.AUTH_CHALLENGE:
      case FrameType.AUTH_RESPONSE:
      case FrameType.ACK:
      case FrameType.NACK:
      case FrameType.RPC_LIST:
        return limit;
      default:
        return -1;
    }
  },
};

/** Any type, for tools and tests. */
export const anyFrameType: FrameTypes = { maxPayloadBytes: (_type, limit) => limit };
