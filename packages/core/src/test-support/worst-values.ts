/**
 * Values that need most memory per byte on the wire, by kind. Each encodes one element (for the big map: one entry),
 * which depends on its index so that caches don't contain it.
 */

const BIG_MAP = "keys in one map";

/** Returns four characters that depend on the index. */
function four(index: number): readonly number[] {
  return [0, 6, 12, 18].map((shift) => 0x30 + ((index >> shift) & 63));
}

function key(index: number): readonly number[] {
  return [0xa4, ...four(index)];
}

function mapOf(count: number, keyAt: (place: number) => readonly number[]): number[] {
  const entries = Array.from({ length: count }, (_, place) => [...keyAt(place), 0xc0]).flat();
  return count < 16 ? [0x80 + count, ...entries] : [0xde, 0, count, ...entries];
}

/** Returns the letters a to o in an order that depends on the index. */
function shuffled(index: number): number[] {
  const letters = Array.from({ length: 15 }, (_, place) => 0x61 + place);
  let state = Math.imul(index + 1, 0x9e37_79b1) >>> 0;
  for (let last = 14; last > 0; last--) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    const place = (state >>> 8) % (last + 1);
    [letters[last], letters[place]] = [letters[place] as number, letters[last] as number];
  }
  return letters;
}

/** Encodes the text as a string. */
function text(characters: string): number[] {
  const bytes = [...new TextEncoder().encode(characters)];
  return bytes.length < 32 ? [0xa0 + bytes.length, ...bytes] : [0xd9, bytes.length, ...bytes];
}

export const VALUES: Readonly<Record<string, (index: number) => readonly number[]>> = {
  "small integers": (index) => [index & 0x7f],
  floats: (index) => [0xcb, 0x3f, 0xf1, (index >> 16) & 255, (index >> 8) & 255, index & 255, 1, 1, 1],
  "floats among nils": (index) => (index % 2 === 0 ? [0xca, 0x3f, 0x81, (index >> 8) & 255, index & 255] : [0xc0]),
  "large integers": (index) => [0xcf, 0xff, 1, 1, (index >> 16) & 255, (index >> 8) & 255, index & 255, 1, 1],
  "empty arrays": () => [0x90],
  "arrays of two": () => [0x92, 0xc0, 0xc0],
  "empty maps": () => [0x80],
  "maps with the same keys": () => [0x81, 0xa1, 0x61, 0xc0],
  "maps with a key of their own": (index) => mapOf(1, () => key(index)),
  "maps with 15 keys of their own": (index) => mapOf(15, (place) => key(15 * index + place)),
  "maps with 15 keys in an order of their own": (index) => {
    const letters = shuffled(index);
    return mapOf(15, (place) => [0xa1, letters[place] as number]);
  },
  "maps with 25 keys": () => mapOf(25, (place) => [0xa1, 0x61 + place]),
  "maps with 40 keys of their own": (index) => mapOf(40, (place) => key(40 * index + place)),
  "maps with the key 99": () => mapOf(1, () => text("99")),
  "maps with the key 999": () => mapOf(1, () => text("999")),
  "maps with the keys 1022 and 2022": () => mapOf(2, (place) => text(`${1 + place}022`)),
  "maps with the key 99999": () => mapOf(1, () => text("99999")),
  "short strings": key,
  "strings that are not ASCII": (index) => text(String.fromCharCode(0x4e00 + (index & 0xfff))),
  "strings of 100 bytes that are not ASCII": (index) =>
    text(String.fromCharCode(0x4e00 + (index & 0xfff)) + "a".repeat(97)),
  "empty binaries": () => [0xc4, 0],
  "binaries of a byte": () => [0xc4, 1, 7],
  "binaries of 65 bytes": () => [0xc4, 65, ...new Array<number>(65).fill(1)],
  "extension values": () => [0xd6, 5, 1, 1, 1, 1],
  timestamps: (index) => [0xd6, 0xff, 0x50, 1, (index >> 8) & 255, index & 255],
  [BIG_MAP]: (index) => [...key(index), 0xc0],
};

/** Number of elements per array, so that the charge for its slots doesn't precede the charges for the values. */
const ARRAY_ELEMENTS = 4096;
/** Number of distinct elements before they repeat, because creating them takes long. */
const DIFFERENT_ELEMENTS = 32 * ARRAY_ELEMENTS;

/** Encodes an array of arrays (or a map) of at most `maxBytes`, full of values of one kind. */
export function messageOf(kind: string, maxBytes: number): Uint8Array {
  const valueAt = VALUES[kind];
  if (valueAt === undefined) throw new Error(`No kind '${kind}'`);
  const bytes = new Uint8Array(maxBytes);
  const view = new DataView(bytes.buffer);
  const isMap = kind === BIG_MAP;
  bytes[0] = isMap ? 0xdf : 0xdd;
  let end = 5;
  let count = 0;
  let arrays = 0;
  let array = 0;
  for (; ; count++) {
    const value = valueAt(count);
    const isArrayStart = !isMap && count % ARRAY_ELEMENTS === 0;
    if (end + value.length + (isArrayStart ? 3 : 0) > maxBytes) break;
    if (isArrayStart && count >= DIFFERENT_ELEMENTS) {
      const length = end - 5;
      for (; end + length <= maxBytes; end += length) {
        bytes.copyWithin(end, 5, 5 + length);
        arrays += DIFFERENT_ELEMENTS / ARRAY_ELEMENTS;
      }
      break;
    }
    if (isArrayStart) {
      array = end;
      arrays += 1;
      bytes[array] = 0xdc;
      end += 3;
    }
    bytes.set(value, end);
    end += value.length;
    if (!isMap) view.setUint16(array + 1, (count % ARRAY_ELEMENTS) + 1);
  }
  view.setUint32(1, isMap ? count : arrays);
  return bytes.subarray(0, end);
}
