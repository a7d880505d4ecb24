/** The text form of SCRAM messages (RFC 5802, section 7): `a=value,b=value,...`. */
import { ConduitError, ErrorCode } from "../errors.ts";

/** One attribute: its letter and its value. */
export type ScramAttribute = readonly [name: string, value: string];

/**
 * Splits a message into its attributes and checks that it begins with those of `expected`, in that order. What
 * follows them is left to the caller, as RFC 5802 leaves it to extensions.
 * @param what names the message in errors, for example `"server-first-message"`.
 * @throws ConduitError INVALID_PAYLOAD_SHAPE for a malformed or doubled attribute, a missing one, and for `m=`: a
 *   mandatory extension that, by the RFC, who does not know it must refuse.
 */
export function parseAttributes(what: string, message: string, expected: string): ScramAttribute[] {
  const attributes: ScramAttribute[] = [];
  // The first one only: what comes before it has been taken by then, and what comes after it never is.
  const nul = message.indexOf("\0");
  for (let start = 0; start <= message.length; ) {
    const comma = message.indexOf(",", start);
    const end = comma < 0 ? message.length : comma;
    const hasNul = nul >= start && nul < end;
    if (end - start < 3 || !isLetter(message.charCodeAt(start)) || message[start + 1] !== "=" || hasNul) {
      throw malformed(what, `attribute ${attributes.length + 1} is not "letter=value"`);
    }
    const name = message.charAt(start);
    if (name === "m") throw malformed(what, "it demands a mandatory extension (m=), and none is known here");
    // Few at any time: there are 52 letters.
    for (const [seen] of attributes) {
      if (seen === name) throw malformed(what, `attribute "${name}" stands twice`);
    }
    attributes.push([name, message.slice(start + 2, end)]);
    start = end + 1;
  }
  for (let index = 0; index < expected.length; index++) {
    const found = attributes[index]?.[0];
    if (found !== expected[index]) {
      throw malformed(
        what,
        `attribute ${index + 1} must be "${expected[index]}", got ${found ? `"${found}"` : "none"}`,
      );
    }
  }
  return attributes;
}

function isLetter(code: number): boolean {
  const lower = code | 0x20;
  return lower >= 0x61 && lower <= 0x7a;
}

/** Value of the attribute at `index`, which {@link parseAttributes} has checked to be there. */
export function valueAt(attributes: readonly ScramAttribute[], index: number): string {
  return attributes[index]?.[1] ?? "";
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
