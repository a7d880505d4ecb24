import { FrameType } from "./constants.ts";

/** Types from here up are optional: a receiver skips frames of such a type that it doesn't know. */
const FIRST_OPTIONAL_TYPE = 0x8000;

export function isOptionalFrameType(type: number): boolean {
  return type >= FIRST_OPTIONAL_TYPE;
}

/** A frame type as shown in error messages, for example `0x0100`. */
export function frameTypeText(type: number): string {
  return `0x${type.toString(16).padStart(4, "0")}`;
}

/** Frames of topics: 0x0130 to 0x013f. Like messages, they are ordered and may be sent in chunks. */
export function isTopicFrame(type: number): boolean {
  return type >> 4 === 0x0013;
}

/** The frame types that a decoder accepts. */
export interface FrameTypes {
  /** Maximum payload size of this type, at most `limit`; -1 if frames of the type are rejected. */
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
