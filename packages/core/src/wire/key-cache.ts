/**
 * Caches short ASCII strings by their bytes. Map keys and method names repeat in every message; a lookup is cheaper
 * than decoding, and an interned string is a far faster key than a new one.
 */

/** Longest string kept. */
export const MAX_CACHED_KEY_BYTES = 32;
/** Bounds the memory: a full set evicts one of its strings. 8 bits of a hash select the set. */
const SETS = 256;
const WAYS = 4;

interface Entry {
  readonly bytes: Uint8Array;
  text: string;
  /** Interned on the first hit; it isn't worth it for keys that never repeat. */
  interned: boolean;
}

/** Matches nothing: no string that is looked up has no bytes. */
const EMPTY: Entry = { bytes: new Uint8Array(0), text: "", interned: false };

/** A bounded, set-associative cache from bytes to strings. */
export class KeyCache {
  private readonly entries: Entry[] = Array.from({ length: SETS * WAYS }, () => EMPTY);
  /** Index within a set of the string to evict next. */
  private victim = 0;

  /** Returns the cached string for these `length` (1 to {@link MAX_CACHED_KEY_BYTES}) bytes, or `""`. */
  find(bytes: Uint8Array, start: number, length: number): string {
    const first = firstSlot(bytes, start, length);
    const entry = this.entries[first] as Entry;
    if (matches(entry.bytes, bytes, start, length)) return entry.interned ? entry.text : intern(entry);
    for (let slot = first + 1; slot < first + WAYS; slot++) {
      const other = this.entries[slot] as Entry;
      if (matches(other.bytes, bytes, start, length)) return other.interned ? other.text : intern(other);
    }
    return "";
  }

  /** Adds `text`, which must be ASCII and not cached, under its bytes. */
  store(text: string, bytes: Uint8Array, start: number): void {
    const length = text.length;
    let slot = firstSlot(bytes, start, length);
    const end = slot + WAYS;
    while (slot < end && (this.entries[slot] as Entry).text !== "") slot++;
    if (slot === end) {
      this.victim = (this.victim + 1) & (WAYS - 1);
      slot = end - WAYS + this.victim;
    }
    // Copy, so that the chunk isn't retained.
    const copy = new Uint8Array(length);
    for (let i = 0; i < length; i++) copy[i] = bytes[start + i] as number;
    this.entries[slot] = { bytes: copy, text, interned: false };
  }
}

/** Four bytes and the length are enough of a hash to select a set. */
function firstSlot(bytes: Uint8Array, start: number, length: number): number {
  const last = start + length - 1;
  const sample =
    ((bytes[start] as number) << 24) |
    ((bytes[(start + last) >>> 1] as number) << 16) |
    ((bytes[last > start ? last - 1 : start] as number) << 8) |
    (bytes[last] as number);
  return (Math.imul(sample ^ Math.imul(length, 0x85eb_ca6b), 0x9e37_79b1) >>> 24) * WAYS;
}

function matches(known: Uint8Array, bytes: Uint8Array, start: number, length: number): boolean {
  if (known.length !== length) return false;
  for (let i = 0; i < length; i++) {
    if (known[i] !== bytes[start + i]) return false;
  }
  return true;
}

function intern(entry: Entry): string {
  // The engine interns property names.
  entry.text = Object.keys({ [entry.text]: 0 })[0] as string;
  entry.interned = true;
  return entry.text;
}
