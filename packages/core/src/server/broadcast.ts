/** Which connections a broadcast goes to. */

import type { ProtocolConnection } from "../connection/protocol-connection.ts";
import type { Contract } from "../rpc/contract.ts";
import type { FrameBytes } from "../wire/scattered-frame.ts";
import type { Connection } from "./connection.ts";

/** Recipients of a broadcast. */
export interface BroadcastOptions<C extends Contract, D extends object> {
  /** Connection id, or ids, to leave out. */
  readonly exclude?: string | Iterable<string> | undefined;
  /** Connection id, or ids; if given, only these receive the message. */
  readonly include?: string | Iterable<string> | undefined;
  /** Predicate; if given, only connections it returns true for receive the message. */
  readonly where?: ((connection: Connection<C, D>) => boolean) | undefined;
}

/** Report about a client that reads too slowly. */
export interface SlowConsumer {
  /** Whether the message was dropped for this client, or the client was disconnected. */
  readonly action: "dropped" | "disconnected";
  /** Number of messages in the send queue. */
  readonly queuedMessages: number;
  readonly bufferedBytes: number;
  /** The topic that was published; absent for a broadcast. */
  readonly topic?: string;
}

/** A message that was encoded once for many connections. */
export interface EncodedMessage {
  readonly type: string;
  /** The frame for connections that compress, or for those that don't. */
  frame(compressed: boolean): FrameBytes;
  /** Before compression. */
  readonly payloadBytes: number;
}

/**
 * Sends an encoded message to the connections that `options` select. `onFull` is called for those whose send queue is
 * full. A connection whose peer accepts no frame of this size is skipped, and reported.
 * @returns the number of connections that the message was queued for
 */
export function sendToSelected<C extends Contract, D extends object>(
  connections: ReadonlyMap<string, ProtocolConnection<Connection<C, D>>>,
  { type, frame, payloadBytes }: EncodedMessage,
  options: BroadcastOptions<C, D>,
  onFull: (connection: ProtocolConnection<Connection<C, D>>) => void,
): number {
  const exclude = idSet(options.exclude);
  const include = idSet(options.include);
  const { where } = options;
  const isForAll = exclude === null && include === null && where === undefined;
  let reached = 0;
  const send = (id: string, connection: ProtocolConnection<Connection<C, D>>): void => {
    if (!connection.isOpen || exclude?.has(id) === true) return;
    if (where !== undefined && !where(connection.peer)) return;
    if (connection.sender.refusesSize(type, payloadBytes)) return;
    if (connection.sender.sendShared(frame(connection.writer.compresses), isForAll)) reached += 1;
    else onFull(connection);
  };
  if (include === null) {
    for (const [id, connection] of connections) send(id, connection);
    return reached;
  }
  // They are looked up, so the others cost nothing.
  for (const id of include) {
    const connection = connections.get(id);
    if (connection !== undefined) send(id, connection);
  }
  return reached;
}

/** Connection ids as a set; null if none are given. */
export function idSet(ids: string | Iterable<string> | undefined): ReadonlySet<string> | null {
  if (ids === undefined) return null;
  if (typeof ids === "string") return new Set([ids]);
  return ids instanceof Set ? ids : new Set(ids);
}
