/** Error codes of this protocol and of plain peers, as in the table in PROTOCOL.md. */
export const CODES: readonly (readonly [ours: number, theirs: number])[] = [
  [5001, 1002],
  [3000, 3000],
  [3002, 3003],
  [4000, 4000],
  [5010, 5001],
];
