import { ConduitError, ErrorCode } from "../errors.ts";
import { messageOf } from "./socket-errors.ts";

/** `inflateSync` of `node:zlib`. Its types leave out the result of `info`. */
export type InflateSync = (bytes: Uint8Array, options: { maxOutputLength: number; info: true }) => unknown;

/** A `Buffer` as a plain Uint8Array, whose `slice` copies. */
export function plainBytes(buffer: Uint8Array): Uint8Array {
  return new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.byteLength);
}

/**
 * Inflates a zlib stream to at most `maxBytes`.
 * @throws ConduitError INFLATED_TOO_LARGE if the output is larger; INFLATE_FAILED if `bytes` is no zlib stream, or more
 * than one.
 */
export function boundedInflate(inflateSync: InflateSync, bytes: Uint8Array, maxBytes: number): Uint8Array {
  // With `info` it also returns the engine, which knows where in the input the stream ended.
  let result: { readonly buffer: Uint8Array; readonly engine: { readonly bytesWritten: number } };
  try {
    // zlib refuses a limit of 0; the check below enforces it.
    result = inflateSync(bytes, { maxOutputLength: Math.max(maxBytes, 1), info: true }) as typeof result;
  } catch (cause) {
    if ((cause as { code?: unknown } | null)?.code === "ERR_BUFFER_TOO_LARGE") throw tooLarge(bytes, maxBytes, cause);
    const message = `Cannot inflate ${bytes.length} bytes: ${messageOf(cause)}`;
    throw new ConduitError(ErrorCode.INFLATE_FAILED, message, { cause });
  }
  const used = result.engine.bytesWritten;
  if (used !== bytes.length) {
    const message = `Cannot inflate ${bytes.length} bytes: the zlib stream ends after ${used}`;
    throw new ConduitError(ErrorCode.INFLATE_FAILED, message);
  }
  if (result.buffer.length > maxBytes) throw tooLarge(bytes, maxBytes);
  return plainBytes(result.buffer);
}

function tooLarge(bytes: Uint8Array, maxBytes: number, cause?: unknown): ConduitError {
  const message = `Cannot inflate ${bytes.length} bytes: the output exceeds the limit of ${maxBytes} bytes`;
  return new ConduitError(ErrorCode.INFLATED_TOO_LARGE, message, { cause });
}
