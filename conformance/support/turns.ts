/** One turn of the event loop. */
export function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** Resolves once `condition` holds, for the few things that no event reports; checked once a turn. */
export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await turn();
}
