import type { FileCallOptions } from "./file-caller.ts";
import type { FileProgress } from "./file-progress.ts";
import type { RateLimit } from "./paced-chunks.ts";
import type { OverwritePolicy } from "./partial-file.ts";

/** Options of transfers. */
export interface TransferOptions extends FileCallOptions {
  /** Time that it may take, waits for the connection included; then it rejects with TIMEOUT. Default 0: no limit. */
  readonly timeoutMs?: number | undefined;
  /** Called a few times per second, when it begins to wait for the connection, and at the end. */
  readonly onProgress?: ((progress: FileProgress) => unknown) | undefined;
}

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

export interface DownloadOptions extends TransferOptions {
  /**
   * As for uploads. Into a `WritableStream`, only this call goes on behind what the stream took, and no later one. Default
   * false.
   */
  readonly resume?: boolean | undefined;
  /** If the name is taken on this side: `fail`, `replace` or `rename`. Default `fail`. */
  readonly overwrite?: OverwritePolicy | undefined;
  /** Largest file that is taken; a larger one is FILE_TOO_LARGE. Default: no limit. */
  readonly maxBytes?: number | undefined;
}

export interface BytesOptions extends TransferOptions {
  /** Largest file that is taken. Default 64 MiB. */
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
