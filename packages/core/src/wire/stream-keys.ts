/** The keys of an RPC_REQUEST that describe its streams. */
import { concat, encodeText, KEY_PARAMS } from "./envelope.ts";

/** The keys of a call that describe its streams. */
export interface StreamKeys {
  /** Bytes of credit for returned items, less than 2^32; 0 if the call has no output. */
  readonly output: number;
  /** Whether the call has an input. */
  readonly input: boolean;
  /** Whether the caller requests progress. */
  readonly progress: boolean;
}

const TRUE = 0xc3;
const UINT32 = 0xce;
const KEY_OUTPUT: Uint8Array = encodeText("output");
const INPUT: Uint8Array = concat([encodeText("input"), [TRUE]]);
const PROGRESS: Uint8Array = concat([encodeText("progress"), [TRUE]]);

/** Inserts the stream keys into the bytes before the params of a request. */
export function streamHead(head: Uint8Array, { output, input, progress }: StreamKeys): Uint8Array {
  const keys: ArrayLike<number>[] = [];
  if (output > 0) {
    keys.push([...KEY_OUTPUT, UINT32, output >>> 24, (output >>> 16) & 0xff, (output >>> 8) & 0xff, output & 0xff]);
  }
  if (input) keys.push(INPUT);
  if (progress) keys.push(PROGRESS);
  const name = head.subarray(1, head.length - KEY_PARAMS.length);
  return concat([[(head[0] as number) + keys.length], name, ...keys, KEY_PARAMS]);
}
