/** A folder of the peer, as this side's application sees it. */

import { type Called, ConduitError, ErrorCode, isInstance, RpcError } from "../../errors.ts";
import { describeValue } from "../../text/describe-value.ts";
import { checkFunction } from "../../util/check-function.ts";
import type { FileHash } from "../../util/file-access.ts";
import { isCount } from "../../util/is-count.ts";
import { isMap } from "../../util/is-map.ts";
import { KnownOptions } from "../../util/known-options.ts";
import { runCallback } from "../../util/run-callback.ts";
import { FileMethod, operation } from "../../wire/called-as.ts";
import { checkFileName, isServable } from "./checked-name.ts";
import { untilComplete, withinTime } from "./file-attempts.ts";
import type { FileCaller, FileCallOptions } from "./file-caller.ts";
import { withFileErrors } from "./file-errors.ts";
import { fileItems, ItemVerifier, isSha256 } from "./file-items.ts";
import { type FileProgress, ProgressReporter } from "./file-progress.ts";
import { type FileSource, openSource, type UploadSource, withRandomVersion } from "./file-source.ts";
import type { FileTransfers } from "./file-transfers.ts";
import { NetconduitFolder } from "./netconduit-folder.ts";
import { checkedRate, pacedChunks, type RateLimit } from "./paced-chunks.ts";
import { existsError, type OverwritePolicy } from "./partial-file.ts";
import type { PartialState } from "./partial-state.ts";
import { giveUp, receiveFile } from "./receive-file.ts";
import { ReceivingFolder } from "./receiving-folder.ts";
import type { FileEntry } from "./served-folder.ts";

type Params = Readonly<Record<string, unknown>>;

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

const CALL = { signal: true } as const;
const TRANSFER = { ...CALL, timeoutMs: true, onProgress: true } as const;
const UPLOAD = new KnownOptions<UploadOptions>("files.upload", {
  ...TRANSFER,
  name: true,
  resume: true,
  maxBytesPerSecond: true,
});
const DOWNLOAD = new KnownOptions<DownloadOptions>("files.download", { ...TRANSFER, resume: true, overwrite: true });
const BYTES = new KnownOptions<BytesOptions>("files.bytes", { ...TRANSFER, maxBytes: true });
const LIST = new KnownOptions<FileCallOptions>("files.list", CALL);
const STAT = new KnownOptions<FileCallOptions>("files.stat", CALL);
const REMOVE = new KnownOptions<FileCallOptions>("files.remove", CALL);

const MAX_BYTES: number = 64 * 1024 * 1024;
/** Memory of an entry of a list beside its name. */
const ENTRY_BYTES = 128;

/** The first item of a download. */
interface Header {
  readonly bytes: number;
  readonly modifiedMs: number;
  readonly offset: number;
  /** SHA-256 of the bytes before `offset`; null if the sender doesn't know it. */
  readonly sha256: string | null;
}

/** The part that has been put into a target that can't go back. */
interface Taken {
  /** Null for nothing. */
  state: PartialState | null;
  /** Hash of its bytes. */
  whole: FileHash | null;
  /** The target has failed. */
  failure: { readonly error: unknown } | null;
}

interface Sink {
  bytes(chunk: Uint8Array): Promise<void> | void;
}

/**
 * A folder that the peer serves. All methods reject with the peer's error codes: NOT_FOUND, PERMISSION_DENIED,
 * INVALID_FILE_NAME, FILE_EXISTS, FILE_TOO_LARGE, QUOTA_EXCEEDED, DISK_FULL, FILE_CHANGED, CHECKSUM_MISMATCH,
 * WRONG_OFFSET, FILE_ERROR; with those of `call`; and with PEER_UNSUPPORTED if the peer serves no files.
 */
export class RemoteFiles {
  readonly #peer: FileCaller;
  readonly #transfers: () => FileTransfers;
  /** Name of the folder. */
  readonly folder: string;

  /** @internal */
  constructor(peer: FileCaller, transfers: () => FileTransfers, folder: string) {
    this.#peer = peer;
    this.#transfers = transfers;
    this.folder = folder;
  }

  /** Sends a file. Resolves when the peer has all of it, verified and on its disk. */
  async upload(source: UploadSource, options: UploadOptions = {}): Promise<FileResult> {
    UPLOAD.check(options);
    const { maxBytesPerSecond } = options;
    if (typeof maxBytesPerSecond === "number") checkedRate(maxBytesPerSecond);
    const opened = await openSource(source, () => this.#transfers().files);
    try {
      const name = checkFileName(options.name ?? mustHaveName(opened.name));
      const paced = maxBytesPerSecond === undefined ? opened : this.#paced(opened, maxBytesPerSecond);
      return await withinTime(operation("upload", name), this.#transfers(), options, async (signal) => {
        const bounded = { ...options, signal };
        if (this.#peer.netconduit !== null) return await this.#sendToNetconduit(paced, name, bounded);
        return await this.#sendIdentified(paced, name, bounded);
      });
    } finally {
      await opened.close();
    }
  }

  /**
   * Fetches a file.
   * @param target path of a folder, or of the file to make; or a `WritableStream`
   */
  async download(name: string, target: string | WritableLike, options: DownloadOptions = {}): Promise<FileResult> {
    DOWNLOAD.check(options, name);
    if (typeof target !== "string" && typeof (target as WritableLike | null | undefined)?.getWriter !== "function") {
      const rule = "must be the path of a folder or of a new file, or a WritableStream";
      const message = `The target of ${operation("download", name)} ${rule}, got ${describeValue(target)}`;
      throw new ConduitError(ErrorCode.INVALID_CONFIG, message);
    }
    return await withinTime(operation("download", name), this.#transfers(), options, async (signal) => {
      const bounded = { ...options, signal };
      if (typeof target === "string") return await this.#fetchTo(target, name, bounded);
      return await this.#fetchInto(target, name, bounded);
    });
  }

  async #fetchInto(target: WritableLike, name: string, options: DownloadOptions): Promise<FileResult> {
    const writer = target.getWriter();
    const sink = { bytes: (chunk: Uint8Array) => writer.write(chunk) };
    const progress = this.#progressOf(options);
    const taken: Taken = { state: null, whole: null, failure: null };
    const attempt = async (): Promise<FileResult | null> => {
      try {
        return await this.#fetch(name, options, () => sink, progress, taken);
      } catch (error) {
        // Its own errors may look temporary, but it has ended.
        if (taken.failure === null) throw error;
        return null;
      }
    };
    try {
      const called = operation("download", name);
      const result =
        options.resume === true ? await this.#repeated(called, options, progress, attempt) : await attempt();
      if (result === null) throw taken.failure?.error;
      await writer.close();
      return result;
    } catch (error) {
      await writer.abort(error);
      throw error;
    }
  }

  /** Fetches a file into memory. Rejects with FILE_TOO_LARGE if it exceeds `maxBytes`. */
  async bytes(name: string, options: BytesOptions = {}): Promise<Uint8Array> {
    BYTES.check(options, name);
    const { maxBytes = MAX_BYTES } = options;
    let content = new Uint8Array(0);
    let at = 0;
    const open = ({ bytes }: Header): Sink => {
      if (bytes > maxBytes) {
        throw new RpcError(
          ErrorCode.FILE_TOO_LARGE,
          `'${name}' has ${bytes} bytes, more than maxBytes ${maxBytes}; download() writes it to a file`,
        );
      }
      content = new Uint8Array(bytes);
      return {
        bytes(chunk) {
          content.set(chunk, at);
          at += chunk.length;
        },
      };
    };
    await withinTime(operation("download", name), this.#transfers(), options, (signal) =>
      this.#fetch(name, { ...options, signal }, open),
    );
    return content;
  }

  /**
   * Files that the peer lets this side see; no folders, and none whose name is refused. Rejects with MESSAGE_TOO_LARGE if the
   * list would take more than 64 MiB of memory.
   */
  async list(options: FileCallOptions = {}): Promise<FileEntry[]> {
    LIST.check(options);
    const entries: FileEntry[] = [];
    let bytes = 0;
    try {
      for await (const item of this.#stream(FileMethod.LIST, {}, options)) {
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

  async stat(name: string, options: FileCallOptions = {}): Promise<FileEntry> {
    STAT.check(options, name);
    return entryOf(await this.#call(FileMethod.STAT, { name }, options));
  }

  /** Removes a file. */
  async remove(name: string, options: FileCallOptions = {}): Promise<void> {
    REMOVE.check(options, name);
    await this.#call(FileMethod.REMOVE, { name }, options);
  }

  // --- sending ------------------------------------------------------------------------------------------------------

  #paced(source: FileSource, limit: RateLimit): FileSource {
    const { name, bytes, modifiedMs, key } = source;
    return {
      ...{ name, bytes, modifiedMs, key },
      chunks: (offset) => pacedChunks(source.chunks(offset), limit, this.#transfers()),
      mustBeUnchanged: (size) => source.mustBeUnchanged(size),
      close: () => source.close(),
    };
  }

  /** A later attempt of the same upload has the same id, so that the peer knows it if only its answer was lost. */
  async #sendIdentified(source: FileSource, name: string, options: UploadOptions): Promise<FileResult> {
    const { bytes, key } = source;
    const progress = this.#progressOf(options);
    if (options.resume !== true || bytes === null) return await this.#send(source, name, options, null, progress);
    const sendAs = (known: FileSource, transfer: string): Promise<FileResult> =>
      this.#repeated(operation("upload", name), options, progress, async () => {
        await known.mustBeUnchanged(bytes);
        return await this.#send(known, name, options, transfer, progress);
      });
    const { ids, memory } = this.#transfers();
    if (key === null) {
      const known = withRandomVersion(source);
      try {
        return await sendAs(known, known.key);
      } finally {
        memory.forget(known.key);
      }
    }
    const upload = JSON.stringify([this.folder, name, key]);
    const transfer = ids.take(upload);
    try {
      return await sendAs(source, transfer);
    } catch (error) {
      ids.leave(upload, transfer);
      throw error;
    }
  }

  /** @param transfer null for an upload that can't be continued */
  async #send(
    source: FileSource,
    name: string,
    options: UploadOptions,
    transfer: string | null,
    progress: ProgressReporter,
  ): Promise<FileResult> {
    const transfers = this.#transfers();
    const { files, memory } = transfers;
    const now = (): number => transfers.now();
    const { bytes, modifiedMs, key } = source;
    const resume = transfer !== null;
    const identity = { name, bytes, modified: modifiedMs, resume, ...(resume ? { transfer } : {}) };
    const found = resume ? await this.#continueAt(identity, options) : { offset: 0, sha256: null };
    const recalled = key === null || found.offset === 0 ? null : memory.recall(key, found.offset);
    const isSame = recalled === null || found.sha256 === null || recalled.copy().digest() === found.sha256;
    const offset = isSame ? found.offset : 0;
    const whole = isSame ? recalled : null;
    progress.begins(bytes, offset);
    let sent: string | null = null;
    const input = fileItems({
      files,
      source,
      offset,
      whole,
      now,
      hashed: (at, hash) => key !== null && resume && memory.remember(key, at, hash),
      sent: (at) => progress.moved(at),
      ended: (digest) => {
        sent = digest;
      },
    });
    const answer = await this.#call(
      FileMethod.UPLOAD,
      { ...identity, offset },
      { signal: options.signal, input, onProgress: (value) => progress.checked(checkedOf(value)) },
    );
    const result = resultOf(answer, offset);
    if (sent !== null && sent !== result.sha256) throw mismatch(name);
    if (key !== null) memory.forget(key);
    progress.ended(result.bytes);
    return result;
  }

  async #sendToNetconduit(source: FileSource, name: string, options: UploadOptions): Promise<FileResult> {
    const progress = this.#progressOf(options);
    progress.begins(source.bytes, 0);
    try {
      const sent = await this.#netconduit.send(source, name, { signal: options.signal }, progress);
      progress.ended(sent.bytes);
      return { ...sent, resumedFrom: 0 };
    } catch (error) {
      throw translated(error);
    }
  }

  async #continueAt(
    identity: Params,
    { signal }: UploadOptions,
  ): Promise<{ readonly offset: number; readonly sha256: string | null }> {
    const answer = await this.#call(FileMethod.OFFSET, identity, { signal });
    const { offset, sha256 } = isMap(answer) ? answer : {};
    const isValid = isCount(offset) && offset <= (identity["bytes"] as number) && (sha256 === null || isSha256(sha256));
    if (!isValid) throw invalidAnswer("an offset");
    return { offset, sha256 };
  }

  // --- receiving ----------------------------------------------------------------------------------------------------

  /**
   * Fetches a file, or the rest of it.
   * @param open called with what it begins with; returns where the bytes go
   * @param taken what earlier attempts have put there
   */
  async #fetch(
    name: string,
    options: TransferOptions,
    open: (header: Header) => Sink,
    progress: ProgressReporter = this.#progressOf(options),
    taken: Taken = { state: null, whole: null, failure: null },
  ): Promise<FileResult> {
    const transfers = this.#transfers();
    const before = taken.state;
    const items = this.#download(checkFileName(name), before, options.signal);
    let keep = (): void => undefined;
    try {
      const header = await headerOf(items);
      const { offset, bytes, modifiedMs } = header;
      if (before === null && offset !== 0) throw invalidAnswer("a download from its start");
      if (before !== null && !isContinuation(header, before)) {
        throw new RpcError(
          ErrorCode.FILE_CHANGED,
          `'${name}' changed while it was fetched, and its target can't begin anew`,
        );
      }
      const sink = open(header);
      progress.begins(header.bytes, offset);
      const verifier = new ItemVerifier(transfers.files, name, offset, taken.whole?.copy() ?? null);
      let [at, sha256] = [offset, ""];
      keep = () => {
        if (at === 0) return;
        taken.whole = verifier.whole;
        taken.state = { bytes, modifiedMs, verified: at, sha256: verifier.whole?.digest() ?? null };
      };
      for await (const item of items) {
        const verified = verifier.accept(item);
        if (verified.kind === "bytes") {
          at += verified.bytes.length;
          if (at > bytes) throw wrongSize(name, bytes);
          try {
            await sink.bytes(verified.bytes);
          } catch (error) {
            taken.failure = { error };
            throw error;
          }
          progress.moved(at);
        } else if (verified.kind === "end") {
          sha256 = verified.sha256 ?? "";
        }
      }
      verifier.mustHaveEnded();
      if (at !== header.bytes) throw wrongSize(name, header.bytes);
      progress.ended(at);
      return { name, bytes: at, sha256, resumedFrom: offset };
    } catch (error) {
      keep();
      throw translated(error);
    } finally {
      await items.return?.();
    }
  }

  async #fetchTo(target: string, name: string, options: DownloadOptions): Promise<FileResult> {
    const progress = this.#progressOf(options);
    const attempt = (): Promise<FileResult> => this.#fetchOnceTo(target, name, options, progress);
    return options.resume === true
      ? await this.#repeated(operation("download", name), options, progress, attempt)
      : await attempt();
  }

  async #fetchOnceTo(
    target: string,
    remoteName: string,
    options: DownloadOptions,
    progress: ProgressReporter,
  ): Promise<FileResult> {
    const transfers = this.#transfers();
    const { files } = transfers;
    const { overwrite = "fail" } = options;
    const asked = checkFileName(remoteName);
    const isFolder = await withFileErrors(`use '${target}'`, () => files.isFolder(target));
    const name = isFolder ? asked : files.nameOf(target);
    const folder = isFolder ? target : files.folderOf(target);
    if (!isFolder && !(await files.isFolder(folder))) {
      const message = `Cannot ${operation("download", remoteName)} to '${target}': there is no folder '${folder}'`;
      throw new RpcError(ErrorCode.NOT_FOUND, message);
    }
    const receiving = new ReceivingFolder(transfers, folder);
    if (overwrite === "fail" && (await receiving.has(name))) throw existsError(name);
    const owner = `download/${this.folder}/${asked}`;
    const isResumable = options.resume === true;
    const before = await receiving.find({ name, owner, bytes: null, modifiedMs: null, isResumable });
    let items = this.#download(asked, before, options.signal);
    try {
      let header = await headerOf(items);
      if (header.offset > 0 && !isContinuation(header, before)) {
        // The peer remembers other bytes than those that are here.
        await items.return?.();
        items = this.#download(asked, null, options.signal);
        header = await headerOf(items);
        if (header.offset !== 0) throw invalidAnswer("a download from its start");
      }
      const { offset, bytes, modifiedMs } = header;
      const partial = await receiving.open({ name, owner, bytes, modifiedMs, isResumable }, offset);
      progress.begins(bytes, offset);
      const sha256 = await receiveFile(items, {
        name,
        partial,
        verifier: new ItemVerifier(files, name, offset, partial.whole),
        bytes,
        mayGrow: () => undefined,
        received: (at) => progress.moved(at),
      });
      try {
        const file = await partial.finish(overwrite, sha256, (at) => progress.checked(at));
        progress.ended(file.bytes);
        return { name: file.name, bytes: file.bytes, sha256: file.sha256, resumedFrom: offset };
      } catch (error) {
        await giveUp(partial, error);
        throw error;
      }
    } catch (error) {
      throw translated(error);
    } finally {
      await items.return?.();
    }
  }

  #progressOf({ onProgress }: TransferOptions): ProgressReporter {
    const transfers = this.#transfers();
    const now = (): number => transfers.now();
    if (onProgress === undefined) return new ProgressReporter(undefined, now);
    checkFunction("onProgress", onProgress);
    const failed = (error: unknown): void => this.#peer.callbackFailed("onProgress", error);
    return new ProgressReporter((progress) => void runCallback(() => onProgress(progress), failed), now);
  }

  /** Attempts of a transfer that can be continued. */
  async #repeated<T>(
    called: Called,
    { signal }: TransferOptions,
    progress: ProgressReporter,
    attempt: () => Promise<T>,
  ): Promise<T> {
    return await untilComplete({ called, peer: this.#peer, transfers: this.#transfers(), progress, signal }, attempt);
  }

  get #netconduit(): NetconduitFolder {
    return new NetconduitFolder(this.#peer, this.#transfers());
  }

  #download(
    name: string,
    before: PartialState | null,
    signal: AbortSignal | undefined,
  ): AsyncIterableIterator<unknown> {
    const params = {
      name,
      offset: before?.verified ?? 0,
      bytes: before?.bytes ?? null,
      modified: before?.modifiedMs ?? null,
    };
    return this.#stream(FileMethod.DOWNLOAD, params, { signal });
  }

  #stream(method: string, params: Params, options: FileCallOptions): AsyncIterableIterator<unknown> {
    if (this.#peer.netconduit !== null) return this.#netconduit.items(method, params, options);
    return this.#peer.stream(method, { folder: this.folder, ...params }, options);
  }

  async #call(method: string, params: Params, options: Parameters<FileCaller["call"]>[2]): Promise<unknown> {
    try {
      if (this.#peer.netconduit !== null) return await this.#netconduit.call(method, params, options);
      return await this.#peer.call(method, { folder: this.folder, ...params }, options);
    } catch (error) {
      throw translated(error);
    }
  }
}

function mustHaveName(name: string | undefined): string {
  if (name !== undefined) return name;
  throw new ConduitError(
    ErrorCode.INVALID_CONFIG,
    'An upload that is neither a path nor a File needs the option name: upload(source, { name: "a.bin" })',
  );
}

async function headerOf(items: AsyncIterableIterator<unknown>): Promise<Header> {
  const { done, value } = await items.next();
  const { bytes, modified, offset, sha256 } = done !== true && isMap(value) ? value : {};
  const isValid = isCount(bytes) && isCount(modified) && isCount(offset) && offset <= bytes;
  if (!isValid || !(sha256 === null || isSha256(sha256))) throw invalidAnswer("the start of a download");
  return { bytes, modifiedMs: modified, offset, sha256 };
}

/** Whether a download continues what is here. */
function isContinuation({ offset, bytes, modifiedMs, sha256 }: Header, before: PartialState | null): boolean {
  if (before === null || before.verified !== offset) return false;
  if (before.bytes !== bytes || before.modifiedMs !== modifiedMs) return false;
  return sha256 === null || before.sha256 === null || sha256 === before.sha256;
}

function entryOf(value: unknown): FileEntry {
  const { name, bytes, modified } = isMap(value) ? value : {};
  if (!isCount(bytes) || !(modified === null || isCount(modified))) throw invalidAnswer("a file's size");
  // A name that is used as a path here must not lead out of a folder.
  return { name: checkFileName(name), bytes, modifiedMs: modified };
}

function tooManyFiles(folder: string, count: number): ConduitError {
  return new ConduitError(
    ErrorCode.MESSAGE_TOO_LARGE,
    `The list of '${folder}' would take too much memory: it has more than ${count} files; stat(name) asks for one of them`,
  );
}

function resultOf(value: unknown, resumedFrom: number): FileResult {
  const { name, bytes, sha256 } = isMap(value) ? value : {};
  if (!isServable(name) || !isCount(bytes) || !isSha256(sha256)) throw invalidAnswer("a received file");
  return { name, bytes, sha256, resumedFrom };
}

function checkedOf(value: unknown): number {
  const checked = isMap(value) ? value["checked"] : 0;
  return isCount(checked) ? checked : 0;
}

function invalidAnswer(what: string): ConduitError {
  return new ConduitError(ErrorCode.INVALID_RESULT, `The peer's answer is not ${what}`);
}

function wrongSize(name: string, bytes: number): RpcError {
  return new RpcError(ErrorCode.CHECKSUM_MISMATCH, `'${name}' doesn't have the announced ${bytes} bytes`);
}

function mismatch(name: string): RpcError {
  return new RpcError(ErrorCode.CHECKSUM_MISMATCH, `The peer has another SHA-256 for '${name}' than this side`);
}

/** The error for a peer that serves no files says so. */
function translated(error: unknown): unknown {
  const isMissing = isInstance(error, RpcError) && error.code === ErrorCode.METHOD_NOT_FOUND;
  if (!isMissing) return error;
  return new ConduitError(
    ErrorCode.PEER_UNSUPPORTED,
    "The peer serves no files; it shares a folder by files(name, { dir })",
    { cause: error },
  );
}
