/** Ids of connections and tokens of sessions. All of one login are drawn at once, into memory that is used again. */
import type { RuntimeCrypto } from "../runtime.ts";

const TOKEN_BYTES = 32;
const UUID_BYTES = 16;
const DIGITS: Uint8Array = Uint8Array.from("0123456789abcdef", (digit) => digit.charCodeAt(0));
const HYPHEN = 0x2d;
/** Where the text of a UUID has hyphens: before these bytes. */
const GROUPS: readonly number[] = [4, 6, 8, 10];

const memory: Uint8Array = new Uint8Array(TOKEN_BYTES + UUID_BYTES);

/** A text is made in one call from its codes, because a string that was added up keeps all its parts, and these are kept. */
const byteCodes: number[] = new Array<number>(TOKEN_BYTES).fill(0);
const hexCodes: number[] = new Array<number>(2 * TOKEN_BYTES).fill(0);
const uuidCodes: number[] = new Array<number>(2 * UUID_BYTES + GROUPS.length).fill(0);

/** Random bytes for an id and a token, good until the next are drawn. */
export function drawIds(crypto: RuntimeCrypto): Uint8Array {
  return crypto.randomBytes(memory.length, memory);
}

/** The token that was drawn: 32 characters of a byte each, half as large as in hexadecimal. */
export function tokenBytes(drawn: Uint8Array): string {
  for (let index = 0; index < TOKEN_BYTES; index += 1) byteCodes[index] = drawn[index] as number;
  return String.fromCharCode.apply(null, byteCodes);
}

/** A token as peers know it, in hexadecimal. */
export function hexToken(token: string): string {
  for (let index = 0; index < TOKEN_BYTES; index += 1) writeHex(hexCodes, 2 * index, token.charCodeAt(index));
  return String.fromCharCode.apply(null, hexCodes);
}

/** The id that was drawn: a UUID of version 4 (RFC 9562). */
export function uuid(drawn: Uint8Array): string {
  let written = 0;
  for (let index = 0; index < UUID_BYTES; index += 1) {
    if (GROUPS.includes(index)) uuidCodes[written++] = HYPHEN;
    writeHex(uuidCodes, written, uuidByte(index, drawn[TOKEN_BYTES + index] as number));
    written += 2;
  }
  return String.fromCharCode.apply(null, uuidCodes);
}

/** Two of its bytes say version and variant. */
function uuidByte(index: number, byte: number): number {
  if (index === 6) return (byte & 0x0f) | 0x40;
  return index === 8 ? (byte & 0x3f) | 0x80 : byte;
}

function writeHex(codes: number[], at: number, byte: number): void {
  codes[at] = DIGITS[byte >> 4] as number;
  codes[at + 1] = DIGITS[byte & 15] as number;
}
