/** Schemas shared by the monitoring programs. */

import * as v from "valibot";

/** Result of the agent's method `collect`. */
export const Sample = v.object({ memoryMiB: v.number(), uptimeSeconds: v.number() });
export type Sample = v.InferOutput<typeof Sample>;

/** Result of the server's method `report`. */
export const Report = v.array(
  v.object({
    agent: v.string(),
    address: v.string(),
    connectedAt: v.date(),
    /** Round trip of the last heartbeat; null before the first. */
    latencyMs: v.nullable(v.number()),
    /** Null until the first sample arrives. */
    sample: v.nullable(Sample),
  }),
);
