import { ConduitError, ErrorCode } from "../errors.ts";
import { describeValue } from "../text/describe-value.ts";

/** @throws ConduitError INVALID_CONFIG unless `value` is a function */
export function checkFunction(what: string, value: unknown): void {
  if (typeof value === "function") return;
  throw new ConduitError(ErrorCode.INVALID_CONFIG, `${what} must be a function, got ${describeValue(value)}`);
}
