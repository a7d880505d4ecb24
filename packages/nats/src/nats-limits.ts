import type { NatsConnection } from "@nats-io/transport-node";

/** NATS's default, until it has said another one. */
const MAX_PAYLOAD = 1024 * 1024;

/** Largest message that NATS takes, headers included. */
export function maxPayloadOf(connection: NatsConnection): number {
  return connection.info?.max_payload ?? MAX_PAYLOAD;
}

/** Copies a message's bytes: nats.js gives views, and a small one would keep a whole read in memory. */
export function ownBytes(data: Uint8Array): Uint8Array {
  const isSmallPart = data.length * 2 < data.buffer.byteLength;
  return isSmallPart ? new Uint8Array(data) : new Uint8Array(data.buffer, data.byteOffset, data.length);
}
