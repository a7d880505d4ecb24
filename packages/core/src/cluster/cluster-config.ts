import * as v from "valibot";
import { OptionProblems } from "../endpoint/option-problems.ts";
import { type Filled, group, milliseconds } from "../endpoint/option-rules.ts";
import { ConduitError, ErrorCode } from "../errors.ts";
import { describeValue } from "../text/describe-value.ts";
import type { ClusterOptions } from "./cluster-options.ts";
import type { ClusterDriver } from "./driver.ts";
import { isNodeId } from "./envelope.ts";

/** Options with defaults filled in. */
export interface ClusterConfig extends Filled<ClusterOptions, "nodeId"> {
  /** Undefined for a random id at each start. */
  readonly nodeId: string | undefined;
}

const entries = {
  nodeId: v.optional(v.custom<string>(isNodeId, "must be 1 to 64 characters A-Z a-z 0-9 _ -")),
  heartbeatMs: v.optional(milliseconds(), 1000),
  nodeTimeoutMs: v.optional(milliseconds(), 5000),
  answerTimeoutMs: v.optional(milliseconds(), 2000),
} satisfies Record<keyof ClusterOptions, unknown>;

const schema = group(entries);

/** @throws ConduitError INVALID_CONFIG */
export function parseCluster(driver: unknown): { readonly driver: ClusterDriver; readonly config: ClusterConfig } {
  if (!isDriver(driver)) {
    const rule = "must be a cluster driver, as natsCluster() of @netconduit/nats makes one";
    const message = `Invalid option cluster of the server: ${rule}, got ${describeValue(driver)}`;
    throw new ConduitError(ErrorCode.INVALID_CONFIG, message);
  }
  const problems = new OptionProblems("the cluster", Object.keys(entries), []);
  const result = v.safeParse(schema, driver.options);
  if (!result.success) problems.addIssues(result.issues);
  problems.throwIfAny();
  const config = result.output as v.InferOutput<typeof schema>;
  if (config.nodeTimeoutMs < 2 * config.heartbeatMs) {
    problems.add("nodeTimeoutMs", `must be at least twice heartbeatMs (${config.heartbeatMs})`, config.nodeTimeoutMs);
  }
  problems.throwIfAny();
  return { driver, config: { ...config, nodeId: config.nodeId } };
}

function isDriver(value: unknown): value is ClusterDriver {
  if (typeof value !== "object" || value === null) return false;
  const { start, options, name } = value as Partial<Record<keyof ClusterDriver, unknown>>;
  return typeof start === "function" && typeof options === "object" && options !== null && typeof name === "string";
}
