import { ConduitError } from "@netconduit/core";

/** The error that `promise` rejects with, which must be one of the library's. */
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

/** The error that `task` throws, which must be one of the library's. */
export function thrownBy(task: () => unknown): ConduitError {
  try {
    task();
  } catch (error) {
    if (error instanceof ConduitError) return error;
    throw error;
  }
  throw new Error("Expected an error, none was thrown");
}
