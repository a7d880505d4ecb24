/** The single, unnamed folder of a netconduit peer, accessed by calls to a server and by messages to a client. */

import { ConduitError, cancelledError, ErrorCode, RpcError } from "../../errors.ts";
import {
  chunksOf,
  FILE_CHUNK,
  FILE_COMPLETE,
  FILE_DOWNLOAD_CHUNK,
  FILE_DOWNLOAD_START,
  FILE_INCOMING,
  FILE_INCOMING_ACK,
  FILE_LIST,
  FILE_UPLOAD_CHUNK,
  FILE_UPLOAD_COMPLETE,
  FILE_UPLOAD_START,
  fileAnswer,
  NETCONDUIT_CHUNK_BYTES,
} from "../../netconduit/files.ts";
import { decodeBase64, encodeBase64 } from "../../util/base64.ts";
import { isCount } from "../../util/is-count.ts";
import { FileMethod } from "../../wire/called-as.ts";
import { isServable } from "./checked-name.ts";
import type { FileCaller, FileCallOptions } from "./file-caller.ts";
import type { ProgressReporter } from "./file-progress.ts";
import type { FileSource } from "./file-source.ts";
import type { FileTransfers } from "./file-transfers.ts";

type Params = Readonly<Record<string, unknown>>;

/** Uploads files to a netconduit peer, and downloads them from its server. */
export class NetconduitFolder {
  readonly #peer: FileCaller;
  readonly #transfers: FileTransfers;

  constructor(peer: FileCaller, transfers: FileTransfers) {
    this.#peer = peer;
    this.#transfers = transfers;
  }

  /** Carries out the calls `list` and `stat`. */
  async call(method: string, params: Params, options: FileCallOptions): Promise<unknown> {
    if (method !== FileMethod.STAT) throw unsupported(method);
    const files = await this.#list(options);
    const found = files.find(({ name }) => name === params["name"]);
    if (found !== undefined) return found;
    throw new RpcError(ErrorCode.NOT_FOUND, "The netconduit peer has no such file");
  }

  /** Items of a download or list, in the form that our own peers send. */
  async *items(method: string, params: Params, options: FileCallOptions): AsyncGenerator<unknown, undefined> {
    if (method === FileMethod.LIST) yield await this.#list(options);
    else yield* this.#download(params["name"], options);
  }

  /**
   * Sends a file, reading it twice because its hash is sent first.
   * @returns its hash and its name on the peer
   */
  async send(
    source: FileSource,
    name: string,
    options: FileCallOptions,
    progress: ProgressReporter,
  ): Promise<{ readonly name: string; readonly bytes: number; readonly sha256: string }> {
    const { bytes } = source;
    if (bytes === null) {
      const message = "A netconduit peer must know size and hash of a file first: upload a path, bytes or a Blob";
      throw new ConduitError(ErrorCode.PEER_UNSUPPORTED, message);
    }
    const sha256 = await this.#digest(source, options, progress);
    const file = { filename: name, size: bytes, checksum: sha256 };
    const isCalled = this.#peer.netconduit === "calls";
    const to = isCalled ? await this.#beginByCalls(file, options) : await this.#beginByMessages(file, options);
    let [at, index] = [0, 0];
    for await (const piece of pieces(source)) {
      throwIfAborted(name, options);
      await to.chunk(index, encodeBase64(piece));
      index += 1;
      at += piece.length;
      progress.moved(at);
    }
    await source.mustBeUnchanged(at);
    return { name: (await to.complete()) ?? name, bytes, sha256 };
  }

  async #digest(source: FileSource, options: FileCallOptions, progress: ProgressReporter): Promise<string> {
    const hash = this.#transfers.files.sha256();
    let at = 0;
    for await (const bytes of source.chunks(0)) {
      throwIfAborted("a file", options);
      hash.update(bytes);
      at += bytes.length;
      progress.checked(at);
    }
    return hash.digest();
  }

  async #beginByCalls(file: Params, options: FileCallOptions) {
    const { transfer_id, chunk_size } = await this.#ask(FILE_UPLOAD_START, file, options);
    if (chunk_size !== NETCONDUIT_CHUNK_BYTES) throw invalidAnswer(FILE_UPLOAD_START);
    return {
      chunk: async (chunk_index: number, data_b64: string) => {
        await this.#ask(FILE_UPLOAD_CHUNK, { transfer_id, chunk_index, data_b64 }, options);
      },
      complete: async () => {
        const { path } = await this.#ask(FILE_UPLOAD_COMPLETE, { transfer_id }, options);
        const last = typeof path === "string" ? path.replace(/^.*[/\\]/, "") : "";
        return isServable(last) ? last : null;
      },
    };
  }

  /** Starts an upload by messages. Only the first one is acknowledged, so delivery of the rest is unknown. */
  async #beginByMessages(file: Params, options: FileCallOptions) {
    const peer = this.#peer;
    const transfer_id = this.#transfers.randomHex();
    const total_chunks = chunksOf(file["size"] as number);
    await peer.request(FILE_INCOMING, { transfer_id, ...file, total_chunks }, FILE_INCOMING_ACK, options);
    return {
      chunk: (chunk_index: number, data_b64: string) => peer.send(FILE_CHUNK, { transfer_id, chunk_index, data_b64 }),
      complete: async () => {
        await peer.send(FILE_COMPLETE, { transfer_id, checksum: file["checksum"] });
        return null;
      },
    };
  }

  /** Downloads a file. The peer sends no hash, so only the size and the order of chunks can be checked. */
  async *#download(filename: unknown, options: FileCallOptions): AsyncGenerator<unknown, undefined> {
    const { transfer_id, size, chunk_size } = await this.#ask(FILE_DOWNLOAD_START, { filename }, options);
    const isValid = isCount(size) && chunk_size === NETCONDUIT_CHUNK_BYTES;
    if (!isValid) throw invalidAnswer(FILE_DOWNLOAD_START);
    yield { bytes: size, modified: 0, offset: 0, sha256: null };
    const hash = this.#transfers.files.sha256();
    for (let index = 0; index < chunksOf(size); index += 1) {
      const answer = await this.#ask(FILE_DOWNLOAD_CHUNK, { transfer_id, chunk_index: index }, options);
      const { chunk_index, data_b64 } = answer;
      const bytes = typeof data_b64 === "string" ? decodeBase64(data_b64) : null;
      const expected = Math.min(NETCONDUIT_CHUNK_BYTES, size - index * NETCONDUIT_CHUNK_BYTES);
      if (chunk_index !== index || bytes?.length !== expected) throw invalidAnswer(FILE_DOWNLOAD_CHUNK);
      hash.update(bytes);
      yield bytes;
    }
    const sha256 = hash.digest();
    yield { at: size, sha256, file: sha256, end: true };
  }

  /** Lists files, omitting names that aren't safe to use here. */
  async #list(
    options: FileCallOptions,
  ): Promise<{ readonly name: string; readonly bytes: number; readonly modified: null }[]> {
    const { files } = await this.#ask(FILE_LIST, {}, options);
    if (!Array.isArray(files)) throw invalidAnswer(FILE_LIST);
    const listed = (files as { readonly name: string; readonly size: number }[]).filter((file) =>
      isServable(file?.name),
    );
    return listed.map(({ name, size }) => ({ name, bytes: size, modified: null }));
  }

  async #ask(method: string, params: Params, options: FileCallOptions): Promise<Params> {
    return fileAnswer(await this.#peer.call(method, params, options), method);
  }
}

/** A source's bytes in pieces of the size that a netconduit peer accepts. Each is valid until the next one. */
async function* pieces(source: FileSource): AsyncGenerator<Uint8Array, undefined> {
  const piece = new Uint8Array(NETCONDUIT_CHUNK_BYTES);
  let filled = 0;
  for await (const bytes of source.chunks(0)) {
    for (let at = 0; at < bytes.length; ) {
      const part = bytes.subarray(at, at + piece.length - filled);
      piece.set(part, filled);
      filled += part.length;
      at += part.length;
      if (filled < piece.length) continue;
      yield piece;
      filled = 0;
    }
  }
  if (filled > 0) yield piece.subarray(0, filled);
}

function throwIfAborted(name: string, { signal }: FileCallOptions): void {
  if (signal?.aborted === true) throw cancelledError(name, signal.reason);
}

function unsupported(method: string): ConduitError {
  return new ConduitError(ErrorCode.PEER_UNSUPPORTED, `A netconduit peer has nothing like '${method}'`);
}

function invalidAnswer(method: string): ConduitError {
  return new ConduitError(ErrorCode.INVALID_RESULT, `The netconduit peer's answer to '${method}' isn't valid`);
}
