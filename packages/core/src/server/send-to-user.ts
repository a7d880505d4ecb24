import type { ClusterAnswer } from "../cluster/cluster.ts";
import { asConduitError, ConduitError, codeOf, ErrorCode, messageOf } from "../errors.ts";

/** The connections of a user, on all nodes that answered. */
export interface UserConnections extends ClusterAnswer {
  readonly user: string;
  readonly ids: readonly string[];
}

/**
 * Sends a message to each connection of a user.
 * @param send sends to one connection; resolves when it has acknowledged the message
 * @throws ConduitError NOT_DELIVERED, naming the connections that haven't acknowledged it
 */
export async function sendToUser(
  type: string,
  { user, ids, missing, isAlone }: UserConnections,
  send: (id: string) => Promise<void>,
): Promise<void> {
  const results = await Promise.allSettled(ids.map(send));
  const failed = results.flatMap((result, index) => {
    if (result.status === "fulfilled") return [];
    const error = asConduitError(result.reason);
    return [{ id: ids[index] as string, code: codeOf(error), message: messageOf(error), error }];
  });
  const problems: string[] = [];
  const first = failed[0];
  if (first !== undefined) {
    const which = `${failed.length} of ${ids.length} connections of the user '${user}'`;
    problems.push(`was not acknowledged by ${which}: ${first.id}: ${first.message}`);
  }
  if (missing.length > 0)
    problems.push(`may have missed connections on nodes that did not answer: ${missing.join(", ")}`);
  else if (isAlone) problems.push("may have missed connections on other nodes: the link is down");
  else if (ids.length === 0) problems.push(`was not sent: the user '${user}' has no connection`);
  if (problems.length === 0) return;
  const details = {
    failed: failed.map(({ id, code, message }) => ({ id, code, message })),
    missing,
    ...(ids.length === 0 ? { started: false } : {}),
  };
  const message = `'${type}' ${problems.join("; it ")}`;
  throw new ConduitError(ErrorCode.NOT_DELIVERED, message, { details, cause: first?.error });
}
