/** Base64 of RFC 4648, section 4, strict: padded, canonical, nothing else in the text. */

const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const INVALID = 255;
const PADDING = 0x3d;

const values: Uint8Array = new Uint8Array(128).fill(INVALID);
for (let index = 0; index < ALPHABET.length; index++) values[ALPHABET.charCodeAt(index)] = index;

/** Bytes encoded at a time: a digest's and more, in whole groups of three. */
const CHUNK_BYTES = 48;

/** The digits of an alphabet of 64, by value. */
const digits: Uint8Array = Uint8Array.from(ALPHABET, (digit) => digit.charCodeAt(0));

/** Memory for the letters of up to {@link CHUNK_BYTES}, by their groups of four: used again, they leave no garbage. */
const letters: readonly number[][] = Array.from({ length: CHUNK_BYTES / 3 + 1 }, (_, groups) =>
  new Array<number>(groups * 4).fill(PADDING),
);

/** Encodes with padding and without line breaks. */
export function encodeBase64(bytes: Uint8Array): string {
  if (bytes.length <= CHUNK_BYTES) return encodeChunk(bytes, 0, bytes.length);
  let text = "";
  for (let start = 0; start < bytes.length; start += CHUNK_BYTES) {
    text += encodeChunk(bytes, start, Math.min(start + CHUNK_BYTES, bytes.length));
  }
  return text;
}

function encodeChunk(bytes: Uint8Array, start: number, end: number): string {
  const codes = letters[Math.ceil((end - start) / 3)] as number[];
  let written = 0;
  for (let at = start; at < end; at += 3) {
    const left = end - at;
    const second = left > 1 ? (bytes[at + 1] as number) : 0;
    const third = left > 2 ? (bytes[at + 2] as number) : 0;
    const bits = ((bytes[at] as number) << 16) | (second << 8) | third;
    codes[written] = digits[bits >> 18] as number;
    codes[written + 1] = digits[(bits >> 12) & 63] as number;
    codes[written + 2] = left > 1 ? (digits[(bits >> 6) & 63] as number) : PADDING;
    codes[written + 3] = left > 2 ? (digits[bits & 63] as number) : PADDING;
    written += 4;
  }
  return String.fromCharCode.apply(null, codes);
}

/**
 * Decodes what {@link encodeBase64} can have written.
 * @param into used for the result if it is just as long. Default: new memory.
 * @param start where it begins in `text`
 * @param stop where it ends
 * @returns null for anything else: white space, missing padding, other alphabets, bits that the padding cuts off.
 */
export function decodeBase64(
  text: string,
  into?: Uint8Array,
  start = 0,
  stop: number = text.length,
): Uint8Array | null {
  if ((stop - start) % 4 !== 0) return null;
  let end = stop;
  if (end > start && text.charCodeAt(end - 1) === PADDING) end--;
  if (end < stop && text.charCodeAt(end - 1) === PADDING) end--;
  const length = ((end - start) * 3) >> 2;
  const bytes = into?.length === length ? into : new Uint8Array(length);
  let bits = 0;
  let count = 0;
  let written = 0;
  for (let at = start; at < end; at++) {
    const value = values[text.charCodeAt(at)] ?? INVALID;
    if (value === INVALID) return null;
    // At most 6 bits wait for their byte, so 12 bits are all that is ever needed.
    bits = ((bits << 6) | value) & 0xfff;
    count += 6;
    if (count >= 8) {
      count -= 8;
      bytes[written++] = (bits >> count) & 0xff;
    }
  }
  return (bits & ((1 << count) - 1)) === 0 ? bytes : null;
}
