import { ConduitError, ErrorCode } from "../../errors.ts";
import { describeValue } from "../../text/describe-value.ts";
import type { FileCallOptions } from "./file-caller.ts";
import type { FileProgress } from "./file-progress.ts";
import { isOverwritePolicy, type OverwritePolicy, POLICY_RULE } from "./overwrite-policy.ts";
import type { RateLimit } from "./paced-chunks.ts";

/** Options of transfers. */
export interface TransferOptions extends FileCallOptions {
  /** Time that it may take, waits for the connection included; then it rejects with TIMEOUT. Default 0: no limit. */
  readonly timeoutMs?: number | undefined;
  /** Called a few times per second, when it begins to wait for the connection, and at the end. */
  readonly onProgress?: ((progress: FileProgress) => unknown) | undefined;
}

/** Options of `upload`. */
export interface UploadOptions extends TransferOptions {
  /** Name in the folder. Default: that of the path or `File`; other sources need one. */
  readonly name?: string | undefined;
  /**
   * Whether to continue an earlier upload of the same file, and to leave something to continue if this one breaks off.
   * After a lost connection, or another temporary error, it goes on by itself once the peer is connected again. A file is
   * the same if its name, size and time of change are. Bytes and a `Blob` without a time are continued by this call alone;
   * streams can't be continued. Default false.
   */
  readonly resume?: boolean | undefined;
  /**
   * The most bytes that leave per second, on average; a function is asked several times per second. Default: no limit.
   */
  readonly maxBytesPerSecond?: RateLimit | undefined;
}

/** Options of `download`. */
export interface DownloadOptions extends TransferOptions {
  /**
   * As for uploads. Into a `WritableStream`, only this call goes on behind what the stream took, and no later one. Default
   * false.
   */
  readonly resume?: boolean | undefined;
  /** If the name is taken on this side: `fail`, `replace` or `rename`. Default `fail`. */
  readonly overwrite?: OverwritePolicy | undefined;
  /** Largest file that is taken, in bytes; a larger one is FILE_TOO_LARGE. Default: no limit. */
  readonly maxBytes?: number | undefined;
}

/** Options of `bytes`. */
export interface BytesOptions extends TransferOptions {
  /** Largest file that is taken, in bytes; a larger one is FILE_TOO_LARGE. Default 64 MiB. */
  readonly maxBytes?: number | undefined;
}

/** A file that was transferred completely, and verified. */
export interface FileResult {
  /** Its name where it is now. */
  readonly name: string;
  readonly bytes: number;
  /** SHA-256 of the whole file, in hex. */
  readonly sha256: string;
  /** Bytes that earlier attempts had transferred: this call's, too. */
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
 * Checks values that JavaScript programs get wrong without an error: a file would be renamed, or not continued.
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
