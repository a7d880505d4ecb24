import { ConduitError } from "@netconduit/core";

/** Returns the error that `promise` rejects with, which must be a ConduitError. */
export async function failureOf(promise: Promise<unknown>): Promise<ConduitError> {
  let value: unknown;
  try {
    value = await promise;
  } catch (error) {
    if (error instanceof ConduitError) return error;
    throw error;
  }
  throw new Error(`Expected a rejection, got ${JSON.stringify(value)}`);
}

/** Returns the error that `task` throws, which must be a ConduitError. */
export function thrownBy(task: () => unknown): ConduitError {
  try {
    task();
  } catch (error) {
    if (error instanceof ConduitError) return error;
    throw error;
  }
  throw new Error("Expected an error, none was thrown");
}
