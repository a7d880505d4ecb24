/** Whether a value is an integer of at least `least` that a number holds exactly. */
export function isCount(value: unknown, least: number = 0): value is number {
  return Number.isSafeInteger(value) && (value as number) >= least;
}
