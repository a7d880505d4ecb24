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
  const seen = new Set<string>();
  for (const part of message.split(",")) {
    const name = part.charAt(0);
    if (!/^[A-Za-z]=[^\0]+$/.test(part))
      throw malformed(what, `attribute ${attributes.length + 1} is not "letter=value"`);
    if (name === "m") throw malformed(what, "it demands a mandatory extension (m=), and none is known here");
    if (seen.has(name)) throw malformed(what, `attribute "${name}" stands twice`);
    seen.add(name);
    attributes.push([name, part.slice(2)]);
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
