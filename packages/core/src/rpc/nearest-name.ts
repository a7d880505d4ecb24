/** Longer names get no suggestion, and at most this many names are compared, so an unknown name costs at most 40 µs. */
const MAX_NAME_CHARS = 64;
const MAX_NAMES = 500;
/** Maximum number of adjacent differing characters. */
const MAX_DIFFERENCE = 2;

/** `" (did you mean 'add'?)"`, or `""` if no name is similar. */
export function didYouMean(name: string, known: Iterable<string>): string {
  const nearest = nearestName(name, known);
  return nearest === null ? "" : ` (did you mean '${nearest}'?)`;
}

/** The most similar name: it differs in case, or in up to two adjacent characters (one if it is short). */
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

/** Length of the differing part between the common prefix and suffix of two texts. */
function differenceOf(a: string, b: string): number {
  const shorter = Math.min(a.length, b.length);
  let start = 0;
  while (start < shorter && a[start] === b[start]) start++;
  let end = 0;
  while (end < shorter - start && a[a.length - 1 - end] === b[b.length - 1 - end]) end++;
  return Math.max(a.length, b.length) - start - end;
}
