import { ConduitError, ErrorCode } from "../../errors.ts";
import { describeValue } from "../../text/describe-value.ts";
import type { FileCallOptions } from "./file-caller.ts";
import type { FileProgress } from "./file-progress.ts";
import { isOverwritePolicy, type OverwritePolicy, POLICY_RULE } from "./overwrite-policy.ts";
import type { RateLimit } from "./paced-chunks.ts";

/** Options of transfers. */
export interface TransferOptions extends FileCallOptions {
  /** Time limit including waits for the connection, after which it rejects with TIMEOUT. Default 0: no limit. */
  readonly timeoutMs?: number | undefined;
  /** Called a few times per second, when the transfer starts to wait for the connection, and at the end. */
  readonly onProgress?: ((progress: FileProgress) => unknown) | undefined;
}

/** Options of `upload`. */
export interface UploadOptions extends TransferOptions {
  /** Name in the folder. Default: the name of the path or `File`; required for other sources. */
  readonly name?: string | undefined;
  /**
   * Whether to continue an earlier upload of the same file, and to keep the uploaded part if this one is interrupted.
   * After a lost connection or another temporary error, the upload continues automatically once the peer is connected
   * again. Files are the same if their name, size and modification time are. Bytes and a `Blob` without a time can
   * only be continued within this call, and streams not at all. Default false.
   */
  readonly resume?: boolean | undefined;
  /**
   * Maximum average bytes per second. A function is called several times per second. Default: no limit.
   */
  readonly maxBytesPerSecond?: RateLimit | undefined;
}

/** Options of `download`. */
export interface DownloadOptions extends TransferOptions {
  /**
   * As for uploads. A download to a `WritableStream` can only be continued within this call. Default false.
   */
  readonly resume?: boolean | undefined;
  /** How to handle a name that is taken on this side: `fail`, `replace` or `rename`. Default `fail`. */
  readonly overwrite?: OverwritePolicy | undefined;
  /** Largest file that is taken, in bytes; a larger one is FILE_TOO_LARGE. Default: no limit. */
  readonly maxBytes?: number | undefined;
}

/** Options of `bytes`. */
export interface BytesOptions extends TransferOptions {
  /** Largest file that is taken, in bytes; a larger one is FILE_TOO_LARGE. Default 64 MiB. */
  readonly maxBytes?: number | undefined;
}

/** A completely transferred and verified file. */
export interface FileResult {
  /** The file's name at its destination. */
  readonly name: string;
  readonly bytes: number;
  /** SHA-256 of the whole file in hex. */
  readonly sha256: string;
  /** Number of bytes transferred by earlier attempts, including those of this call. */
  readonly resumedFrom: number;
}

/** A web `WritableStream`. */
export interface WritableLike {
  getWriter(): {
    write(chunk: Uint8Array): Promise<void>;
    close(): Promise<void>;
    abort(reason?: unknown): Promise<void>;
  };
}

interface Checked {
  readonly resume?: unknown;
  readonly overwrite?: unknown;
  readonly maxBytes?: unknown;
}

/**
 * Checks options whose wrong values would go unnoticed in JavaScript, where a file would be renamed or not continued.
 * @throws ConduitError INVALID_CONFIG
 */
export function checkTransfer(what: string, { resume = false, overwrite = "fail", maxBytes = 0 }: Checked): void {
  const invalid = (option: string, rule: string, value: unknown): ConduitError =>
    new ConduitError(
      ErrorCode.INVALID_CONFIG,
      `Invalid option ${option} of ${what}: ${rule}, got ${describeValue(value)}`,
    );
  if (typeof resume !== "boolean") throw invalid("resume", "must be a boolean", resume);
  if (!isOverwritePolicy(overwrite)) throw invalid("overwrite", POLICY_RULE, overwrite);
  if (typeof maxBytes !== "number" || !(maxBytes >= 0))
    throw invalid("maxBytes", "must be a number of bytes", maxBytes);
}
