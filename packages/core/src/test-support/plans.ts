/** Generates all plans with this number of steps. */
export function* plansOf<Step>(steps: readonly Step[], length: number): Iterable<readonly Step[]> {
  if (length === 0) {
    yield [];
    return;
  }
  for (const plan of plansOf(steps, length - 1)) for (const step of steps) yield [...plan, step];
}

/** Generates all plans with up to this number of steps, shortest first. */
export function* plansUpTo<Step>(steps: readonly Step[], length: number): Iterable<readonly Step[]> {
  for (let count = 0; count <= length; count += 1) yield* plansOf(steps, count);
}
