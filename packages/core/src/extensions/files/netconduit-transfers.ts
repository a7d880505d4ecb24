/** Lets Python netconduit peers use a served folder through netconduit's calls and messages, with all of the folder's checks. */

import type { ConnectionState } from "../../connection/connection-state.ts";
import { ConduitError, ErrorCode, RpcError } from "../../errors.ts";
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
  NETCONDUIT_CHUNK_BYTES,
} from "../../netconduit/files.ts";
import { decodeBase64, encodeBase64 } from "../../util/base64.ts";
import { isCount } from "../../util/is-count.ts";
import { isMap } from "../../util/is-map.ts";
import { float64 } from "../../wire/float64.ts";
import { isSha256 } from "./file-items.ts";
import { ItemChannel } from "./item-channel.ts";
import type { FolderContext, ServedFolder } from "./served-folder.ts";

/** Maximum number of a peer's transfers. A further one ends the oldest, which the peer has most likely abandoned. */
const MAX_TRANSFERS = 64;
const MAX_ID_CHARS = 128;
const MAX_CHUNK_CHARS: number = Math.ceil(NETCONDUIT_CHUNK_BYTES / 3) * 4;
const OVER: readonly ConnectionState[] = ["closing", "closed", "failed"];

type Params = Readonly<Record<string, unknown>>;
type Handler<Peer> = (params: unknown, peer: Peer) => unknown;

export interface NetconduitHost<Peer> {
  /** The folder for these peers, which don't name one. @throws RpcError NOT_FOUND */
  folder(): ServedFolder<Peer>;
  now(): number;
  randomHex(): string;
}

/** The part of a `Connection` or `Client` that transfers use. */
interface TransferPeer {
  readonly state: ConnectionState;
  onStateChange(listener: (change: { readonly to: ConnectionState }) => void): () => void;
  send(type: string, data: unknown): unknown;
}

/** A file transfer, whose steps run one after another in the order of arrival. */
interface Transfer {
  step<T>(operation: () => Promise<T>): Promise<T>;
  abort(error: Error): void;
}

interface PeerTransfers {
  /** Oldest first. */
  readonly transfers: Map<string, Transfer>;
  readonly unwatch: () => void;
}

export class NetconduitTransfers<Peer> {
  readonly #host: NetconduitHost<Peer>;
  readonly #peers = new Map<Peer, PeerTransfers>();

  constructor(host: NetconduitHost<Peer>) {
    this.#host = host;
  }

  /** Handlers of netconduit clients' calls, by name. */
  get calls(): ReadonlyMap<string, Handler<Peer>> {
    return new Map<string, Handler<Peer>>([
      [FILE_UPLOAD_START, (params, peer) => this.#startUpload(asMap(params), peer)],
      [FILE_UPLOAD_CHUNK, (params, peer) => this.#uploadChunk(asMap(params), peer)],
      [FILE_UPLOAD_COMPLETE, (params, peer) => this.#completeUpload(asMap(params), peer)],
      [FILE_DOWNLOAD_START, (params, peer) => this.#startDownload(asMap(params), peer)],
      [FILE_DOWNLOAD_CHUNK, (params, peer) => this.#downloadChunk(asMap(params), peer)],
      [FILE_LIST, (_params, peer) => this.#list(peer)],
    ]);
  }

  /** Handlers of the messages by which a netconduit server sends a file, by type. */
  get messages(): ReadonlyMap<string, Handler<Peer>> {
    return new Map<string, Handler<Peer>>([
      [FILE_INCOMING, (data, peer) => this.#incoming(asMap(data), peer)],
      [FILE_CHUNK, (data, peer) => this.#incomingChunk(asMap(data), peer)],
      [FILE_COMPLETE, (data, peer) => this.#incomingComplete(asMap(data), peer)],
    ]);
  }

  // --- uploads ------------------------------------------------------------------------------------------------------

  async #startUpload(params: Params, peer: Peer): Promise<unknown> {
    const id = this.#host.randomHex();
    const upload = this.#addUpload(id, params, peer, FILE_UPLOAD_START);
    await this.#orEnded(id, peer, upload, upload.begin());
    return { transfer_id: id, chunk_size: NETCONDUIT_CHUNK_BYTES, total_chunks: chunksOf(upload.bytes) };
  }

  async #uploadChunk(params: Params, peer: Peer): Promise<unknown> {
    const upload = this.#find(params, peer, UploadTransfer);
    await upload.step(() => upload.receive(params));
    const { chunk_index } = params;
    const total_chunks = chunksOf(upload.bytes);
    return { received: true, chunk_index, chunks_received: upload.chunks, total_chunks };
  }

  /** Returns only the file's name as `path`, so that the folder's location isn't revealed. */
  async #completeUpload(params: Params, peer: Peer): Promise<unknown> {
    const upload = this.#find(params, peer, UploadTransfer);
    const { name, bytes } = await this.#lastStep(params, peer, upload, () => upload.complete());
    const elapsed = float64((this.#host.now() - upload.startedMs) / 1000);
    return { success: true, filename: name, size: bytes, path: name, elapsed };
  }

  /** The peer chooses the id. Errors are only reported to this side's application, because the peer expects no answer. */
  async #incoming(params: Params, peer: Peer): Promise<void> {
    const id = idOf(params);
    if (this.#peers.get(peer)?.transfers.has(id) === true) {
      throw new RpcError(ErrorCode.INVALID_PARAMS, "The id of a file is in use by another one");
    }
    const upload = this.#addUpload(id, params, peer, FILE_INCOMING);
    await upload.begin();
    (peer as unknown as TransferPeer).send(FILE_INCOMING_ACK, { transfer_id: id, ready: true });
  }

  /** Handles a chunk. Chunks of a rejected file still arrive, and are ignored. */
  async #incomingChunk(params: Params, peer: Peer): Promise<void> {
    const upload = this.#find(params, peer, UploadTransfer);
    await upload.step(async () => {
      if (!upload.hasFailed) await upload.receive(params);
    });
  }

  async #incomingComplete(params: Params, peer: Peer): Promise<void> {
    const upload = this.#find(params, peer, UploadTransfer);
    await this.#lastStep(params, peer, upload, async () => {
      if (!upload.hasFailed) await upload.complete();
    });
  }

  #addUpload(id: string, params: Params, peer: Peer, method: string): UploadTransfer {
    mustBeConnected(peer);
    const { filename: name, size: bytes, checksum: sha256 } = params;
    if (!isCount(bytes)) throw invalid("size must be a whole number");
    if (!isSha256(sha256)) throw invalid("checksum must be a SHA-256 in hex");
    const input = new ItemChannel();
    const context = { client: peer, method, input, progress: () => undefined };
    const identity = { name, bytes, modified: null, resume: false, offset: 0 };
    const received = this.#host.folder().upload(identity, context);
    return this.#add(id, peer, new UploadTransfer({ bytes, sha256 }, input, received, this.#host.now()));
  }

  // --- downloads ----------------------------------------------------------------------------------------------------

  async #startDownload(params: Params, peer: Peer): Promise<unknown> {
    mustBeConnected(peer);
    const id = this.#host.randomHex();
    const asked = { name: params["filename"], offset: 0, bytes: null, modified: null };
    const items = this.#host.folder().download(asked, this.#context(peer, FILE_DOWNLOAD_START));
    const download = this.#add(id, peer, new DownloadTransfer(items));
    await this.#orEnded(id, peer, download, download.begin());
    if (download.isComplete) this.#remove(id, peer);
    const { bytes: size } = download;
    return { transfer_id: id, size, total_chunks: chunksOf(size), chunk_size: NETCONDUIT_CHUNK_BYTES };
  }

  async #downloadChunk(params: Params, peer: Peer): Promise<unknown> {
    const { transfer_id, chunk_index } = params;
    const download = this.#find(params, peer, DownloadTransfer);
    const step = download.step(() => download.chunk(chunk_index));
    const bytes = await this.#orEnded(transfer_id, peer, download, step);
    if (download.isComplete) this.#remove(transfer_id, peer);
    return { chunk_index, data_b64: encodeBase64(bytes), size: bytes.length };
  }

  async #list(peer: Peer): Promise<unknown> {
    const files: unknown[] = [];
    for await (const entries of this.#host.folder().list({}, this.#context(peer, FILE_LIST))) {
      for (const { name, bytes } of entries) files.push({ name, size: bytes });
    }
    return { files };
  }

  #context(client: Peer, method: string): FolderContext<Peer> {
    return { client, method, input: new ItemChannel(), progress: () => undefined };
  }

  // --- transfers of a peer ------------------------------------------------------------------------------------------

  #add<T extends Transfer>(id: string, peer: Peer, transfer: T): T {
    const { transfers } = this.#transfersOf(peer);
    for (const [oldId, old] of transfers) {
      if (transfers.size < MAX_TRANSFERS) break;
      transfers.delete(oldId);
      old.abort(new RpcError(ErrorCode.CANCELLED, `The peer has begun ${MAX_TRANSFERS} other files`));
    }
    transfers.set(id, transfer);
    return transfer;
  }

  #transfersOf(peer: Peer): PeerTransfers {
    const known = this.#peers.get(peer);
    if (known !== undefined) return known;
    const unwatch = (peer as unknown as TransferPeer).onStateChange(({ to }) => {
      if (OVER.includes(to)) this.#end(peer);
    });
    const added = { transfers: new Map<string, Transfer>(), unwatch };
    this.#peers.set(peer, added);
    return added;
  }

  /** Removes unfinished files when the connection has ended. */
  #end(peer: Peer): void {
    const ended = this.#peers.get(peer);
    this.#peers.delete(peer);
    ended?.unwatch();
    const error = new ConduitError(ErrorCode.CONNECTION_CLOSED, "The connection ended during the transfer of a file");
    for (const transfer of ended?.transfers.values() ?? []) transfer.abort(error);
  }

  #remove(id: unknown, peer: Peer): void {
    const known = this.#peers.get(peer);
    known?.transfers.delete(id as string);
    if (known?.transfers.size !== 0) return;
    known.unwatch();
    this.#peers.delete(peer);
  }

  /** Runs a step, and ends the transfer if it fails. */
  async #orEnded<T>(id: unknown, peer: Peer, transfer: Transfer, step: Promise<T>): Promise<T> {
    try {
      return await step;
    } catch (error) {
      this.#remove(id, peer);
      transfer.abort(error as Error);
      throw error;
    }
  }

  async #lastStep<T>(params: Params, peer: Peer, upload: UploadTransfer, step: () => Promise<T>): Promise<T> {
    try {
      return await upload.step(step);
    } finally {
      this.#remove(params["transfer_id"], peer);
    }
  }

  #find<T extends Transfer>(params: Params, peer: Peer, kind: new (...args: never[]) => T): T {
    const id = idOf(params);
    const transfer = this.#peers.get(peer)?.transfers.get(id);
    if (transfer instanceof kind) return transfer;
    throw new RpcError(ErrorCode.NOT_FOUND, "Transfer not found");
  }
}

/** Runs steps one after another. */
class Steps {
  #last: Promise<unknown> = Promise.resolve();

  step<T>(operation: () => Promise<T>): Promise<T> {
    const result = this.#last.then(operation);
    // The step's caller gets its error.
    this.#last = result.catch(() => undefined);
    return result;
  }
}

class UploadTransfer extends Steps implements Transfer {
  readonly bytes: number;
  readonly startedMs: number;
  readonly #sha256: string;
  readonly #items: ItemChannel;
  readonly #received: Promise<{ readonly name: string; readonly bytes: number }>;
  #at = 0;
  chunks = 0;
  hasFailed = false;

  constructor(
    { bytes, sha256 }: { readonly bytes: number; readonly sha256: string },
    items: ItemChannel,
    received: Promise<{ readonly name: string; readonly bytes: number }>,
    startedMs: number,
  ) {
    super();
    this.bytes = bytes;
    this.startedMs = startedMs;
    this.#sha256 = sha256;
    this.#items = items;
    this.#received = received;
    // Each step rejects with the same error.
    received.catch(() => {
      this.hasFailed = true;
    });
  }

  /** Resolves when the folder has accepted the file. Chunks that arrive before that are processed afterwards. */
  begin(): Promise<unknown> {
    return this.step(() => Promise.race([this.#items.opened, this.#received]));
  }

  async receive({ chunk_index: index, data_b64: text }: Params): Promise<void> {
    try {
      const bytes = this.#decode(index, text);
      this.chunks += 1;
      this.#at += bytes.length;
      await Promise.race([this.#items.put(bytes), this.#received]);
    } catch (error) {
      this.#items.fail(error as Error);
      await this.#received;
      throw error;
    }
  }

  /** @throws RpcError INVALID_PARAMS, WRONG_OFFSET */
  #decode(index: unknown, text: unknown): Uint8Array {
    if (index !== this.chunks) {
      throw new RpcError(ErrorCode.WRONG_OFFSET, `chunk_index must be ${this.chunks}: chunks are taken in order`);
    }
    const expected = Math.min(NETCONDUIT_CHUNK_BYTES, this.bytes - this.#at);
    const isText = typeof text === "string" && text.length <= MAX_CHUNK_CHARS;
    const bytes = isText ? decodeBase64(text) : null;
    if (bytes === null || bytes.length !== expected || expected === 0) {
      throw invalid(`data_b64 of chunk ${this.chunks} must be ${expected} bytes in base64`);
    }
    return bytes;
  }

  complete(): Promise<{ readonly name: string; readonly bytes: number }> {
    const mark = { at: this.#at, sha256: this.#sha256, file: this.#sha256, end: true };
    void this.#items.put(mark);
    this.#items.end();
    return this.#received;
  }

  abort(error: Error): void {
    this.#items.fail(error);
  }
}

class DownloadTransfer extends Steps implements Transfer {
  readonly #items: AsyncGenerator<unknown, undefined>;
  /** Bytes already read that belong to the next chunk. */
  #rest: Uint8Array = new Uint8Array(0);
  #at = 0;
  #chunks = 0;
  bytes = 0;
  isComplete = false;

  constructor(items: AsyncGenerator<unknown, undefined>) {
    super();
    this.#items = items;
  }

  async begin(): Promise<void> {
    const { value } = await this.#items.next();
    this.bytes = (value as { readonly bytes: number }).bytes;
    if (this.bytes === 0) await this.#end();
  }

  async chunk(index: unknown): Promise<Uint8Array> {
    if (index !== this.#chunks) {
      throw new RpcError(ErrorCode.WRONG_OFFSET, `chunk_index must be ${this.#chunks}: chunks are sent in order`);
    }
    const chunk = new Uint8Array(Math.min(NETCONDUIT_CHUNK_BYTES, this.bytes - this.#at));
    for (let filled = 0; filled < chunk.length; ) {
      if (this.#rest.length === 0) await this.#read();
      const part = this.#rest.subarray(0, chunk.length - filled);
      chunk.set(part, filled);
      filled += part.length;
      this.#rest = this.#rest.subarray(part.length);
    }
    this.#chunks += 1;
    this.#at += chunk.length;
    if (this.#at === this.bytes) await this.#end();
    return chunk;
  }

  /** Reads the next bytes, skipping marks, which netconduit doesn't know. */
  async #read(): Promise<void> {
    const { done, value } = await this.#items.next();
    if (done === true) throw new RpcError(ErrorCode.CANCELLED, "The transfer has ended");
    if (value instanceof Uint8Array) this.#rest = value;
  }

  /** @throws RpcError FILE_CHANGED */
  async #end(): Promise<void> {
    while ((await this.#items.next()).done !== true);
    this.isComplete = true;
  }

  abort(): void {
    void this.#items.return(undefined);
  }
}

/** @throws ConduitError CONNECTION_CLOSED if the connection has ended, because nothing would end the transfer */
function mustBeConnected(peer: unknown): void {
  if (!OVER.includes((peer as TransferPeer).state)) return;
  throw new ConduitError(ErrorCode.CONNECTION_CLOSED, "The connection has ended");
}

function idOf({ transfer_id: id }: Params): string {
  if (typeof id === "string" && id !== "" && id.length <= MAX_ID_CHARS) return id;
  throw invalid(`transfer_id must be text of 1 to ${MAX_ID_CHARS} characters`);
}

function asMap(value: unknown): Params {
  return isMap(value) ? value : {};
}

function invalid(rule: string): RpcError {
  return new RpcError(ErrorCode.INVALID_PARAMS, `Invalid parameters of a file: ${rule}`);
}
