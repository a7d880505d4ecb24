import { asConduitError, ErrorCode, RpcError } from "../../errors.ts";
import { HEADER_BYTES } from "../../limits.ts";
import { freeMemory } from "../../util/free-memory.ts";
import type { ItemVerifier } from "./file-items.ts";
import type { PartialFile } from "./partial-file.ts";

const MIN_FREED_BYTES: number = 16 * 1024;

export interface ReceiveOptions {
  readonly name: string;
  readonly partial: PartialFile;
  readonly verifier: ItemVerifier;
  /** Announced size; null if it isn't known. */
  readonly bytes: number | null;
  /** Called before bytes are written, with the size that the file has then. May throw. */
  mayGrow(bytes: number): void;
  /** Called when they were written. */
  received(bytes: number): void;
}

/**
 * Writes the items of a stream to an unfinished file, and verifies them. When it rejects, the file was kept if it can be
 * continued, else removed.
 * @returns the SHA-256 of the file; null if it isn't known
 */
export async function receiveFile(
  items: AsyncIterableIterator<unknown>,
  options: ReceiveOptions,
): Promise<string | null> {
  const { partial } = options;
  partial.onInterrupt = () => void items.return?.();
  try {
    partial.throwIfInterrupted();
    return await writeItems(items, options);
  } catch (error) {
    await giveUp(partial, error);
    throw error;
  } finally {
    partial.onInterrupt = null;
  }
}

async function writeItems(items: AsyncIterableIterator<unknown>, options: ReceiveOptions): Promise<string | null> {
  const { partial, verifier, bytes: announced, name } = options;
  let sha256: string | null = null;
  for await (const item of items) {
    const verified = verifier.accept(item);
    if (verified.kind === "bytes") {
      const size = partial.bytes + verified.bytes.length;
      if (announced !== null && size > announced) throw wrongSize(name, announced);
      options.mayGrow(size);
      await partial.write(verified.bytes);
      freeItem(verified.bytes);
      options.received(size);
    } else if (verified.kind === "mark") {
      await partial.verified(verifier.whole);
    } else {
      if (announced !== null && verified.at !== announced) throw wrongSize(name, announced);
      sha256 = verified.sha256;
    }
  }
  partial.throwIfInterrupted();
  verifier.mustHaveEnded();
  return sha256;
}

/**
 * Left to the garbage collector, items took a fifth of a receiver's time (bench/NOTES.md). A large one has its memory to
 * itself: what is left of it has room for a frame's header, and not for another item.
 */
function freeItem({ buffer, byteLength }: Uint8Array): void {
  if (byteLength >= MIN_FREED_BYTES && buffer.byteLength - byteLength <= HEADER_BYTES) freeMemory(buffer);
}

function wrongSize(name: string, bytes: number): RpcError {
  return new RpcError(ErrorCode.CHECKSUM_MISMATCH, `'${name}' doesn't have the announced ${bytes} bytes`);
}

/** Keeps what was verified if it can be continued: the transfer was cancelled, or the connection ended. */
export async function giveUp(partial: PartialFile, error: unknown): Promise<void> {
  const { code } = asConduitError(error);
  const isBreak = code === ErrorCode.CANCELLED || (code >= ErrorCode.CONNECTION_ERROR && code < ErrorCode.RATE_LIMITED);
  if (isBreak) await partial.keep();
  else await partial.discard();
}
