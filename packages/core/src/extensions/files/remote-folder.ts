import { type Called, ConduitError, ErrorCode, isInstance, RpcError } from "../../errors.ts";
import { checkFunction } from "../../util/check-function.ts";
import { runCallback } from "../../util/run-callback.ts";
import { untilComplete } from "./file-attempts.ts";
import type { FileCaller, FileCallOptions } from "./file-caller.ts";
import { ProgressReporter } from "./file-progress.ts";
import type { FileTransfers } from "./file-transfers.ts";
import { NetconduitFolder } from "./netconduit-folder.ts";
import type { TransferOptions } from "./transfer-options.ts";

type Params = Readonly<Record<string, unknown>>;

/** Calls to a peer's folder, which may be a netconduit peer, and the state shared by its transfers. */
export class RemoteFolder {
  readonly peer: FileCaller;
  readonly name: string;
  readonly #transfers: () => FileTransfers;

  constructor(peer: FileCaller, transfers: () => FileTransfers, name: string) {
    this.peer = peer;
    this.name = name;
    this.#transfers = transfers;
  }

  /** Created on first use. */
  get transfers(): FileTransfers {
    return this.#transfers();
  }

  async call(method: string, params: Params, options: Parameters<FileCaller["call"]>[2]): Promise<unknown> {
    try {
      if (this.peer.netconduit !== null) return await this.netconduit.call(method, params, options);
      return await this.peer.call(method, { folder: this.name, ...params }, options);
    } catch (error) {
      throw translated(error);
    }
  }

  stream(method: string, params: Params, options: FileCallOptions): AsyncIterableIterator<unknown> {
    if (this.peer.netconduit !== null) return this.netconduit.items(method, params, options);
    return this.peer.stream(method, { folder: this.name, ...params }, options);
  }

  get netconduit(): NetconduitFolder {
    return new NetconduitFolder(this.peer, this.transfers);
  }

  progressOf({ onProgress }: TransferOptions): ProgressReporter {
    const { transfers } = this;
    const now = (): number => transfers.now();
    if (onProgress === undefined) return new ProgressReporter(undefined, now);
    checkFunction("onProgress", onProgress);
    const failed = (error: unknown): void => this.peer.callbackFailed("onProgress", error);
    return new ProgressReporter((progress) => void runCallback(() => onProgress(progress), failed), now);
  }

  /** Repeats the attempts of a transfer that can be continued. */
  async repeated<T>(
    called: Called,
    { signal }: TransferOptions,
    progress: ProgressReporter,
    attempt: () => Promise<T>,
  ): Promise<T> {
    return await untilComplete({ called, peer: this.peer, transfers: this.transfers, progress, signal }, attempt);
  }
}

/** Converts the error of a peer that serves no files. */
export function translated(error: unknown): unknown {
  const isMissing = isInstance(error, RpcError) && error.code === ErrorCode.METHOD_NOT_FOUND;
  if (!isMissing) return error;
  return new ConduitError(
    ErrorCode.PEER_UNSUPPORTED,
    "The peer serves no files; it shares a folder by files(name, { dir })",
    { cause: error },
  );
}
