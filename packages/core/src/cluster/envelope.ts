/**
 * A message between nodes: a version, a kind, a head (a map) and a body. The body is an encoded value that is
 * forwarded to clients unchanged.
 *
 * | Offset | Size | Field |
 * | --- | --- | --- |
 * | 0 | 1 | version, 1 |
 * | 1 | 1 | kind |
 * | 2 | 4 | length of the head, big-endian |
 * | 6 | … | head: a MessagePack map; `n`, `e` and `l` are the sender's id, its epoch, and the number of its link, if not 0 |
 * | … | … | body, to the end |
 *
 * Unknown keys in the head are ignored, and messages of an unknown version or kind are counted and dropped, so that
 * nodes of different versions can run side by side.
 */

import { ConduitError, ErrorCode } from "../errors.ts";
import { isCount } from "../util/is-count.ts";
import type { FrameWriter } from "../wire/frame-writer.ts";
import type { PayloadReader } from "../wire/payload-reader.ts";

/** Version of the envelope format. */
const ENVELOPE_VERSION = 1;
const PREFIX_BYTES = 6;
const MAX_ID_CHARS = 64;
/** Maximum length of a topic name, user name or connection id. */
const MAX_NAME_CHARS = 256;

export const EnvelopeKind = {
  /** A node's heartbeat. */
  HEARTBEAT: 1,
  /** A node leaves, with its connections. */
  LEAVE: 2,
  /** A message for the clients selected by a filter. */
  BROADCAST: 3,
  /** A message for one connection, or for all connections of a user. */
  MESSAGE: 4,
  /** A call or request to a connection. */
  CALL: 5,
  /** The caller cancels a call. */
  CANCEL: 6,
  /** A question to the node itself. */
  QUESTION: 7,
  /** The answer to a call, request or question. */
  ANSWER: 8,
  /** A message to a topic. */
  PUBLISH: 9,
  /** Changes to a topic's presence on a node, or a snapshot of it. */
  PRESENCE: 10,
  /** A query for a snapshot of topics' presence. */
  PRESENCE_QUESTION: 11,
  /** A message in the log of a durable topic. */
  LOG_ENTRY: 12,
  /** The numbers of a node's last message to a topic and of its last presence change. */
  POSITION: 13,
  /** A stream's item, or a control message of the stream. */
  STREAM: 14,
} as const;
export type EnvelopeKind = (typeof EnvelopeKind)[keyof typeof EnvelopeKind];

const KINDS: ReadonlySet<number> = new Set(Object.values(EnvelopeKind));

/** Identifies one run of a node: its id, and an epoch that is random at each start. */
export interface NodeIdentity {
  readonly id: string;
  readonly epoch: string;
  /** Increases with each reconnect of the run. */
  readonly link: number;
}

export interface Envelope {
  readonly kind: EnvelopeKind;
  readonly from: NodeIdentity;
  readonly head: EnvelopeHead;
  readonly body: Uint8Array;
}

export const NO_BODY: Uint8Array = new Uint8Array(0);

/** Encodes a message. @throws ConduitError UNSERIALIZABLE, MESSAGE_TOO_LARGE */
export function encodeEnvelope(
  writer: FrameWriter,
  from: NodeIdentity,
  kind: EnvelopeKind,
  head: Readonly<Record<string, unknown>>,
  body: Uint8Array = NO_BODY,
): Uint8Array {
  const { id, epoch, link } = from;
  const encoded = writer.encodePayload({ n: id, e: epoch, ...(link === 0 ? {} : { l: link }), ...head });
  const bytes = new Uint8Array(PREFIX_BYTES + encoded.length + body.length);
  bytes[0] = ENVELOPE_VERSION;
  bytes[1] = kind;
  new DataView(bytes.buffer).setUint32(2, encoded.length);
  bytes.set(encoded, PREFIX_BYTES);
  bytes.set(body, PREFIX_BYTES + encoded.length);
  return bytes;
}

/** Why a message couldn't be decoded. */
export type EnvelopeProblem = "unknown-version" | "unknown-kind" | "malformed";

/** Decodes a message; its body is a view of `bytes`. Never throws. */
export function decodeEnvelope(reader: PayloadReader, bytes: Uint8Array): Envelope | EnvelopeProblem {
  if (bytes.length < PREFIX_BYTES) return "malformed";
  if (bytes[0] !== ENVELOPE_VERSION) return "unknown-version";
  const kind = bytes[1] as number;
  if (!KINDS.has(kind)) return "unknown-kind";
  const length = new DataView(bytes.buffer, bytes.byteOffset).getUint32(2);
  const headEnd = PREFIX_BYTES + length;
  if (headEnd > bytes.length) return "malformed";
  let values: Record<string, unknown> | null;
  try {
    values = reader.readMap({
      bytes,
      payloadStart: PREFIX_BYTES,
      payloadEnd: headEnd,
      flags: 0,
      exclusive: false,
      isShared: false,
    });
  } catch {
    return "malformed";
  }
  const { n: id, e: epoch, l: link = 0 } = values ?? {};
  if (!isNodeId(id) || !isNodeId(epoch) || !isCount(link)) return "malformed";
  const head = new EnvelopeHead(values ?? {});
  return { kind: kind as EnvelopeKind, from: { id, epoch, link }, head, body: bytes.subarray(headEnd) };
}

/** Whether the value is a valid node id. */
export function isNodeId(value: unknown): value is string {
  return typeof value === "string" && value.length > 0 && value.length <= MAX_ID_CHARS && /^[\w-]+$/.test(value);
}

/** Typed access to the fields of a head. Each getter throws MALFORMED_PAYLOAD if the field has the wrong type. */
export class EnvelopeHead {
  readonly #values: Readonly<Record<string, unknown>>;

  constructor(values: Readonly<Record<string, unknown>>) {
    this.#values = values;
  }

  /** The value as received; undefined if absent. */
  raw(key: string): unknown {
    return this.#values[key];
  }

  /** Text of at most 256 characters. */
  text(key: string): string {
    const value = this.#values[key];
    if (typeof value === "string" && value.length <= MAX_NAME_CHARS) return value;
    throw malformed(key, "a text");
  }

  /** Null if absent. */
  textOrNull(key: string): string | null {
    return this.#values[key] === undefined || this.#values[key] === null ? null : this.text(key);
  }

  /** An integer of at least 0. */
  count(key: string): number {
    const value = this.#values[key];
    if (isCount(value)) return value;
    throw malformed(key, "an integer of at least 0");
  }

  /** Null if absent. */
  texts(key: string): readonly string[] | null {
    const value = this.#values[key];
    if (value === undefined || value === null) return null;
    if (Array.isArray(value) && value.every((item) => typeof item === "string")) return value as string[];
    throw malformed(key, "a list of texts");
  }
}

/** Decodes a body. @throws ConduitError MALFORMED_PAYLOAD */
export function valueIn(reader: PayloadReader, body: Uint8Array): unknown {
  const value = reader.readItem(body, 0, body.length);
  if (reader.itemEnd !== body.length) throw malformed("body", "one value");
  return value;
}

/** The error for an invalid field of a head. */
export function malformed(key: string, rule: string): ConduitError {
  return new ConduitError(ErrorCode.MALFORMED_PAYLOAD, `Cannot read a message of a node: ${key} is not ${rule}`);
}
