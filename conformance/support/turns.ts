/** Resolves after one turn of the event loop. */
export function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** Resolves when `condition` holds, for conditions without an event. Checked once per turn. */
export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await turn();
}
