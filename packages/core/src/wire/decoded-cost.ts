/**
 * Memory cost of decoded values, in bytes, beyond their slots in an array or map. Each is the largest growth per
 * value, garbage included, of a Node.js, Bun or Deno process while it decoded messages of that kind. Their sum bounds
 * a process's growth; it isn't the size of the values that are kept.
 */

export const ARRAY_COST = 96;
/** An array slot. */
export const SLOT_COST = 16;

export const MAP_COST = 112;
/** A key that matches the shape of the previous map. */
export const KNOWN_KEY_COST = 16;
/** Any other key, for which engines create a hidden class. */
export const NEW_KEY_COST = 416;
/** Maps with up to this many keys have a shape. */
export const MAX_SHAPE_KEYS = 16;
/** A map with more keys becomes a hash table. */
export const HASH_TABLE_COST = 1200;
/** Each further key of it. */
export const LATER_KEY_COST = 176;
/** Cost of each smaller index for which an integer key allocates room. */
export const INDEX_COST = 15;
/** Room for indices grows by half, plus this. */
export const INDEX_SLACK = 16;
/** Integer keys with a larger gap are kept in a hash table. */
export const MAX_INDEX_GAP = 1024;
export const SPARSE_INDEX_COST = 224;

/** A number that V8 stores outside its slot. */
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
/** Each byte of a string, binary or key, including intermediate copies. */
export const BYTE_COST = 3;
