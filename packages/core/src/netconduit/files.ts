/**
 * Files of netconduit's Python package: calls of its client, and messages of its server. Chunks are base64, and a call
 * follows after the reply to the one before.
 */

import { ErrorCode, RpcError } from "../errors.ts";
import { isMap } from "../util/is-map.ts";

/** Calls to the server. */
export const FILE_UPLOAD_START = "file_upload_start";
export const FILE_UPLOAD_CHUNK = "file_upload_chunk";
export const FILE_UPLOAD_COMPLETE = "file_upload_complete";
export const FILE_DOWNLOAD_START = "file_download_start";
export const FILE_DOWNLOAD_CHUNK = "file_download_chunk";
export const FILE_LIST = "file_list";
/** Messages to the client. */
export const FILE_INCOMING = "file_incoming";
export const FILE_CHUNK = "file_chunk";
export const FILE_COMPLETE = "file_complete";
/** Message to the server. */
export const FILE_INCOMING_ACK = "file_incoming_ack";

/** Bytes of a chunk before base64. Its client takes no other number, whatever it is told. */
export const NETCONDUIT_CHUNK_BYTES: number = 64 * 1024;

/** Number of chunks of a file; none of an empty one. */
export function chunksOf(bytes: number): number {
  return Math.ceil(bytes / NETCONDUIT_CHUNK_BYTES);
}

const CODES: ReadonlyMap<string, number> = new Map<string, number>([
  ["File not found", ErrorCode.NOT_FOUND],
  ["Transfer not found", ErrorCode.NOT_FOUND],
  ["Checksum mismatch", ErrorCode.CHECKSUM_MISMATCH],
]);

/**
 * The result of a call for a file. Its server answers mistakes by a successful result with an `error`.
 * @throws RpcError for that
 */
export function fileAnswer(result: unknown, method: string): Readonly<Record<string, unknown>> {
  if (!isMap(result)) return {};
  const { error } = result;
  if (typeof error !== "string") return result;
  throw new RpcError(CODES.get(error) ?? ErrorCode.UNKNOWN, error, { method });
}
