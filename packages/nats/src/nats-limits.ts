import type { NatsConnection } from "@nats-io/transport-node";

/** NATS's default, until it has said another one. */
const MAX_PAYLOAD = 1024 * 1024;

/** Largest message that NATS takes, headers included. */
export function maxPayloadOf(connection: NatsConnection): number {
  return connection.info?.max_payload ?? MAX_PAYLOAD;
}

/** The bytes of a message alone: nats.js gives views of what it read, of which a small one would keep all. */
export function ownBytes(data: Uint8Array): Uint8Array {
  const isSmallPart = data.length * 2 < data.buffer.byteLength;
  return isSmallPart ? new Uint8Array(data) : new Uint8Array(data.buffer, data.byteOffset, data.length);
}
