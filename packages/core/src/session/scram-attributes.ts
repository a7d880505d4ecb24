/** The text form of SCRAM messages (RFC 5802, section 7): `a=value,b=value,...`. */
import { ConduitError, ErrorCode } from "../errors.ts";

const EQUALS = 0x3d;

/**
 * Splits a message into its attributes and checks that it begins with those of `expected`, in that order. What
 * follows them is left to the caller, as RFC 5802 leaves it to extensions.
 * @param what names the message in errors, for example `"server-first-message"`.
 * @returns the values of the expected attributes.
 * @throws ConduitError INVALID_PAYLOAD_SHAPE for a malformed or doubled attribute, a missing one, and for `m=`: a
 *   mandatory extension that, by the RFC, who does not know it must refuse.
 */
export function parseAttributes(what: string, message: string, expected: string): string[] {
  const values: string[] = [];
  let names = "";
  // The first one only: what comes before it has been taken by then, and what comes after it never is.
  const nul = message.indexOf("\0");
  for (let start = 0; start <= message.length; ) {
    const comma = message.indexOf(",", start);
    const end = comma < 0 ? message.length : comma;
    const hasNul = nul >= start && nul < end;
    if (end - start < 3 || !isLetter(message.charCodeAt(start)) || message.charCodeAt(start + 1) !== EQUALS || hasNul) {
      throw malformed(what, `attribute ${names.length + 1} is not "letter=value"`);
    }
    const name = message.charAt(start);
    if (name === "m") throw malformed(what, "it demands a mandatory extension (m=), and none is known here");
    // Few at any time: there are 52 letters.
    if (names.includes(name)) throw malformed(what, `attribute "${name}" stands twice`);
    if (names.length < expected.length) values.push(message.slice(start + 2, end));
    names += name;
    start = end + 1;
  }
  if (names.startsWith(expected)) return values;
  let index = 0;
  while (names[index] === expected[index]) index++;
  const found = names[index];
  throw malformed(
    what,
    `attribute ${index + 1} must be "${expected[index]}", got ${found === undefined ? "none" : `"${found}"`}`,
  );
}

function isLetter(code: number): boolean {
  const lower = code | 0x20;
  return lower >= 0x61 && lower <= 0x7a;
}

/** A user name as it stands in a message: `,` and `=` have a meaning there. */
export function escapeName(name: string): string {
  return name.replaceAll("=", "=3D").replaceAll(",", "=2C");
}

/** Whether every `=` in a received user name begins an escape. */
export function isEscapedName(name: string): boolean {
  return !/=(?!2C|3D)/.test(name);
}

/** The error for a message that is not SCRAM, or not the SCRAM spoken here. */
export function malformed(what: string, why: string): ConduitError {
  return new ConduitError(ErrorCode.INVALID_PAYLOAD_SHAPE, `SCRAM ${what} refused: ${why}`);
}
