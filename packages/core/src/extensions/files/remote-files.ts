/** The application's view of a peer's folder. */

import { ConduitError, ErrorCode, forCaller } from "../../errors.ts";
import { describeValue } from "../../text/describe-value.ts";
import { KnownOptions } from "../../util/known-options.ts";
import { FileMethod, operation } from "../../wire/called-as.ts";
import { checkFileName } from "./checked-name.ts";
import { type DownloadHeader, entryOf, invalidAnswer } from "./file-answers.ts";
import { withinTime } from "./file-attempts.ts";
import type { FileCaller, FileCallOptions } from "./file-caller.ts";
import { FileDownload, mustFit, type Sink } from "./file-download.ts";
import type { UploadSource } from "./file-source.ts";
import type { FileTransfers } from "./file-transfers.ts";
import { FileUpload } from "./file-upload.ts";
import { RemoteFolder, translated } from "./remote-folder.ts";
import type { FileEntry } from "./served-folder.ts";
import {
  type BytesOptions,
  checkTransfer,
  type DownloadOptions,
  type FileResult,
  type UploadOptions,
  type WritableLike,
} from "./transfer-options.ts";

const CALL = { signal: true } as const;
const TRANSFER = { ...CALL, timeoutMs: true, onProgress: true } as const;
const UPLOAD = new KnownOptions<UploadOptions>("files.upload", {
  ...TRANSFER,
  name: true,
  resume: true,
  maxBytesPerSecond: true,
});
const DOWNLOAD = new KnownOptions<DownloadOptions>("files.download", {
  ...TRANSFER,
  resume: true,
  overwrite: true,
  maxBytes: true,
});
const BYTES = new KnownOptions<BytesOptions>("files.bytes", { ...TRANSFER, maxBytes: true });
const LIST = new KnownOptions<FileCallOptions>("files.list", CALL);
const STAT = new KnownOptions<FileCallOptions>("files.stat", CALL);
const REMOVE = new KnownOptions<FileCallOptions>("files.remove", CALL);

const MAX_BYTES: number = 64 * 1024 * 1024;
/** Memory of a list entry besides its name. */
const ENTRY_BYTES = 128;

/**
 * A folder that the peer serves. All methods reject with the peer's error codes: NOT_FOUND, PERMISSION_DENIED,
 * INVALID_FILE_NAME, FILE_EXISTS, FILE_TOO_LARGE, QUOTA_EXCEEDED, DISK_FULL, FILE_CHANGED, CHECKSUM_MISMATCH,
 * WRONG_OFFSET, FILE_ERROR; with the codes of `call`; and with PEER_UNSUPPORTED if the peer serves no files.
 */
export class RemoteFiles {
  /** Name of the folder. */
  readonly folder: string;
  readonly #folder: RemoteFolder;

  /** @internal */
  constructor(peer: FileCaller, transfers: () => FileTransfers, folder: string) {
    this.folder = folder;
    this.#folder = new RemoteFolder(peer, transfers, folder);
  }

  /** Uploads a file. Resolves when the peer has verified it and flushed it to disk. */
  upload(source: UploadSource, options: UploadOptions = {}): Promise<FileResult> {
    return forCaller(() => {
      UPLOAD.check(options);
      checkTransfer("an upload", options);
      return new FileUpload(this.#folder).run(source, options);
    });
  }

  /**
   * Downloads a file.
   * @param target path of a folder or of the new file, or a `WritableStream`
   */
  download(name: string, target: string | WritableLike, options: DownloadOptions = {}): Promise<FileResult> {
    return forCaller(() => this.#download(name, target, options));
  }

  async #download(name: string, target: string | WritableLike, options: DownloadOptions): Promise<FileResult> {
    DOWNLOAD.check(options, name);
    checkTransfer("a download", options);
    if (typeof target !== "string" && typeof (target as WritableLike | null | undefined)?.getWriter !== "function") {
      const rule = "must be the path of a folder or of a new file, or a WritableStream";
      const message = `The target of ${operation("download", name)} ${rule}, got ${describeValue(target)}`;
      throw new ConduitError(ErrorCode.INVALID_CONFIG, message);
    }
    return await withinTime(operation("download", name), this.#folder.transfers, options, async (signal) => {
      const bounded = { ...options, signal };
      const fetching = new FileDownload(this.#folder);
      if (typeof target === "string") return await fetching.toDisk(target, name, bounded);
      return await fetching.into(target, name, bounded);
    });
  }

  /** Downloads a file into memory. Rejects with FILE_TOO_LARGE if it exceeds `maxBytes`. */
  bytes(name: string, options: BytesOptions = {}): Promise<Uint8Array<ArrayBuffer>> {
    return forCaller(() => this.#bytes(name, options));
  }

  async #bytes(name: string, options: BytesOptions): Promise<Uint8Array<ArrayBuffer>> {
    BYTES.check(options, name);
    checkTransfer("a download", options);
    const { maxBytes = MAX_BYTES } = options;
    let content = new Uint8Array(0);
    let at = 0;
    const open = ({ bytes }: DownloadHeader): Sink => {
      mustFit(name, bytes, maxBytes, "; download() writes it to a file");
      return {
        bytes(chunk) {
          // Grow with the received bytes, because a peer may announce more than it sends.
          if (at + chunk.length > content.length) content = grown(content, at + chunk.length, bytes);
          content.set(chunk, at);
          at += chunk.length;
        },
      };
    };
    await withinTime(operation("download", name), this.#folder.transfers, options, (signal) =>
      new FileDownload(this.#folder).fetch(name, { ...options, signal }, open),
    );
    return content;
  }

  /**
   * Lists the files in the folder, without subfolders and files with invalid names. Rejects with MESSAGE_TOO_LARGE if
   * the list would take more than 64 MiB of memory.
   */
  list(options: FileCallOptions = {}): Promise<FileEntry[]> {
    return forCaller(() => this.#list(options));
  }

  async #list(options: FileCallOptions): Promise<FileEntry[]> {
    LIST.check(options);
    const entries: FileEntry[] = [];
    let bytes = 0;
    try {
      for await (const item of this.#folder.stream(FileMethod.LIST, {}, options)) {
        if (!Array.isArray(item)) throw invalidAnswer("a list of files");
        for (const value of item) {
          const entry = entryOf(value);
          bytes += ENTRY_BYTES + 2 * entry.name.length;
          if (bytes > MAX_BYTES) throw tooManyFiles(this.folder, entries.length);
          entries.push(entry);
        }
      }
    } catch (error) {
      throw translated(error);
    }
    return entries;
  }

  /** Returns a file's size and time. Rejects with NOT_FOUND if it doesn't exist. */
  stat(name: string, options: FileCallOptions = {}): Promise<FileEntry> {
    return forCaller(async () => {
      STAT.check(options, name);
      return entryOf(await this.#folder.call(FileMethod.STAT, { name: checkFileName(name) }, options));
    });
  }

  /** Removes a file. */
  remove(name: string, options: FileCallOptions = {}): Promise<void> {
    return forCaller(async () => {
      REMOVE.check(options, name);
      await this.#folder.call(FileMethod.REMOVE, { name: checkFileName(name) }, options);
    });
  }
}

function tooManyFiles(folder: string, count: number): ConduitError {
  return new ConduitError(
    ErrorCode.MESSAGE_TOO_LARGE,
    `The list of '${folder}' would take too much memory: it has more than ${count} files; stat(name) asks for one of them`,
  );
}

/** Copies the content to a larger buffer of at least `needed` and at most `limit` bytes. */
function grown(content: Uint8Array<ArrayBuffer>, needed: number, limit: number): Uint8Array<ArrayBuffer> {
  const larger = new Uint8Array(Math.min(limit, Math.max(needed, 2 * content.length)));
  larger.set(content);
  return larger;
}
