/** Characters of a received value shown in an error message. */
const MAX_ECHO = 48;

/** Cuts `text` to `max` UTF-16 units, with an ellipsis. Never splits a surrogate pair. */
export function clip(text: string, max: number = MAX_ECHO): string {
  if (text.length <= max) return text;
  const last = text.charCodeAt(max - 2);
  const end = last >= 0xd800 && last <= 0xdbff ? max - 2 : max - 1;
  return `${text.slice(0, end)}…`;
}

/** Puts a peer's text on one line: replaces control characters, which could forge log lines, with spaces. */
export function oneLine(text: string): string {
  return text.replace(/\p{Cc}/gu, " ");
}

/** Like {@link clip}, for text that is kept: copies a part of a long text. */
export function clipToKeep(text: string, max: number): string {
  const short = clip(text, max);
  return text.length > 2 * max ? copyText(short) : short;
}

/** Copies text to memory of its own, because engines store a substring as a reference to the whole string. */
export function copyText(text: string): string {
  return [...text].join("");
}

/**
 * Describes any value for an error message: primitives as source text (strings clipped), other values by kind. Never
 * runs code of the value and never throws.
 */
export function describeValue(value: unknown): string {
  switch (typeof value) {
    case "string":
      return JSON.stringify(clip(value));
    case "bigint":
      return `${clip(String(value))}n`;
    case "number":
    case "boolean":
    case "undefined":
      return String(value);
    default:
      return value === null ? "null" : describeKind(value);
  }
}

/** Describes the kind of a value without showing it, for passwords and keys. */
export function describeKind(value: unknown): string {
  if (value === null) return "null";
  if (value === undefined) return "undefined";
  if (value === "") return "an empty string";
  if (Array.isArray(value)) return "an array";
  const type = typeof value;
  return type === "object" ? "an object" : `a ${type}`;
}
