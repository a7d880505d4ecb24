/** Characters of a received value that an error message may repeat. */
const MAX_ECHO = 48;

/** `text`, cut to `max` UTF-16 units with an ellipsis; a surrogate pair is never split. */
export function clip(text: string, max: number = MAX_ECHO): string {
  if (text.length <= max) return text;
  const last = text.charCodeAt(max - 2);
  const end = last >= 0xd800 && last <= 0xdbff ? max - 2 : max - 1;
  return `${text.slice(0, end)}…`;
}

/**
 * A short description of any value for an error message: primitives as they are written in source (strings clipped),
 * everything else by its kind. Never runs code of the value, never throws.
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

/** What kind of value it is, without showing it: for passwords, keys, and whatever might be one. */
export function describeKind(value: unknown): string {
  if (value === null) return "null";
  if (value === undefined) return "undefined";
  if (value === "") return "an empty string";
  if (Array.isArray(value)) return "an array";
  const type = typeof value;
  return type === "object" ? "an object" : `a ${type}`;
}
