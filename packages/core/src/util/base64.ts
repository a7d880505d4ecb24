/** Base64 of RFC 4648, section 4. */

/** A multiple of 3, so that pieces can be joined, and as many arguments as each engine takes. */
const PIECE_BYTES = 12_288;

/** Encodes with padding and without line breaks. */
export function encodeBase64(bytes: Uint8Array): string {
  if (bytes.length <= PIECE_BYTES) return encodePiece(bytes);
  let text = "";
  for (let at = 0; at < bytes.length; at += PIECE_BYTES) text += encodePiece(bytes.subarray(at, at + PIECE_BYTES));
  return text;
}

function encodePiece(bytes: Uint8Array): string {
  // `apply`, because spreading makes an object per byte, 2 KiB for each login.
  return btoa(String.fromCharCode.apply(null, bytes as unknown as number[]));
}

/** Decodes strictly. Returns null for text that {@link encodeBase64} can't produce. */
export function decodeBase64(text: string): Uint8Array | null {
  let binary: string;
  try {
    binary = atob(text);
  } catch {
    return null;
  }
  // `atob` ignores white space, missing padding, and bits that the padding cuts off.
  if (btoa(binary) !== text) return null;
  const bytes = new Uint8Array(binary.length);
  for (let index = 0; index < binary.length; index++) bytes[index] = binary.charCodeAt(index);
  return bytes;
}
