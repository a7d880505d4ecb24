/** Parses SCRAM messages (RFC 5802, section 7): attributes `a=value`, joined by commas. */
import { ConduitError, ErrorCode } from "../errors.ts";
import { SCRAM_MAX_ITERATIONS, SCRAM_MIN_ITERATIONS } from "../limits.ts";
import { oneLine } from "../text/describe-value.ts";
import { decodeBase64 } from "../util/base64.ts";

/** Start of a client-first-message: no channel binding, no authorization identity. */
export const GS2_HEADER = "n,,";
/** Base64 of the header, as a client-final-message repeats it. */
export const CHANNEL_BINDING = "biws";

/** Bounds of each side's part of the nonce, in characters. 120 random bits take 20 characters of base64. */
const MIN_NONCE_CHARS = 16;
const MAX_NONCE_CHARS = 256;

/** Length of a proof and of a signature in bytes. */
const DIGEST_BYTES = 32;

export interface ClientFirst {
  /** The message without its header. */
  readonly bare: string;
  readonly username: string;
  readonly nonce: string;
}

export interface ServerFirst {
  readonly nonce: string;
  readonly salt: Uint8Array;
  readonly iterations: number;
}

export interface ClientFinal {
  readonly nonce: string;
  /** The message before `,p=`, including other attributes. */
  readonly withoutProof: string;
  readonly proof: Uint8Array;
}

/** @throws ConduitError INVALID_PAYLOAD_SHAPE. */
export function parseClientFirst(message: string): ClientFirst {
  const what = "client-first-message";
  if (!message.startsWith(GS2_HEADER)) throw malformed(what, `it must begin with "${GS2_HEADER}"`);
  const bare = message.slice(GS2_HEADER.length);
  const [name = "", nonce = ""] = parseAttributes(what, bare, "nr");
  checkNonce(what, nonce);
  if (!isNoncePart(nonce)) {
    const bounds = `${MIN_NONCE_CHARS} to ${MAX_NONCE_CHARS}`;
    throw malformed(what, `its nonce has ${nonce.length} characters, allowed are ${bounds}`);
  }
  return { bare, username: unescapeUsername(name), nonce };
}

/** Escapes commas and equals signs in a name. */
export function escapeUsername(name: string): string {
  return name.replaceAll("=", "=3D").replaceAll(",", "=2C");
}

/** Leaves other escapes unchanged. */
function unescapeUsername(name: string): string {
  return name.replaceAll("=2C", ",").replaceAll("=3D", "=");
}

/** Whether the length of one side's part of the nonce is allowed. */
export function isNoncePart(nonce: string): boolean {
  return nonce.length >= MIN_NONCE_CHARS && nonce.length <= MAX_NONCE_CHARS;
}

/** @throws ConduitError INVALID_PAYLOAD_SHAPE; SERVER_NOT_TRUSTED if the iterations are out of range */
export function parseServerFirst(message: string): ServerFirst {
  const what = "server-first-message";
  const [nonce = "", saltText = "", count = ""] = parseAttributes(what, message, "rsi");
  checkNonce(what, nonce);
  const salt = decodeBase64(saltText);
  if (salt === null) throw malformed(what, "the salt is not base64");
  if (!/^[1-9][0-9]{0,9}$/.test(count)) throw malformed(what, "the iteration count is not a positive integer");
  const iterations = Number(count);
  if (iterations < SCRAM_MIN_ITERATIONS || iterations > SCRAM_MAX_ITERATIONS) {
    throw new ConduitError(
      ErrorCode.SERVER_NOT_TRUSTED,
      `SCRAM: the server asks for ${iterations} iterations, allowed are ${SCRAM_MIN_ITERATIONS} to ${SCRAM_MAX_ITERATIONS}`,
    );
  }
  return { nonce, salt, iterations };
}

/** @throws ConduitError INVALID_PAYLOAD_SHAPE. */
export function parseClientFinal(message: string): ClientFinal {
  const what = "client-final-message";
  const [channel, nonce = ""] = parseAttributes(what, message, "cr");
  if (channel !== CHANNEL_BINDING) throw malformed(what, `c must be "${CHANNEL_BINDING}"`);
  const proofAt = message.lastIndexOf(",");
  const proof = message.startsWith(",p=", proofAt) ? decodeBase64(message.slice(proofAt + ",p=".length)) : null;
  if (proof?.length !== DIGEST_BYTES) throw malformed(what, `it must end in a proof of ${DIGEST_BYTES} bytes`);
  return { nonce, withoutProof: message.slice(0, proofAt), proof };
}

/**
 * @returns the server's signature.
 * @throws ConduitError INVALID_PAYLOAD_SHAPE; AUTH_FAILED for a server's `e=`.
 */
export function parseServerFinal(message: string): Uint8Array {
  const what = "server-final-message";
  if (message.startsWith("e=")) {
    throw new ConduitError(ErrorCode.AUTH_FAILED, `SCRAM: the server answers ${oneLine(message.slice(0, 100))}`);
  }
  const [value = ""] = parseAttributes(what, message, "v");
  const signature = decodeBase64(value);
  if (signature === null) throw malformed(what, "the signature is not base64");
  return signature;
}

/**
 * Returns the values of a message's attributes. It must start with those of `expected`, in that order; optional
 * extensions may follow. The name (`n`) may be empty. A mandatory extension (`m=`) is rejected, as RFC 5802 requires if
 * it is unknown.
 */
function parseAttributes(what: string, message: string, expected: string): string[] {
  const values: string[] = [];
  let names = "";
  for (const part of message.split(",")) {
    const name = part.charAt(0);
    const value = part.slice(2);
    const isEmpty = value === "" && name !== "n";
    if (!/[A-Za-z]/.test(name) || part.charAt(1) !== "=" || isEmpty || value.includes("\0")) {
      throw malformed(what, `attribute ${values.length + 1} is not "letter=value"`);
    }
    if (name === "m") throw malformed(what, "it demands a mandatory extension (m=), and none is known here");
    if (names.includes(name)) throw malformed(what, `attribute "${name}" stands twice`);
    names += name;
    values.push(value);
  }
  if (!names.startsWith(expected)) {
    const found = names.slice(0, expected.length);
    throw malformed(what, `its attributes must begin with "${expected}", got "${found}"`);
  }
  return values;
}

function checkNonce(what: string, nonce: string): void {
  if (!/^[!-~]+$/.test(nonce)) throw malformed(what, "the nonce is not printable ASCII");
}

/** The error for an invalid or unsupported SCRAM message. */
function malformed(what: string, why: string): ConduitError {
  return new ConduitError(ErrorCode.INVALID_PAYLOAD_SHAPE, `SCRAM ${what} refused: ${why}`);
}
