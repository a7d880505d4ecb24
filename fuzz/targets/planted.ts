/** A target with a fault, to test the fuzzer itself. Random inputs would hardly find it. */
import { ConduitError } from "../../packages/core/src/errors.ts";
import { message } from "../../packages/core/src/testing/raw-frames.ts";
import { FrameDecoder } from "../../packages/core/src/wire/frame-decoder.ts";
import { anyFrameType } from "../../packages/core/src/wire/frame-types.ts";
import type { Target } from "../lib/target.ts";

/** Throws for frames with a certain type, flag and id bits. */
function fault({ type, flags, correlationHi, correlationLo }: FrameDecoder): void {
  if (type !== 0x0003) return;
  if ((flags & 0x8000) === 0) return;
  if ((correlationLo & 0x40) === 0) return;
  if ((correlationHi & 0x10) === 0) return;
  throw new TypeError("the planted fault");
}

export const planted: Target = {
  name: "planted",
  batch: 500,
  seeds: async () => [message("note", 1)],
  run(input) {
    const decoder = new FrameDecoder(1000, anyFrameType);
    decoder.push(input.slice());
    try {
      while (decoder.next()) fault(decoder);
    } catch (error) {
      if (!(error instanceof ConduitError)) throw error;
    }
  },
};
