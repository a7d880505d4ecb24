/** Base64 of RFC 4648, section 4, strict: padded, canonical, nothing else in the text. */

const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const INVALID = 255;
const PADDING = 0x3d;

const values: Uint8Array = new Uint8Array(128).fill(INVALID);
for (let index = 0; index < ALPHABET.length; index++) values[ALPHABET.charCodeAt(index)] = index;

/** Encodes with padding and without line breaks. */
export function encodeBase64(bytes: Uint8Array): string {
  let text = "";
  for (let at = 0; at < bytes.length; at += 3) {
    const left = bytes.length - at;
    const bits = ((bytes[at] ?? 0) << 16) | ((bytes[at + 1] ?? 0) << 8) | (bytes[at + 2] ?? 0);
    text += ALPHABET.charAt(bits >> 18) + ALPHABET.charAt((bits >> 12) & 63);
    text += left > 1 ? ALPHABET.charAt((bits >> 6) & 63) : "=";
    text += left > 2 ? ALPHABET.charAt(bits & 63) : "=";
  }
  return text;
}

/**
 * Decodes what {@link encodeBase64} can have written.
 * @returns null for anything else: white space, missing padding, other alphabets, bits that the padding cuts off.
 */
export function decodeBase64(text: string): Uint8Array | null {
  if (text.length % 4 !== 0) return null;
  let digits = text.length;
  if (digits > 0 && text.charCodeAt(digits - 1) === PADDING) digits--;
  if (digits < text.length && text.charCodeAt(digits - 1) === PADDING) digits--;
  const bytes = new Uint8Array((digits * 3) >> 2);
  let bits = 0;
  let count = 0;
  let written = 0;
  for (let at = 0; at < digits; at++) {
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
