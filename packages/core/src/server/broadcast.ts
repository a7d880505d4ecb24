/** Selects the recipients of broadcasts and sends to them. */

import type { ConnectionFilter } from "../cluster/connection-filter.ts";
import type { ProtocolConnection } from "../connection/protocol-connection.ts";
import type { RuntimeContext } from "../context/runtime-context.ts";
import { ConduitError, ErrorCode } from "../errors.ts";
import type { Contract } from "../rpc/contract.ts";
import { describeValue } from "../text/describe-value.ts";
import type { FrameWriter } from "../wire/frame-writer.ts";
import type { FrameBytes } from "../wire/scattered-frame.ts";
import type { Connection } from "./connection.ts";

/** Recipients of a broadcast. */
export interface BroadcastOptions<C extends Contract, D extends object> {
  /** One or more connection ids to exclude. */
  readonly exclude?: string | Iterable<string> | undefined;
  /** One or more connection ids; if given, only these receive the message. */
  readonly include?: string | Iterable<string> | undefined;
  /**
   * A filter `{ user, role, topic }` or a predicate; if given, only matching connections receive the message. A
   * predicate can't be sent to other nodes, so in a cluster it requires `local: true`.
   */
  readonly where?: ConnectionFilter | ((connection: Connection<C, D>) => boolean) | undefined;
  /** Send only to clients of this node. Has no effect without the option `cluster`. Default false. */
  readonly local?: boolean | undefined;
}

/** The recipients on this node. */
export interface Selected<C extends Contract, D extends object> {
  readonly exclude?: string | Iterable<string> | undefined;
  readonly include?: string | Iterable<string> | undefined;
  readonly where?: ((connection: Connection<C, D>) => boolean) | undefined;
}

/** Report about a client that reads too slowly. */
export interface SlowConsumer {
  /** Whether messages were dropped for this client, or the client was disconnected. */
  readonly action: "dropped" | "disconnected";
  /** Messages that the client missed since the last report, at least 1. */
  readonly count: number;
  /** Number of messages in the send queue. */
  readonly queuedMessages: number;
  readonly bufferedBytes: number;
  /** The topic; absent for a broadcast. */
  readonly topic?: string;
}

/** A message encoded once for many connections. */
export interface EncodedMessage {
  readonly type: string;
  /** The frame for connections with or without compression. */
  frame(compressed: boolean): FrameBytes;
  /** Before compression. */
  readonly payloadBytes: number;
}

/**
 * Sends an encoded message to the selected connections. Calls `onFull` for those whose send queue is full. A
 * connection whose peer doesn't accept a frame of this size is skipped and reported.
 * @returns the number of connections that the message was queued for
 */
export function sendToSelected<C extends Contract, D extends object>(
  connections: ReadonlyMap<string, ProtocolConnection<Connection<C, D>>>,
  { type, frame, payloadBytes }: EncodedMessage,
  options: Selected<C, D>,
  onFull: (connection: ProtocolConnection<Connection<C, D>>) => void,
): number {
  const exclude = idSet("exclude", options.exclude);
  const include = idSet("include", options.include);
  const { where } = options;
  const isForAll = exclude === null && include === null && where === undefined;
  let reached = 0;
  const send = (connection: ProtocolConnection<Connection<C, D>>): void => {
    if (connection.sender.dropOversized(type, payloadBytes)) return;
    if (connection.sender.sendShared(frame(connection.writer.compresses), isForAll)) reached += 1;
    else onFull(connection);
  };
  // Evaluate `where` for all connections before sending, because it may throw.
  const chosen: ProtocolConnection<Connection<C, D>>[] = [];
  const choose = (id: string, connection: ProtocolConnection<Connection<C, D>>): void => {
    if (!connection.isOpen || exclude?.has(id) === true) return;
    if (where === undefined) send(connection);
    else if (fits(type, where(connection.peer))) chosen.push(connection);
  };
  if (include === null) {
    for (const [id, connection] of connections) choose(id, connection);
  } else {
    // Look up the included connections instead of iterating over all.
    for (const id of include) {
      const connection = connections.get(id);
      if (connection !== undefined) choose(id, connection);
    }
  }
  for (const connection of chosen) if (connection.isOpen) send(connection);
  return reached;
}

/** Rejects promises, which would count as true and send the message to all. */
function fits(type: string, answer: unknown): boolean {
  if (typeof answer !== "object" || answer === null) return Boolean(answer);
  const message = `The option where of broadcast '${type}' must return true or false at once, got a promise or object`;
  throw new ConduitError(ErrorCode.INVALID_CONFIG, message);
}

/**
 * Encodes a message once for connections with compression and once for those without.
 * @throws ConduitError UNSERIALIZABLE, MESSAGE_TOO_LARGE
 */
export function encodeShared(
  context: RuntimeContext,
  config: { readonly maxMessageBytes: number; readonly enableCompression: boolean },
  type: string,
  data: unknown,
): EncodedMessage {
  const { maxMessageBytes, enableCompression } = config;
  const writer = context.writer(maxMessageBytes, false);
  const plain = encodedOnce(writer, type, data);
  const { payloadBytes } = writer;
  // Also encoded now, because the data may change while hooks and filters run.
  const compressed = enableCompression ? encodedOnce(context.writer(maxMessageBytes, true), type, data) : plain;
  return { type, frame: (isCompressed) => (isCompressed ? compressed : plain), payloadBytes };
}

/** Encodes a frame that stays valid when the writer is used again, for example by a hook or filter. */
function encodedOnce(writer: FrameWriter, type: string, data: unknown): FrameBytes {
  writer.message(0, 0, type, data);
  writer.gather();
  return { bytes: writer.bytes, start: writer.start, end: writer.end, large: null };
}

/**
 * Returns the connection ids in an option as a set; null if the option is missing.
 * @throws ConduitError INVALID_CONFIG
 */
export function idSet(
  option: "exclude" | "include",
  ids: string | Iterable<string> | undefined,
): ReadonlySet<string> | null {
  if (ids === undefined) return null;
  if (typeof ids === "string") return new Set([ids]);
  if (typeof (ids as Partial<Iterable<string>> | null)?.[Symbol.iterator] !== "function") throw noIds(option, ids);
  const set: ReadonlySet<unknown> = ids instanceof Set ? ids : new Set(ids);
  for (const id of set) if (typeof id !== "string") throw noIds(option, id);
  return set as ReadonlySet<string>;
}

function noIds(option: string, value: unknown): ConduitError {
  const message = `${option} must be the id of a connection, or several ids, got ${describeValue(value)}: use connection.id`;
  return new ConduitError(ErrorCode.INVALID_CONFIG, message);
}
