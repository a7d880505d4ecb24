import type { NatsConnection } from "@nats-io/transport-node";
import { ConduitError, ErrorCode } from "@netconduit/core";

/** NATS's default, used until the server has announced its limit. */
const MAX_PAYLOAD = 1024 * 1024;

/** Largest message that NATS accepts, headers included. */
export function maxPayloadOf(connection: NatsConnection): number {
  return connection.info?.max_payload ?? MAX_PAYLOAD;
}

/** Bytes reserved for headers, which count towards NATS's limit. */
const HEADER_BYTES = 512;

/** Checks that JetStream accepts a message or record of this size. @throws ConduitError MESSAGE_TOO_LARGE */
export function mustFitOne(connection: NatsConnection, what: string, { length }: Uint8Array): void {
  const limit = maxPayloadOf(connection) - HEADER_BYTES;
  if (length <= limit) return;
  const message = `Cannot ${what}: ${length} bytes exceed ${limit}; raise NATS's max_payload`;
  throw new ConduitError(ErrorCode.MESSAGE_TOO_LARGE, message, { details: { bytes: length, limit } });
}

/** Copies a message's bytes. nats.js passes views, and a small one would keep a whole read buffer in memory. */
export function ownBytes(data: Uint8Array): Uint8Array {
  const isSmallPart = data.length * 2 < data.buffer.byteLength;
  return isSmallPart ? new Uint8Array(data) : new Uint8Array(data.buffer, data.byteOffset, data.length);
}
