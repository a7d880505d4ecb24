/**
 * Memory that a decoded value takes, in bytes, beyond its slot in an array or map: the most by which a process of
 * Node.js, Bun or Deno grew per value while it decoded a message of one kind, garbage included. So their sum is a bound
 * of what a process may grow by, not the size of what it keeps.
 */

export const ARRAY_COST = 96;
/** A place in an array. */
export const SLOT_COST = 16;

export const MAP_COST = 112;
/** A key that continues the shape of the map before it. */
export const KNOWN_KEY_COST = 16;
/** Any other: engines make a hidden class for it. */
export const NEW_KEY_COST = 416;
/** Maps with up to this many keys have a shape. */
export const MAX_SHAPE_KEYS = 16;
/** A map with more keys becomes a hash table. */
export const HASH_TABLE_COST = 1200;
/** Each of its further keys. */
export const LATER_KEY_COST = 176;
/** An integer as a key makes room for all those below it; for each of these. */
export const INDEX_COST = 15;
/** Room grows by half, and this. */
export const INDEX_SLACK = 16;
/** With a larger gap, integer keys are kept in a hash table, which takes this. */
export const MAX_INDEX_GAP = 1024;
export const SPARSE_INDEX_COST = 224;

/** A number that V8 keeps outside of its slot. */
export const NUMBER_COST = 40;
export const BIGINT_COST = 88;
export const DATE_COST = 224;
export const STRING_COST = 80;
/** Added for a string that isn't ASCII. */
export const UTF8_COST = 48;
/** A `Uint8Array` with its `ArrayBuffer`. */
export const BINARY_COST = 608;
/** An `ExtData`, beyond its binary. */
export const EXTENSION_COST = 48;
/** Each byte of a string, a binary or a key: the value, and copies on the way to it. */
export const BYTE_COST = 3;
