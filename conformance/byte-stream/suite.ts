import { describe } from "vitest";
import { describeBackPressure } from "./back-pressure.ts";
import { describeDelivery } from "./delivery.ts";
import { describeDestroying } from "./destroying.ts";
import { describeEnding } from "./ending.ts";
import { Stage } from "./stage.ts";
import type { ByteStreamSubject } from "./subject.ts";

export type { ByteStreamCapabilities, ByteStreamSubject, StreamPair } from "./subject.ts";

const TIMEOUT_MS = 60_000;

/**
 * The contract of byte streams on any runtime and transport. A test file calls this with a subject that creates
 * connected pairs.
 */
export function describeByteStream(name: string, subject: ByteStreamSubject): void {
  const stage = new Stage(subject);
  describe(name, { timeout: TIMEOUT_MS }, () => {
    describeDelivery(stage);
    describeBackPressure(stage);
    describeEnding(stage);
    describeDestroying(stage);
  });
}
