import { ConduitError, ErrorCode } from "../errors.ts";
import { messageOf } from "./socket-errors.ts";

/** `inflateSync` of `node:zlib`, as every runtime has it; its types do not tell what `info` returns. */
export type InflateSync = (bytes: Uint8Array, options: { maxOutputLength: number; info: true }) => unknown;

/** A runtime's buffer as a plain Uint8Array: its `slice` copies, as everywhere else. */
export function plainBytes(buffer: Uint8Array): Uint8Array {
  return new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.byteLength);
}

/**
 * Inflates one zlib stream that has to fill `bytes`, to at most `maxBytes`.
 * @throws ConduitError INFLATED_TOO_LARGE when more would come out; INFLATE_FAILED when it is no zlib stream, or bytes
 * follow it.
 */
export function boundedInflate(inflateSync: InflateSync, bytes: Uint8Array, maxBytes: number): Uint8Array {
  // With `info` the engine is returned as well, which knows how much of the input was the stream.
  let result: { readonly buffer: Uint8Array; readonly engine: { readonly bytesWritten: number } };
  try {
    // A limit of 0 is refused; the check below keeps to it.
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
  const message = `Cannot inflate ${bytes.length} bytes: more than the limit of ${maxBytes} bytes would come out`;
  return new ConduitError(ErrorCode.INFLATED_TOO_LARGE, message, { cause });
}
