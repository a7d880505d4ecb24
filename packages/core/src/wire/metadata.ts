/** The map of strings that accompanies a call or message. */
import { type Called, ConduitError, cannot, ErrorCode, quoted } from "../errors.ts";
import { clip } from "../text/describe-value.ts";
import { isMap } from "../util/is-map.ts";
import { concat, encodeText, KEY_DATA, KEY_PARAMS } from "./envelope.ts";
import { isWellFormed } from "./value-composer.ts";
import { isForbiddenKey } from "./value-reader.ts";

/** Strings that accompany a call, message or stream, such as `traceparent`. */
export type Metadata = Readonly<Record<string, string>>;

/** Metadata of a request without any. */
export const NO_METADATA: Metadata = Object.freeze({});
/** Maximum number of entries. */
const MAX_METADATA_ENTRIES = 64;
/** Maximum total characters of keys and values. */
const MAX_METADATA_CHARACTERS = 4096;

const KEY_META: Uint8Array = encodeText("meta");
const MAP_16 = 0xde;
/** Fixed-size maps have fewer entries. */
const FIXED_MAP_ENTRIES = 16;

/** Why `meta` isn't valid metadata; null if it is. */
export function metadataProblem(meta: unknown): string | null {
  if (!isMap(meta)) return "is not a map";
  const entries = Object.entries(meta);
  if (entries.length > MAX_METADATA_ENTRIES) {
    return `has ${entries.length} entries, more than ${MAX_METADATA_ENTRIES}`;
  }
  let characters = 0;
  for (const [key, value] of entries) {
    if (typeof value !== "string")
      return `has a ${value === null ? "null" : typeof value} at '${clip(key)}' and not a string`;
    if (isForbiddenKey(key)) return `has the key '${key}', which is not allowed`;
    if (!isWellFormed(key) || !isWellFormed(value)) return `has a lone surrogate at '${clip(key)}'`;
    characters += key.length + value.length;
  }
  if (characters <= MAX_METADATA_CHARACTERS) return null;
  return `has ${characters} characters, more than ${MAX_METADATA_CHARACTERS}`;
}

/**
 * Checks the option `meta`; null for none.
 * @param isCarried whether the peer supports metadata
 * @throws ConduitError INVALID_CONFIG, PEER_UNSUPPORTED
 */
export function metadataOf(called: Called, meta: Metadata | undefined, isCarried: boolean): Metadata | null {
  if (meta === undefined) return null;
  const problem = metadataProblem(meta);
  if (problem !== null) throw new ConduitError(ErrorCode.INVALID_CONFIG, `meta of ${quoted(called)} ${problem}`);
  if (Object.keys(meta).length === 0) return null;
  if (isCarried) return meta;
  const message = `${cannot("send", called)} with meta: the peer doesn't support the extension 'meta'`;
  throw new ConduitError(ErrorCode.PEER_UNSUPPORTED, message);
}

/**
 * Copies the option `meta` of a message or call that is sent later, so that later changes aren't sent; undefined for
 * none.
 * @throws ConduitError INVALID_CONFIG
 */
export function keptMetadata(called: Called, meta: Metadata | undefined): Metadata | undefined {
  const checked = metadataOf(called, meta, true);
  return checked === null ? undefined : { ...checked };
}

/** Inserts metadata into the bytes before the params or data of a request. */
export function metadataHead(head: Uint8Array, valueKey: "params" | "data", meta: Metadata): Uint8Array {
  const key = valueKey === "params" ? KEY_PARAMS : KEY_DATA;
  const entries = Object.entries(meta);
  const size = entries.length;
  const map = size < FIXED_MAP_ENTRIES ? [0x80 | size] : [MAP_16, 0, size];
  const texts = entries.flatMap(([name, value]) => [encodeText(name), encodeText(value)]);
  const name = head.subarray(1, head.length - key.length);
  return concat([[(head[0] as number) + 1], name, KEY_META, map, ...texts, key]);
}
