/**
 * The items of a file's stream: its bytes in order, interleaved with marks.
 *
 * A mark contains the SHA-256 of the stream's bytes so far, so that the receiver can verify the file as it arrives
 * and knows how much is verified. If a stream starts in the middle of a file, so does its hash. The last mark also
 * contains the SHA-256 of the whole file, if the sender has hashed all of it.
 */

import { ErrorCode, RpcError } from "../../errors.ts";
import type { FileAccess, FileHash } from "../../util/file-access.ts";
import { isMap } from "../../util/is-map.ts";
import type { FileSource } from "./file-source.ts";

/** Interval of marks in bytes; see also {@link MARK_MS}. */
const MARK_BYTES: number = 4 * 1024 * 1024;
const MARK_MS = 1000;
const MAX_ITEM_BYTES: number = 1024 * 1024;
const SHA256 = /^[0-9a-f]{64}$/;

export interface SendOptions {
  readonly files: FileAccess;
  readonly source: FileSource;
  readonly offset: number;
  /** Hash of the bytes before `offset`; null if unknown. */
  readonly whole: FileHash | null;
  now(): number;
  /** The bytes before `offset` were hashed. */
  hashed(offset: number, whole: FileHash): void;
  /** This many bytes of the file have been sent. */
  sent(bytes: number): void;
  /** The last item is sent, with the hash of the whole file, if known. */
  ended(sha256: string | null): void;
}

/** Reads a file and yields its items. Each chunk of bytes is valid until the next one is requested. */
export async function* fileItems(options: SendOptions): AsyncGenerator<unknown, undefined> {
  const { files, source, now } = options;
  const hashes = new RunningHashes(files, options.offset, options.whole);
  let at = options.offset;
  let [markedAt, markedMs] = [at, now()];
  for await (const bytes of source.chunks(at)) {
    hashes.update(bytes);
    at += bytes.length;
    yield bytes;
    options.sent(at);
    if (at - markedAt < MARK_BYTES && now() - markedMs < MARK_MS) continue;
    [markedAt, markedMs] = [at, now()];
    if (hashes.whole !== null) options.hashed(at, hashes.whole.copy());
    yield { at, sha256: hashes.run.copy().digest() };
  }
  await source.mustBeUnchanged(at);
  const file = hashes.whole?.copy().digest() ?? null;
  options.ended(file);
  yield { at, sha256: hashes.run.digest(), file, end: true };
}

/** The hashes of a stream and of its file, which are the same if the stream starts at the beginning of the file. */
class RunningHashes {
  readonly run: FileHash;
  readonly whole: FileHash | null;

  constructor(files: FileAccess, offset: number, whole: FileHash | null) {
    this.run = files.sha256();
    this.whole = offset === 0 ? this.run : whole;
  }

  update(bytes: Uint8Array): void {
    this.run.update(bytes);
    if (this.whole !== null && this.whole !== this.run) this.whole.update(bytes);
  }
}

/** A processed item. */
export type VerifiedItem =
  | { readonly kind: "bytes"; readonly bytes: Uint8Array }
  /** All bytes before `at` are verified. */
  | { readonly kind: "mark"; readonly at: number }
  /** `sha256` is the hash of the whole file; null if neither side has hashed all of it. */
  | { readonly kind: "end"; readonly at: number; readonly sha256: string | null };

/** Verifies a file's received items. */
export class ItemVerifier {
  readonly #name: string;
  readonly #hashes: RunningHashes;
  #at: number;
  #hasEnded = false;

  /** @param whole hash of the bytes before `offset`; null if unknown */
  constructor(files: FileAccess, name: string, offset: number, whole: FileHash | null) {
    this.#name = name;
    this.#hashes = new RunningHashes(files, offset, whole);
    this.#at = offset;
  }

  /** A copy of the hash of the file's bytes so far; null if unknown. */
  get whole(): FileHash | null {
    return this.#hashes.whole?.copy() ?? null;
  }

  get hasEnded(): boolean {
    return this.#hasEnded;
  }

  /** @throws RpcError CHECKSUM_MISMATCH, INVALID_PARAMS */
  accept(item: unknown): VerifiedItem {
    if (this.#hasEnded) throw this.#invalid("has items after its end");
    if (item instanceof Uint8Array) {
      if (item.length > MAX_ITEM_BYTES) throw this.#invalid(`has an item of ${item.length} bytes`);
      this.#hashes.update(item);
      this.#at += item.length;
      return { kind: "bytes", bytes: item };
    }
    if (!isMap(item)) throw this.#invalid("has an item that is neither bytes nor a mark");
    const { at, sha256, file = null, end = false } = item as Record<string, unknown>;
    if (!isSha256(sha256) || !(file === null || isSha256(file))) throw this.#invalid("has a mark without a SHA-256");
    const isLast = end === true;
    const digest = this.#hashes.run.copy().digest();
    if (at !== this.#at || sha256 !== digest) throw this.#mismatch();
    if (!isLast) return { kind: "mark", at: this.#at };
    this.#hasEnded = true;
    const own = this.whole?.digest() ?? null;
    if (own !== null && file !== null && own !== file) throw this.#mismatch();
    return { kind: "end", at: this.#at, sha256: own ?? file };
  }

  /** @throws RpcError CHECKSUM_MISMATCH if the stream has ended before the file */
  mustHaveEnded(): void {
    if (this.#hasEnded) return;
    const message = `The stream of '${this.#name}' ended early, after ${this.#at} bytes of the file`;
    throw new RpcError(ErrorCode.CHECKSUM_MISMATCH, message);
  }

  #invalid(problem: string): RpcError {
    return new RpcError(ErrorCode.INVALID_PARAMS, `The stream of '${this.#name}' ${problem}`);
  }

  #mismatch(): RpcError {
    const message = `'${this.#name}' didn't arrive as it was sent: the SHA-256 of the first ${this.#at} bytes differs`;
    return new RpcError(ErrorCode.CHECKSUM_MISMATCH, message);
  }
}

export function isSha256(value: unknown): value is string {
  return typeof value === "string" && SHA256.test(value);
}
