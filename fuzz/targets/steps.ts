/**
 * A byte encoding for the steps of a misbehaving peer: most mutations yield valid frames instead of noise that ends
 * the connection immediately.
 */
import { Buffer } from "node:buffer";
import { rawFrame, Type } from "../../packages/core/src/testing/raw-frames.ts";

export type Step =
  | { readonly do: "write"; readonly bytes: Uint8Array }
  | { readonly do: "settle" }
  | { readonly do: "advance"; readonly ms: number }
  /** An event of the stream, or an action of the application on the other side. */
  | { readonly do: "act"; readonly action: number };

const TYPES: readonly number[] = [...new Set(Object.values(Type))];
/** Possible flags, mostly none or valid ones. */
const FLAGS = [0, 0, 0, 0, 0, 0x0001, 0x0040, 0x1000, 0x8000, 0x0002, 0x0010, 0x0080];
const LARGE_IDS: readonly bigint[] = [2n ** 32n, 2n ** 53n, 2n ** 63n, 2n ** 64n - 1n];

const FIRST_RAW = 200;
const FIRST_SETTLE = 208;
const FIRST_ADVANCE = 216;
const FIRST_ACT = 224;

/** Maximum number of steps; the rest of the input is ignored. */
const MAX_STEPS = 60;

export function stepsOf(input: Uint8Array): Step[] {
  const steps: Step[] = [];
  let at = 0;
  const byte = (): number => input[at++] ?? 0;
  const take = (): Uint8Array => {
    let length = byte();
    if (length === 255) length = byte() * 256 + byte();
    at += length;
    return input.slice(at - length, at);
  };
  while (at < input.length && steps.length < MAX_STEPS) {
    const head = byte();
    if (head < FIRST_RAW) {
      const type = TYPES[head % TYPES.length] as number;
      const flags = FLAGS[byte() % FLAGS.length] as number;
      const low = byte();
      const id = low < 252 ? BigInt(low) : (LARGE_IDS[low - 252] as bigint);
      steps.push({ do: "write", bytes: rawFrame(type, take(), { flags, id }) });
    } else if (head < FIRST_SETTLE) {
      steps.push({ do: "write", bytes: take() });
    } else if (head < FIRST_ADVANCE) {
      steps.push({ do: "settle" });
    } else if (head < FIRST_ACT) {
      steps.push({ do: "advance", ms: byte() * 250 });
    } else {
      steps.push({ do: "act", action: head - FIRST_ACT });
    }
  }
  return steps;
}

/** Encodes a step that sends a frame. */
export function frameStep(frame: {
  readonly type: number;
  readonly payload: Uint8Array;
  readonly id?: number;
}): Buffer {
  const { type, payload, id = 0 } = frame;
  const length = payload.length < 255 ? [payload.length] : [255, payload.length >> 8, payload.length & 0xff];
  return Buffer.from([TYPES.indexOf(type), 0, id, ...length, ...payload]);
}

export const SETTLE: Buffer = Buffer.from([FIRST_SETTLE]);

export function actStep(action: number): Buffer {
  return Buffer.from([FIRST_ACT + action]);
}

export function advanceStep(ms: number): Buffer {
  return Buffer.from([FIRST_ADVANCE, ms / 250]);
}
