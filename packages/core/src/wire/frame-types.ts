import { FrameType } from "./constants.ts";

/** Which frame types a decoder lets in. */
export interface FrameTypes {
  /** Bytes that a payload of this type may have, `limit` at most; -1: the type is not known. */
  maxPayloadBytes(type: number, limit: number): number;
}

/** Types that every connection knows: messages, RPC, login. */
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
