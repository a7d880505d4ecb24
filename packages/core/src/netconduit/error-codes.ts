/**
 * netconduit's error numbers, where they differ from ours. It defines 3002 as an expired login and 5001 as a lost
 * connection, for example, so a number is translated on its way to and from a netconduit peer.
 */

import { ErrorCode } from "../errors.ts";

/**
 * Rows of `[ours, netconduit's]`. Each direction takes the first row that has the number; a number without a row means
 * the same on both sides, or is the application's own.
 */
const ROWS: readonly (readonly [ours: number, netconduits: number])[] = [
  [ErrorCode.TIMEOUT, 1002],
  [ErrorCode.AUTH_REQUIRED, 3000],
  [ErrorCode.AUTH_REQUIRED, 3002], // AUTH_EXPIRED
  [ErrorCode.PERMISSION_DENIED, 3003],
  [ErrorCode.METHOD_NOT_FOUND, 4000],
  [ErrorCode.NOT_FOUND, 4000],
  [ErrorCode.CONNECTION_CLOSED, 5001], // DISCONNECTED
  [ErrorCode.SERVER_STOPPING, 5001],
];

const toTheirs: ReadonlyMap<number, number> = firstOfEach(ROWS);
const toOurs: ReadonlyMap<number, number> = firstOfEach(ROWS.map(([ours, theirs]) => [theirs, ours]));

function firstOfEach(rows: readonly (readonly [from: number, to: number])[]): ReadonlyMap<number, number> {
  // A Map keeps the last entry of a key.
  return new Map([...rows].reverse());
}

/** The number that a netconduit peer knows for one of our codes. */
export function toNetconduitCode(code: number): number {
  return toTheirs.get(code) ?? code;
}

/** Our code for a number that a netconduit peer sent. */
export function fromNetconduitCode(code: number): number {
  return toOurs.get(code) ?? code;
}
