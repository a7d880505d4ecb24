/** Runs the queued microtasks and those that they queue. */
export async function microtasks(): Promise<void> {
  for (let hop = 0; hop < 5; hop++) await null;
}
