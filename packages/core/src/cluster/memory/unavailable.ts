import { ConduitError, ErrorCode } from "../../errors.ts";

export function unavailable(what: string): ConduitError {
  return new ConduitError(ErrorCode.CLUSTER_UNAVAILABLE, `${what}: the link is down`);
}
