const BYTES = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, "0"));

/** Encodes bytes in lower-case hexadecimal, two digits per byte. */
export function toHex(bytes: Uint8Array): string {
  // Joined: a string that was added up keeps its parts, which took 1.5 KiB for each session token.
  const digits = new Array<string>(bytes.length);
  bytes.forEach((byte, index) => {
    digits[index] = BYTES[byte] as string;
  });
  return digits.join("");
}
