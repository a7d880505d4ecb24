import { ConduitError, ErrorCode, RpcError } from "../../errors.ts";
import { FileMethod, operation } from "../../wire/called-as.ts";
import { checkFileName } from "./checked-name.ts";
import { checkedOf, offsetOf, resultOf, type UploadOffset } from "./file-answers.ts";
import { withinTime } from "./file-attempts.ts";
import { fileItems } from "./file-items.ts";
import type { ProgressReporter } from "./file-progress.ts";
import { type FileSource, openSource, type UploadSource, withRandomVersion } from "./file-source.ts";
import { checkedRate, pacedChunks, type RateLimit } from "./paced-chunks.ts";
import { type RemoteFolder, translated } from "./remote-folder.ts";
import type { FileResult, UploadOptions } from "./transfer-options.ts";

/** Uploads files to a peer's folder. */
export class FileUpload {
  readonly #folder: RemoteFolder;

  constructor(folder: RemoteFolder) {
    this.#folder = folder;
  }

  async run(source: UploadSource, options: UploadOptions): Promise<FileResult> {
    const { maxBytesPerSecond } = options;
    if (typeof maxBytesPerSecond === "number") checkedRate(maxBytesPerSecond);
    const opened = await openSource(source, () => this.#folder.transfers.files);
    try {
      const name = checkFileName(options.name ?? mustHaveName(opened.name));
      const paced = maxBytesPerSecond === undefined ? opened : this.#paced(opened, maxBytesPerSecond);
      return await withinTime(operation("upload", name), this.#folder.transfers, options, async (signal) => {
        const bounded = { ...options, signal };
        if (this.#folder.peer.netconduit !== null) return await this.#sendToNetconduit(paced, name, bounded);
        return await this.#sendIdentified(paced, name, bounded);
      });
    } finally {
      await opened.close();
    }
  }

  #paced(source: FileSource, limit: RateLimit): FileSource {
    const { name, bytes, modifiedMs, key } = source;
    return {
      ...{ name, bytes, modifiedMs, key },
      chunks: (offset) => pacedChunks(source.chunks(offset), limit, this.#folder.transfers),
      mustBeUnchanged: (size) => source.mustBeUnchanged(size),
      close: () => source.close(),
    };
  }

  /** Gives attempts of the same upload the same id, so that the peer recognizes it if only its answer was lost. */
  async #sendIdentified(source: FileSource, name: string, options: UploadOptions): Promise<FileResult> {
    const { bytes, key } = source;
    const progress = this.#folder.progressOf(options);
    if (options.resume !== true || bytes === null) return await this.#send(source, name, options, null, progress);
    const sendAs = (known: FileSource, transfer: string): Promise<FileResult> =>
      this.#folder.repeated(operation("upload", name), options, progress, async () => {
        await known.mustBeUnchanged(bytes);
        return await this.#send(known, name, options, transfer, progress);
      });
    const { ids, memory } = this.#folder.transfers;
    if (key === null) {
      const known = withRandomVersion(source);
      try {
        return await sendAs(known, known.key);
      } finally {
        memory.forget(known.key);
      }
    }
    const upload = JSON.stringify([this.#folder.name, name, key]);
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
    const { transfers } = this.#folder;
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
    const answer = await this.#folder.call(
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
    const progress = this.#folder.progressOf(options);
    progress.begins(source.bytes, 0);
    try {
      const sent = await this.#folder.netconduit.send(source, name, { signal: options.signal }, progress);
      progress.ended(sent.bytes);
      return { ...sent, resumedFrom: 0 };
    } catch (error) {
      throw translated(error);
    }
  }

  async #continueAt(identity: Readonly<Record<string, unknown>>, { signal }: UploadOptions): Promise<UploadOffset> {
    const answer = await this.#folder.call(FileMethod.OFFSET, identity, { signal });
    return offsetOf(answer, identity["bytes"] as number);
  }
}

function mustHaveName(name: string | undefined): string {
  if (name !== undefined) return name;
  throw new ConduitError(
    ErrorCode.INVALID_CONFIG,
    'An upload that is neither a path nor a File needs the option name: upload(source, { name: "a.bin" })',
  );
}

function mismatch(name: string): RpcError {
  return new RpcError(ErrorCode.CHECKSUM_MISMATCH, `The peer has another SHA-256 for '${name}' than this side`);
}
