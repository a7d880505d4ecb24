/**
 * Names of files in a shared folder: relative paths with `/`. A name is accepted only if every operating system would
 * store it under that name and inside the folder, regardless of the system this side runs on. Symbolic links are
 * checked on disk.
 */

/** Limit of common file systems. */
const MAX_PART_BYTES = 255;
const MAX_NAME_BYTES = 1024;
/** A composed letter of two bytes has at most three UTF-16 units when it is decomposed. */
const MAX_UNITS_PER_BYTE = 2;

/** Separators, drives and streams of Windows, its wildcards, and control characters. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for
const FORBIDDEN = /[\\:*?"<>|\u0000-\u001f\u007f-\u009f]/u;
/** Characters that make a name look like another one: they change the text direction or are invisible. */
const MISLEADING = /[\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff]/u;
/** Windows device names, which are also opened by names with any extension, and may have superscript digits. */
const DEVICE = /^(CON|PRN|AUX|NUL|CONIN\$|CONOUT\$|CLOCK\$|(COM|LPT)[0-9\u00b9\u00b2\u00b3])$/u;

const utf8 = new TextEncoder();

/** Returns the rule that a name violates, worded to follow the name (`must not contain ".."`), or null if it is valid. */
export function problemOfName(name: unknown): string | null {
  if (typeof name !== "string" || name === "") return "must be a non-empty string";
  if (isTooLong(name, MAX_NAME_BYTES)) return `must have at most ${MAX_NAME_BYTES} bytes`;
  if (!isWellFormed(name)) return "must not contain half of a surrogate pair";
  const normal = normalName(name);
  if (utf8.encode(normal).length > MAX_NAME_BYTES) return `must have at most ${MAX_NAME_BYTES} bytes`;
  if (normal.startsWith("/")) return "must be relative";
  const forbidden = FORBIDDEN.exec(normal) ?? MISLEADING.exec(normal);
  if (forbidden !== null) return `must not contain ${describe(forbidden[0])}`;
  for (const part of normal.split("/")) {
    const problem = problemOfPart(part);
    if (problem !== null) return problem;
  }
  return null;
}

/**
 * Whether a name exceeds `maxBytes` in any Unicode form. Checked before normalization, whose time is quadratic in the
 * number of combining marks on a letter.
 */
export function isTooLong(name: string, maxBytes: number): boolean {
  return name.length > MAX_UNITS_PER_BYTE * maxBytes;
}

/** Returns the form in which a name is stored: composed (NFC). */
export function normalName(name: string): string {
  return name.normalize("NFC");
}

/**
 * Returns equal keys for names that some system treats as the same file: they differ in case, in Unicode form, or in
 * invisible characters.
 */
export function nameKey(name: string): string {
  // Upper case first, so that letters with two lower-case forms (σ, ς) or a compatible one (ſ, K) become equal.
  const folded = name.normalize("NFD").toUpperCase().toLowerCase();
  return folded.replace(/\p{Default_Ignorable_Code_Point}/gu, "").normalize("NFC");
}

function problemOfPart(part: string): string | null {
  if (part === "") return "must not contain empty parts";
  if (part === "." || part === "..") return `must not contain "${part}"`;
  if (/[. ]$/.test(part)) return "must not have parts that end with a dot or a space";
  if (utf8.encode(part).length > MAX_PART_BYTES) return `must have parts of at most ${MAX_PART_BYTES} bytes`;
  const [stem = ""] = part.split(".");
  const device = stem.trimEnd().toUpperCase();
  return DEVICE.test(device) ? `must not be the name of a device (${device})` : null;
}

function isWellFormed(text: string): boolean {
  return !/\p{Surrogate}/u.test(text);
}

/** Describes a character, by its code point if it is invisible. */
function describe(character: string): string {
  const code = character.charCodeAt(0);
  if (code > 0x20 && code < 0x7f) return JSON.stringify(character);
  return `U+${code.toString(16).toUpperCase().padStart(4, "0")}`;
}
