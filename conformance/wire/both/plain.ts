/** Numbers of errors here and at plain peers, as the table in PROTOCOL.md has them. */
export const CODES: readonly (readonly [ours: number, theirs: number])[] = [
  [5001, 1002],
  [3000, 3000],
  [3002, 3003],
  [4000, 4000],
  [5010, 5001],
];
