/** The text form of SCRAM messages (RFC 5802, section 7): `a=value,b=value,...`. */
import { ConduitError, ErrorCode } from "../errors.ts";

const EQUALS = 0x3d;
/** The bit that a lower-case letter has and an upper-case one has not. */
const LOWER_CASE = 0x20;

/** Where the values stand that {@link locateAttributes} found last: from here, */
export const valueStarts: number[] = [0, 0, 0];
/** to here. */
export const valueEnds: number[] = [0, 0, 0];

/**
 * Splits a message into its attributes, with the checks of {@link locateAttributes}.
 * @returns the values of the expected attributes.
 */
export function parseAttributes(what: string, message: string, expected: string): string[] {
  locateAttributes(what, message, expected);
  return Array.from(expected, (_, index) => message.slice(valueStarts[index], valueEnds[index]));
}

/**
 * Checks that a message consists of attributes, and begins with those of `expected`, in that order. What follows them is
 * left to the caller, as RFC 5802 leaves it to extensions. Makes no strings.
 * @param what names the message in errors, for example `"server-first-message"`.
 * @param expected one to three letters.
 * @param from where the attributes begin in it
 * @throws ConduitError INVALID_PAYLOAD_SHAPE for a malformed or doubled attribute, a missing one, and for `m=`: a
 *   mandatory extension that, by the RFC, who does not know it must refuse.
 */
export function locateAttributes(what: string, message: string, expected: string, from = 0): void {
  let count = 0;
  // One bit for each letter that stands there.
  let upper = 0;
  let lower = 0;
  let misplaced = -1;
  let found = "none";
  // The first one only: what comes before it has been taken by then, and what comes after it never is.
  const nul = message.indexOf("\0");
  for (let start = from; start <= message.length; ) {
    const comma = message.indexOf(",", start);
    const end = comma < 0 ? message.length : comma;
    const hasNul = nul >= start && nul < end;
    const code = end - start < 3 ? 0 : message.charCodeAt(start);
    if (!isLetter(code) || message.charCodeAt(start + 1) !== EQUALS || hasNul) {
      throw malformed(what, `attribute ${count + 1} is not "letter=value"`);
    }
    const name = message.charAt(start);
    if (name === "m") throw malformed(what, "it demands a mandatory extension (m=), and none is known here");
    const isLower = (code & LOWER_CASE) !== 0;
    const seen = isLower ? lower : upper;
    const bit = 1 << (code & 31);
    if ((seen & bit) !== 0) throw malformed(what, `attribute "${name}" stands twice`);
    if (isLower) lower |= bit;
    else upper |= bit;
    if (count < expected.length) {
      if (misplaced < 0 && name !== expected[count]) {
        misplaced = count;
        found = `"${name}"`;
      }
      valueStarts[count] = start + 2;
      valueEnds[count] = end;
    }
    count++;
    start = end + 1;
  }
  if (misplaced < 0 && count < expected.length) misplaced = count;
  if (misplaced < 0) return;
  throw malformed(what, `attribute ${misplaced + 1} must be "${expected[misplaced]}", got ${found}`);
}

function isLetter(code: number): boolean {
  const lower = code | LOWER_CASE;
  return lower >= 0x61 && lower <= 0x7a;
}

/** A user name as it stands in a message: `,` and `=` have a meaning there. */
export function escapeName(name: string): string {
  return name.replaceAll("=", "=3D").replaceAll(",", "=2C");
}

/** Whether every `=` in the received user name that stands in `text` from `start` to `end` begins an escape. */
export function isEscapedName(text: string, start = 0, end: number = text.length): boolean {
  const first = text.indexOf("=", start);
  return first < 0 || first >= end || !/=(?!2C|3D)/.test(text.slice(start, end));
}

/** The error for a message that is not SCRAM, or not the SCRAM spoken here. */
export function malformed(what: string, why: string): ConduitError {
  return new ConduitError(ErrorCode.INVALID_PAYLOAD_SHAPE, `SCRAM ${what} refused: ${why}`);
}
