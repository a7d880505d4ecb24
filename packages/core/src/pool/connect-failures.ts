import { ConduitError, codeOf, ErrorCode, isInstance, messageOf } from "../errors.ts";

/** A pool's attempt to connect to a server. */
export interface Attempt {
  /** The server's address. */
  readonly server: string;
  readonly done: Promise<void>;
}

/** A failed attempt. */
export interface Failure {
  readonly server: string;
  readonly error: unknown;
}

/** Waits for all attempts and returns the failed ones. */
export async function failuresOf(attempts: readonly Attempt[]): Promise<readonly Failure[]> {
  const outcomes = await Promise.allSettled(attempts.map(({ done }) => done));
  return attempts.flatMap(({ server }, index) => {
    const outcome = outcomes[index];
    return outcome?.status === "rejected" ? [{ server, error: outcome.reason as unknown }] : [];
  });
}

/** The error of a pool's `connect`: the error of the only attempt, or one that lists all failures. */
export function notConnected(failures: readonly Failure[], attempts: number): unknown {
  const cause = failures[0]?.error;
  if (attempts === 1) return cause;
  const servers = failures.map(({ server, error }) => ({ server, code: codeIn(error), message: messageOf(error) }));
  const lines = servers.map(({ server, message }) => `\n- ${server}: ${message}`);
  const message = `${failures.length} of ${attempts} connections failed:${lines.join("")}`;
  return new ConduitError(codeIn(cause), message, { details: { servers }, cause });
}

/** A password function may throw anything. */
function codeIn(error: unknown): number {
  return isInstance(error, ConduitError) ? codeOf(error) : ErrorCode.CONNECTION_ERROR;
}
