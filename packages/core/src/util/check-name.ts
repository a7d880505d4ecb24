import { ConduitError, ErrorCode } from "../errors.ts";
import { describeValue } from "../text/describe-value.ts";

const SUBJECTS = { method: "The name of a method", message: "The type of a message" } as const;

/** @throws ConduitError INVALID_CONFIG unless `name` can be that of a method, or the type of a message */
export function checkName(of: keyof typeof SUBJECTS, name: unknown): asserts name is string {
  if (typeof name === "string") return;
  throw new ConduitError(ErrorCode.INVALID_CONFIG, `${SUBJECTS[of]} must be a string, got ${describeValue(name)}`);
}
