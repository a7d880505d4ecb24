import { memoryPair } from "../../packages/core/src/bytes/memory-pair.ts";
import { describeByteStream } from "./suite.ts";

/** The core's in-memory streams, on every runtime. */
export function describeMemoryPair(runtime: string): void {
  describeByteStream(`a memory pair on ${runtime}`, {
    async makePair() {
      const [a, b] = memoryPair();
      return { a, b, dispose: () => {} };
    },
    capabilities: { highWaterMark: 65_536, kernelBytes: 0, destroyResets: true },
  });
}
