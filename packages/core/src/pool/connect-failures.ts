import { ConduitError, codeOf, ErrorCode, isInstance, messageOf } from "../errors.ts";

/** An attempt of a pool to connect to a server. */
export interface Attempt {
  /** Its address. */
  readonly server: string;
  readonly done: Promise<void>;
}

/** An attempt that failed. */
export interface Failure {
  readonly server: string;
  readonly error: unknown;
}

/** Waits for all attempts. Returns those that failed. */
export async function failuresOf(attempts: readonly Attempt[]): Promise<readonly Failure[]> {
  const outcomes = await Promise.allSettled(attempts.map(({ done }) => done));
  return attempts.flatMap(({ server }, index) => {
    const outcome = outcomes[index];
    return outcome?.status === "rejected" ? [{ server, error: outcome.reason as unknown }] : [];
  });
}

/** The error of a pool's `connect`: that of the only attempt, or one that names all that failed. */
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
