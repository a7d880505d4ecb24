/**
 * The fixed bytes of the payload envelopes: `{type, data}`, `{method, params, timeout_ms?}` and `{success: true,
 * result}`. Writer and reader use them to process common payloads without building or parsing maps.
 */
const encoder: TextEncoder = new TextEncoder();

/** Encodes a string as MessagePack. */
export function encodeText(text: string): Uint8Array {
  const utf8 = encoder.encode(text);
  return concat([textHeader(utf8.length), utf8]);
}

function textHeader(length: number): number[] {
  if (length < 32) return [0xa0 | length];
  if (length < 0x100) return [0xd9, length];
  if (length < 0x1_0000) return [0xda, length >>> 8, length & 0xff];
  return [0xdb, length >>> 24, (length >>> 16) & 0xff, (length >>> 8) & 0xff, length & 0xff];
}

/** Concatenates the parts. */
export function concat(parts: readonly ArrayLike<number>[]): Uint8Array {
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

/** Headers of maps with two and three entries. */
const MAP_2 = 0x82;
const MAP_3 = 0x83;
const TRUE = 0xc3;

const KEY_TYPE: Uint8Array = encodeText("type");
export const KEY_DATA: Uint8Array = encodeText("data");
const KEY_METHOD: Uint8Array = encodeText("method");
export const KEY_PARAMS: Uint8Array = encodeText("params");
export const KEY_TIMEOUT: Uint8Array = encodeText("timeout_ms");

/** `{type:` */
export const MESSAGE_HEAD: Uint8Array = concat([[MAP_2], KEY_TYPE]);
/** `{type:` of a message with a timeout. */
export const TIMED_MESSAGE_HEAD: Uint8Array = concat([[MAP_3], KEY_TYPE]);
/** `{method:` of a request without a timeout. */
export const REQUEST_HEAD: Uint8Array = concat([[MAP_2], KEY_METHOD]);
/** `{method:` of a request with a timeout. */
export const TIMED_REQUEST_HEAD: Uint8Array = concat([[MAP_3], KEY_METHOD]);
/** `{success: true, result:` */
export const RESPONSE_HEAD: Uint8Array = concat([[MAP_2], encodeText("success"), [TRUE], encodeText("result")]);

const DATA_HEAD: Uint8Array = concat([[0x81], KEY_DATA]);
const OFFSET_HEAD: Uint8Array = concat([[MAP_2], encodeText("offset"), [0xcf]]);
const OFFSET_BYTES = 8;

/** `{offset?, data:` of a topic's message. @param offset 0 for none */
export function topicDataHead(offset: number): Uint8Array {
  if (offset === 0) return DATA_HEAD;
  const head = concat([OFFSET_HEAD, new Uint8Array(OFFSET_BYTES), KEY_DATA]);
  new DataView(head.buffer).setBigUint64(OFFSET_HEAD.length, BigInt(offset));
  return head;
}
