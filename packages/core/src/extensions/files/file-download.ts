import { ErrorCode, RpcError } from "../../errors.ts";
import type { FileHash } from "../../util/file-access.ts";
import { FileMethod, operation } from "../../wire/called-as.ts";
import { checkFileName } from "./checked-name.ts";
import { type DownloadHeader, headerOf, invalidAnswer } from "./file-answers.ts";
import { withFileErrors } from "./file-errors.ts";
import { ItemVerifier } from "./file-items.ts";
import type { ProgressReporter } from "./file-progress.ts";
import { existsError } from "./partial-file.ts";
import type { PartialState } from "./partial-state.ts";
import { giveUp, receiveFile } from "./receive-file.ts";
import { ReceivingFolder } from "./receiving-folder.ts";
import { type RemoteFolder, translated } from "./remote-folder.ts";
import type { DownloadOptions, FileResult, TransferOptions, WritableLike } from "./transfer-options.ts";

/** The part that was written to a target that can't seek. */
interface Taken {
  /** Null if nothing was written. */
  state: PartialState | null;
  /** Hash of the written bytes. */
  whole: FileHash | null;
  /** Set if the target has failed. */
  failure: { readonly error: unknown } | null;
}

/** The target of a download's bytes. */
export interface Sink {
  bytes(chunk: Uint8Array): Promise<void> | void;
}

/** Downloads files from a peer's folder. */
export class FileDownload {
  readonly #folder: RemoteFolder;

  constructor(folder: RemoteFolder) {
    this.#folder = folder;
  }

  /** @param target path of a folder or of the new file */
  async toDisk(target: string, name: string, options: DownloadOptions): Promise<FileResult> {
    const progress = this.#folder.progressOf(options);
    const attempt = (): Promise<FileResult> => this.#fetchOnceTo(target, name, options, progress);
    return options.resume === true
      ? await this.#folder.repeated(operation("download", name), options, progress, attempt)
      : await attempt();
  }

  async #fetchOnceTo(
    target: string,
    remoteName: string,
    options: DownloadOptions,
    progress: ProgressReporter,
  ): Promise<FileResult> {
    const { transfers } = this.#folder;
    const { files } = transfers;
    const { overwrite = "fail" } = options;
    const asked = checkFileName(remoteName);
    const isFolder = await withFileErrors(`use '${target}'`, () => files.isFolder(target));
    const name = isFolder ? asked : files.nameOf(target);
    const folder = isFolder || /[/\\]$/.test(target) ? target : files.folderOf(target);
    if (!isFolder && !(await files.isFolder(folder))) {
      const message = `Cannot ${operation("download", remoteName)} to '${target}': there is no folder '${folder}'`;
      throw new RpcError(ErrorCode.NOT_FOUND, message);
    }
    const receiving = new ReceivingFolder(transfers, folder);
    if (overwrite === "fail" && (await receiving.has(name))) throw existsError(name);
    const owner = `download/${this.#folder.name}/${asked}`;
    const isResumable = options.resume === true;
    const before = await receiving.find({ name, owner, bytes: null, modifiedMs: null, isResumable });
    let items = this.#download(asked, before, options.signal);
    try {
      let header = await headerOf(items);
      if (header.offset > 0 && !isContinuation(header, before)) {
        // The peer has saved a different state than this side.
        await items.return?.();
        items = this.#download(asked, null, options.signal);
        header = await headerOf(items);
        if (header.offset !== 0) throw invalidAnswer("a download from its start");
      }
      const { offset, bytes, modifiedMs } = header;
      mustFit(remoteName, bytes, options.maxBytes);
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

  /** Downloads to a target that can't seek. */
  async into(target: WritableLike, name: string, options: DownloadOptions): Promise<FileResult> {
    const writer = target.getWriter();
    const open = ({ bytes }: DownloadHeader): Sink => {
      mustFit(name, bytes, options.maxBytes);
      return { bytes: (chunk) => writer.write(chunk) };
    };
    const progress = this.#folder.progressOf(options);
    const taken: Taken = { state: null, whole: null, failure: null };
    const attempt = async (): Promise<FileResult | null> => {
      try {
        return await this.fetch(name, options, open, progress, taken);
      } catch (error) {
        // A failed target's errors may look temporary, but it can't be used again.
        if (taken.failure === null) throw error;
        return null;
      }
    };
    try {
      const called = operation("download", name);
      const result =
        options.resume === true ? await this.#folder.repeated(called, options, progress, attempt) : await attempt();
      if (result === null) throw taken.failure?.error;
      await writer.close();
      return result;
    } catch (error) {
      await writer.abort(error);
      throw error;
    }
  }

  /**
   * Downloads a file, or the rest of it.
   * @param open called with the header; returns the target of the bytes
   * @param taken the part written by earlier attempts
   */
  async fetch(
    name: string,
    options: TransferOptions,
    open: (header: DownloadHeader) => Sink,
    progress: ProgressReporter = this.#folder.progressOf(options),
    taken: Taken = { state: null, whole: null, failure: null },
  ): Promise<FileResult> {
    const { transfers } = this.#folder;
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
          `'${name}' changed during the download, and the target can't start over`,
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
    return this.#folder.stream(FileMethod.DOWNLOAD, params, { signal });
  }
}

/** Whether a download continues the existing part. */
function isContinuation({ offset, bytes, modifiedMs, sha256 }: DownloadHeader, before: PartialState | null): boolean {
  if (before === null || before.verified !== offset) return false;
  if (before.bytes !== bytes || before.modifiedMs !== modifiedMs) return false;
  return sha256 === null || before.sha256 === null || sha256 === before.sha256;
}

/** @throws RpcError FILE_TOO_LARGE */
export function mustFit(name: string, bytes: number, maxBytes: number | undefined, remedy = ""): void {
  if (maxBytes === undefined || bytes <= maxBytes) return;
  const message = `'${name}' has ${bytes} bytes, more than maxBytes ${maxBytes}${remedy}`;
  throw new RpcError(ErrorCode.FILE_TOO_LARGE, message, { details: { limit: maxBytes } });
}

function wrongSize(name: string, bytes: number): RpcError {
  return new RpcError(ErrorCode.CHECKSUM_MISMATCH, `'${name}' doesn't have the announced ${bytes} bytes`);
}
