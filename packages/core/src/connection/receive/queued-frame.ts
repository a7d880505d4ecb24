import { HEADER_BYTES } from "../../limits.ts";
import type { IdentifiedRequest } from "../../rpc/incoming-request.ts";
import { maxInflatedBytes } from "../../wire/compression-ratio.ts";
import { Flag } from "../../wire/constants.ts";
import type { PayloadSource } from "../../wire/payload-reader.ts";

/** A request frame: RPC_REQUEST, MESSAGE or RPC_LIST. */
export interface RequestFrame extends PayloadSource {
  readonly type: number;
  readonly correlationHi: number;
  readonly correlationLo: number;
}

/** A frame's size on the wire, including the header. */
export function wireBytes({ payloadStart, payloadEnd }: Pick<PayloadSource, "payloadStart" | "payloadEnd">): number {
  return HEADER_BYTES + payloadEnd - payloadStart;
}

/** A frame's size for the time slice: for a compressed one, the size that it may inflate to. */
export function workBytes({
  flags,
  payloadStart,
  payloadEnd,
}: Pick<PayloadSource, "flags" | "payloadStart" | "payloadEnd">): number {
  const bytes = payloadEnd - payloadStart;
  return (flags & Flag.COMPRESSED) === 0 ? bytes : maxInflatedBytes(bytes);
}

/**
 * A waiting request in its encoded form, which is decoded when its handler starts. So waiting requests take the
 * memory that the peer was granted, regardless of their decoded size.
 */
export class QueuedFrame implements RequestFrame, IdentifiedRequest {
  readonly type: number;
  readonly flags: number;
  readonly correlationHi: number;
  readonly correlationLo: number;
  readonly bytes: Uint8Array;
  readonly payloadStart: number;
  readonly payloadEnd: number;
  readonly exclusive = true;
  isShared = true;
  /** Whether the peer expects a reply. */
  readonly wantsReply: boolean;
  /** Monotonic milliseconds. */
  readonly receivedAtMs: number;
  nextOfChain: IdentifiedRequest | null = null;

  /** Keeps the frame's own memory, or copies the frame from a chunk. */
  constructor(frame: RequestFrame, wantsReply: boolean, receivedAtMs: number) {
    this.type = frame.type;
    this.flags = frame.flags;
    this.correlationHi = frame.correlationHi;
    this.correlationLo = frame.correlationLo;
    const { bytes, payloadStart, payloadEnd } = frame;
    this.bytes = frame.exclusive ? bytes : bytes.slice(payloadStart, payloadEnd);
    this.payloadStart = frame.exclusive ? payloadStart : 0;
    this.payloadEnd = this.payloadStart + payloadEnd - payloadStart;
    frame.isShared = true;
    this.wantsReply = wantsReply;
    this.receivedAtMs = receivedAtMs;
  }

  get idHi(): number {
    return this.correlationHi;
  }

  get idLo(): number {
    return this.correlationLo;
  }
}
