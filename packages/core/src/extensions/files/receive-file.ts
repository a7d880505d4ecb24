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
  /** Announced size; null if unknown. */
  readonly bytes: number | null;
  /** Called before bytes are written, with the file's new size. May throw. */
  mayGrow(bytes: number): void;
  /** Called after bytes were written. */
  received(bytes: number): void;
}

/**
 * Writes a stream's items to an unfinished file and verifies them. If it rejects, the file was kept if it can be
 * continued, and removed otherwise.
 * @returns the file's SHA-256; null if unknown
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
 * Frees an item's memory, because garbage collection of items took a fifth of a receiver's time (bench/NOTES.md). A
 * large item doesn't share its memory: the rest only has room for a frame's header.
 */
function freeItem({ buffer, byteLength }: Uint8Array): void {
  if (byteLength >= MIN_FREED_BYTES && buffer.byteLength - byteLength <= HEADER_BYTES) freeMemory(buffer);
}

function wrongSize(name: string, bytes: number): RpcError {
  return new RpcError(ErrorCode.CHECKSUM_MISMATCH, `'${name}' doesn't have the announced ${bytes} bytes`);
}

/** Keeps the verified part of a cancelled or interrupted transfer if it can be continued. */
export async function giveUp(partial: PartialFile, error: unknown): Promise<void> {
  const { code } = asConduitError(error);
  const isBreak = code === ErrorCode.CANCELLED || (code >= ErrorCode.CONNECTION_ERROR && code < ErrorCode.RATE_LIMITED);
  if (isBreak) await partial.keep();
  else await partial.discard();
}
