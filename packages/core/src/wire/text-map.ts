/**
 * MessagePack of small maps that hold short ASCII texts, booleans and other such maps: what the two sides of a login
 * say. The library takes three times as long for one, and leaves 600 bytes of garbage.
 */
import { isForbiddenKey } from "./value-reader.ts";

const MAX_BYTES = 1024;
const MAX_TEXT_BYTES = 0xff;
/** A head of one byte says no more than this. */
const MAX_SHORT_TEXT_BYTES = 31;
const MAX_ENTRIES = 15;

/** Of {@link encodeTextMap}: something else is in it. */
const OTHER = -1;

const memory: Uint8Array = new Uint8Array(MAX_BYTES);
/** The first so many bytes of it, by their number. */
const views: Uint8Array[] = [];

/** The bytes of `map`, good until the next call; null: something else is in it, or too much. */
export function encodeTextMap(map: Readonly<Record<string, unknown>>): Uint8Array | null {
  const end = writeMap(map, 0);
  if (end === OTHER) return null;
  views[end] ??= memory.subarray(0, end);
  return views[end];
}

/** @returns where it ends, or {@link OTHER}; likewise below */
function writeMap(map: Readonly<Record<string, unknown>>, start: number): number {
  if (Object.getPrototypeOf(map) !== Object.prototype || start >= MAX_BYTES) return OTHER;
  let at = start + 1;
  let count = 0;
  // An array of the keys would be garbage.
  for (const key in map) {
    if (!Object.hasOwn(map, key)) continue;
    count += 1;
    at = count > MAX_ENTRIES || isForbiddenKey(key) ? OTHER : writeText(key, at);
    if (at !== OTHER) at = writeValue(map[key], at);
    if (at === OTHER) return OTHER;
  }
  memory[start] = 0x80 | count;
  return at;
}

function writeValue(value: unknown, at: number): number {
  if (typeof value === "string") return writeText(value, at);
  if (typeof value === "object" && value !== null) return writeMap(value as Readonly<Record<string, unknown>>, at);
  if (typeof value !== "boolean" || at >= MAX_BYTES) return OTHER;
  memory[at] = value ? 0xc3 : 0xc2;
  return at + 1;
}

function writeText(text: string, start: number): number {
  const { length } = text;
  const isShort = length <= MAX_SHORT_TEXT_BYTES;
  const at = start + (isShort ? 1 : 2);
  if (length > MAX_TEXT_BYTES || at + length > MAX_BYTES) return OTHER;
  for (let index = 0; index < length; index += 1) {
    const code = text.charCodeAt(index);
    if (code > 0x7f) return OTHER;
    memory[at + index] = code;
  }
  memory[start] = isShort ? 0xa0 | length : 0xd9;
  if (!isShort) memory[start + 1] = length;
  return at + length;
}
