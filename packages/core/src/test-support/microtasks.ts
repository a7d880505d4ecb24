/** Lets the microtasks run that are queued now, and those that they queue. */
export async function microtasks(): Promise<void> {
  for (let hop = 0; hop < 5; hop++) await null;
}
