import { HEADER_BYTES } from "../../limits.ts";
import { FrameType } from "../../wire/constants.ts";
import { isTopicFrame } from "../../wire/frame-types.ts";

const TYPE_OFFSET = 6;
const LENGTH_OFFSET = 12;
const ID_OFFSET = 16;
/** Items of streams. */
const INPUT = 0x0120;
const OUTPUT = 0x0121;

/**
 * Counts incompletely received frames with application data. A chunked frame counts once.
 * @param writes each consists of whole frames
 */
export function countLost(writes: Iterable<{ readonly bytes: Uint8Array; readonly acknowledged: number }>): number {
  const chunked = new Set<number>();
  let lost = 0;
  for (const { bytes, acknowledged } of writes) {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    let at = 0;
    while (at + HEADER_BYTES <= bytes.length) {
      const end = at + HEADER_BYTES + view.getUint32(at + LENGTH_OFFSET);
      const type = view.getUint16(at + TYPE_OFFSET);
      if (end > acknowledged) {
        if (type === FrameType.CHUNK) chunked.add(view.getUint32(at + ID_OFFSET + 4));
        else if (isData(type)) lost += 1;
      }
      at = end;
    }
  }
  return lost + chunked.size;
}

function isData(type: number): boolean {
  switch (type) {
    case FrameType.MESSAGE:
    case FrameType.RPC_REQUEST:
    case FrameType.RPC_RESPONSE:
    case FrameType.RPC_ERROR:
    case FrameType.RPC_LIST:
    case INPUT:
    case OUTPUT:
      return true;
    default:
      return isTopicFrame(type);
  }
}
