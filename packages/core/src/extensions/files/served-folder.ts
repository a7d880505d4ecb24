/** A folder served to peers: authorizes, carries out and answers their requests. */

import { identityOf, type User } from "../../auth/user.ts";
import { ConduitError, ErrorCode, isInstance, messageOf, RpcError } from "../../errors.ts";
import { type Access, type AccessControl, verdictOf } from "../../rpc/access.ts";
import { isCount } from "../../util/is-count.ts";
import { calledAs } from "../../wire/called-as.ts";
import { checkFileName, isServable } from "./checked-name.ts";
import { fileError, withFileErrors } from "./file-errors.ts";
import { fileItems, ItemVerifier } from "./file-items.ts";
import { type DiskSource, openFile } from "./file-source.ts";
import type { FileTransfers } from "./file-transfers.ts";
import { type FinishedUpload, FinishedUploads } from "./finished-uploads.ts";
import { FolderExpiry } from "./folder-expiry.ts";
import type { FileRequest, FolderConfig } from "./folder-options.ts";
import { existsError, type PartialFile, type ReceivedIdentity } from "./partial-file.ts";
import { isSameVersion } from "./partial-state.ts";
import { PeerTurns } from "./peer-turns.ts";
import { Quota } from "./quota.ts";
import { giveUp, receiveFile } from "./receive-file.ts";
import { partOf, ReceivingFolder } from "./receiving-folder.ts";

/** A file that a peer uploaded or downloaded. */
export interface TransferredFile {
  /** The folder's name, as in `files(name, …)`. */
  readonly folder: string;
  readonly name: string;
  /** Path on this side's disk. */
  readonly path: string;
  readonly bytes: number;
  /** Hash of the whole file in hex; null after a download that was continued after both sides had restarted. */
  readonly sha256: string | null;
  /** Number of bytes transferred by earlier attempts. */
  readonly resumedFrom: number;
}

/** A regular file in a folder. */
export interface FileEntry {
  readonly name: string;
  /** Size in bytes. */
  readonly bytes: number;
  /** Modification time in Unix milliseconds; null if the peer doesn't state it, like netconduit peers. */
  readonly modifiedMs: number | null;
}

export interface FolderHost<Peer> {
  readonly transfers: FileTransfers;
  readonly access: AccessControl<Peer>;
  received(peer: Peer, file: TransferredFile): void;
  sent(peer: Peer, file: TransferredFile): void;
  /** Reports a disk error to this side's application. @param peer undefined if it wasn't caused by a request */
  failed(peer: Peer | undefined, method: string, error: unknown): void;
}

type Params = Readonly<Record<string, unknown>>;

/** The call's context, as passed to a handler. */
export interface FolderContext<Peer> {
  readonly client: Peer;
  readonly method: string;
  /** The parameters. */
  readonly value?: unknown;
  readonly input: AsyncIterableIterator<unknown>;
  /** Absent for netconduit transfers, which are aborted through their input. */
  readonly signal?: AbortSignal;
  progress(value: unknown): void;
}

/** An entry of a list on the wire. */
interface ListedFile {
  readonly name: string;
  readonly bytes: number;
  readonly modified: number;
}

/** The answer to an upload. */
export interface ReceivedFile {
  readonly name: string;
  readonly bytes: number;
  readonly sha256: string;
}

/** A peer's request. */
interface UploadRequest {
  readonly identity: ReceivedIdentity;
  /** Id of the upload, unique to its owner; null if the upload can't be continued or has no id. */
  readonly transfer: string | null;
  readonly finished: FinishedUpload | null;
}

const ENTRIES_PER_ITEM = 256;
const MAX_ID_CHARS = 64;
/** Codes of failures that are reported to this side's application if the system caused them. */
const OWN_FAULTS: ReadonlySet<number> = new Set([
  ErrorCode.DISK_FULL,
  ErrorCode.FILE_ERROR,
  ErrorCode.PERMISSION_DENIED,
]);

export class ServedFolder<Peer> {
  readonly name: string;
  readonly #config: FolderConfig<Peer>;
  readonly #host: FolderHost<Peer>;
  readonly #receiving: ReceivingFolder;
  readonly #quota: Quota;
  readonly #expiry: FolderExpiry;
  readonly #finished: FinishedUploads;
  readonly #listTurns = new PeerTurns();

  constructor(name: string, config: FolderConfig<Peer>, host: FolderHost<Peer>) {
    this.name = name;
    this.#config = config;
    this.#host = host;
    this.#receiving = new ReceivingFolder(host.transfers, config.dir);
    this.#quota = new Quota(config.quotaBytes);
    this.#finished = new FinishedUploads(() => host.transfers.now());
    this.#expiry = new FolderExpiry({
      name,
      receiving: this.#receiving,
      transfers: host.transfers,
      expireMs: config.expireMs,
      failed: (error) => host.failed(undefined, "files", error),
    });
  }

  /** Rejects with INVALID_CONFIG if its folder doesn't exist or isn't accessible. */
  async mustExist(): Promise<void> {
    const { dir } = this.#config;
    const option = `Invalid option dir of files(${JSON.stringify(this.name)})`;
    let exists: boolean;
    try {
      exists = await this.#host.transfers.files.isFolder(dir);
    } catch (cause) {
      const message = `${option}: cannot look for the folder '${dir}': ${messageOf(cause)}`;
      throw new ConduitError(ErrorCode.INVALID_CONFIG, message, { cause });
    }
    if (exists) return;
    throw new ConduitError(ErrorCode.INVALID_CONFIG, `${option}: the folder '${dir}' doesn't exist: make it first`);
  }

  /** Starts serving the folder. Reports if it doesn't exist. */
  begin(): void {
    this.mustExist().catch((error: unknown) => this.#host.failed(undefined, "files", error));
    if (this.#config.upload) this.#expiry.begin();
  }

  /** Stops serving the folder. Running transfers continue. */
  end(): void {
    this.#expiry.end();
  }

  /** Roles that may use it; null for all. */
  get access(): Access | null {
    return this.#config.access;
  }

  /** Returns where an upload can be continued. */
  async offset(params: Params, context: FolderContext<Peer>): Promise<unknown> {
    const { identity, finished } = await this.#request(params, context);
    return await this.#reporting(context, async () => {
      if (finished !== null) return { offset: finished.bytes, sha256: finished.sha256 };
      await this.#mustBeAbleToBegin(identity);
      const state = await this.#receiving.find(identity);
      if (state === null || !isSameVersion(state, identity)) return { offset: 0, sha256: null };
      return { offset: state.verified, sha256: state.sha256 };
    });
  }

  async upload(params: Params, context: FolderContext<Peer>): Promise<ReceivedFile> {
    const { identity, transfer, finished } = await this.#request(params, context);
    return await this.#reporting(context, async () => {
      const { offset } = params;
      if (finished !== null && finished.bytes === offset) return answerOf(finished);
      if (!isCount(offset)) throw invalidParams("offset must be a whole number of bytes");
      // Before any disk access, so that an upload that is cancelled immediately costs none.
      const release = await this.#openOneMore(context);
      try {
        await this.#mustBeAbleToBegin(identity);
        const receiving = this.#receive(identity, offset, context);
        return answerOf(await (transfer === null ? receiving : this.#finished.add(transfer, receiving)));
      } finally {
        release();
      }
    });
  }

  async *download(params: Params, context: FolderContext<Peer>): AsyncGenerator<unknown, undefined> {
    const name = checkFileName(params["name"]);
    await this.#mustBeAllowed(context.client, { action: "download", folder: this.name, name });
    const { files, memory } = this.#host.transfers;
    const path = this.#receiving.pathOf(name);
    const release = await this.#openOneMore(context);
    let source: DiskSource | null = null;
    try {
      source = await this.#reporting(context, () => openFile(files, path, name));
      const { bytes, modifiedMs, key } = source;
      const asked = params["offset"];
      const isSame = params["bytes"] === bytes && params["modified"] === modifiedMs;
      const offset = isSame && isCount(asked) && asked <= bytes ? asked : 0;
      const whole = offset === 0 ? null : memory.recall(key, offset);
      yield { bytes, modified: modifiedMs, offset, sha256: whole?.copy().digest() ?? null };
      let sha256: string | null = null;
      const items = fileItems({
        files,
        source,
        offset,
        whole,
        now: () => this.#host.transfers.now(),
        hashed: (at, hash) => memory.remember(key, at, hash),
        sent: () => undefined,
        ended: (digest) => {
          sha256 = digest;
        },
      });
      try {
        yield* items;
      } catch (error) {
        throw await this.#reported(context, error);
      }
      this.#host.sent(context.client, { folder: this.name, name, path, bytes, sha256, resumedFrom: offset });
    } finally {
      try {
        await source?.close();
      } finally {
        release();
      }
    }
  }

  /** Resolves when the peer may open one more file, with a function that releases the place. @throws the signal's reason */
  async #openOneMore({ client, signal }: FolderContext<Peer>): Promise<() => void> {
    return await this.#host.transfers.openFiles.take(client as object, signal);
  }

  /** Yields arrays of entries. */
  async *list(_params: Params, context: FolderContext<Peer>): AsyncGenerator<ListedFile[], undefined> {
    await this.#mustBeAllowed(context.client, { action: "list", folder: this.name, name: null });
    const { files, lists } = this.#host.transfers;
    const peer = context.client as object;
    const release = await lists.take(peer, context.signal);
    const inTurn = <T>(task: () => Promise<T>): Promise<T> =>
      this.#reporting(context, () => this.#listTurns.run(peer, () => withFileErrors(`list '${this.name}'`, task)));
    try {
      const names = await inTurn(() => files.names(this.#config.dir));
      for (let at = 0; at < names.length; at += ENTRIES_PER_ITEM) {
        const entries = await inTurn(() => this.#entriesOf(names.slice(at, at + ENTRIES_PER_ITEM)));
        if (entries.length > 0) yield entries;
      }
    } finally {
      release();
    }
  }

  async #entriesOf(names: readonly string[]): Promise<ListedFile[]> {
    const entries: ListedFile[] = [];
    for (const name of names) {
      if (!isServable(name)) continue;
      const facts = await this.#host.transfers.files.facts(this.#receiving.pathOf(name));
      if (facts?.kind === "file") entries.push({ name, bytes: facts.bytes, modified: facts.modifiedMs });
    }
    return entries;
  }

  async stat(params: Params, context: FolderContext<Peer>): Promise<unknown> {
    const name = checkFileName(params["name"]);
    await this.#mustBeAllowed(context.client, { action: "stat", folder: this.name, name });
    return await this.#reporting(context, async () => {
      const { bytes, modifiedMs } = await this.#factsOf(name, `look up '${name}'`);
      return { name, bytes, modified: modifiedMs };
    });
  }

  async remove(params: Params, context: FolderContext<Peer>): Promise<unknown> {
    const name = checkFileName(params["name"]);
    await this.#mustBeAllowed(context.client, { action: "remove", folder: this.name, name });
    const doing = `remove '${name}'`;
    return await this.#reporting(context, async () => {
      await this.#factsOf(name, doing);
      await withFileErrors(doing, () => this.#host.transfers.files.remove(this.#receiving.pathOf(name)));
      return { removed: true };
    });
  }

  async #factsOf(name: string, doing: string): Promise<{ readonly bytes: number; readonly modifiedMs: number }> {
    const { files } = this.#host.transfers;
    const facts = await withFileErrors(doing, () => files.facts(this.#receiving.pathOf(name)));
    if (facts?.kind === "file") return facts;
    throw new RpcError(ErrorCode.NOT_FOUND, `Cannot ${doing}: there is no such file in '${this.name}'`);
  }

  /** Reads the requested upload, and finds it if it is already complete. @throws RpcError if it isn't allowed */
  async #request(params: Params, context: FolderContext<Peer>): Promise<UploadRequest> {
    const { bytes, modified, resume, transfer: id = null } = params;
    const name = checkFileName(params["name"]);
    if (bytes !== null && !isCount(bytes)) throw invalidParams("bytes must be a whole number or null");
    if (modified !== null && !isCount(modified)) throw invalidParams("modified must be a whole number or null");
    if (!isTransferId(id)) throw invalidParams(`transfer must be text of 1 to ${MAX_ID_CHARS} characters`);
    await this.#mustBeAllowed(context.client, { action: "upload", folder: this.name, name });
    const owner = ownerOf(context.client);
    const isResumable = resume === true && bytes !== null;
    const identity = { name, owner, bytes, modifiedMs: modified, isResumable };
    if (id === null || !isResumable) return { identity, transfer: null, finished: null };
    const transfer = JSON.stringify([owner, name, bytes, modified, id]);
    const finished = await this.#reporting(context, () => this.#finishedUpload(identity, transfer));
    return { identity, transfer, finished };
  }

  /** Null if the transfer isn't complete, or its file no longer exists. */
  async #finishedUpload(identity: ReceivedIdentity, transfer: string): Promise<FinishedUpload | null> {
    await this.#receiving.interrupt(identity);
    const finished = await this.#finished.find(transfer);
    return finished !== null && finished.version === (await this.#versionOf(finished.name)) ? finished : null;
  }

  /** Null if the file doesn't exist. */
  async #versionOf(name: string): Promise<string | null> {
    const { files } = this.#host.transfers;
    const facts = await withFileErrors(`look up '${name}'`, () => files.facts(this.#receiving.pathOf(name)));
    return facts?.kind === "file" ? `${facts.id}/${facts.bytes}/${facts.modifiedMs}` : null;
  }

  /** @throws RpcError if the upload must not start */
  async #mustBeAbleToBegin({ name, bytes }: ReceivedIdentity): Promise<void> {
    this.#mustNotExceed(name, bytes ?? 0);
    if (this.#config.overwrite === "fail" && (await this.#receiving.has(name))) throw existsError(name);
    await this.#expiry.used();
  }

  async #receive(identity: ReceivedIdentity, offset: number, context: FolderContext<Peer>): Promise<FinishedUpload> {
    const { name, bytes } = identity;
    const { files } = this.#host.transfers;
    let isKept = false;
    try {
      const partial = await this.#receiving.open(identity, offset, () => this.#reserve(identity, context));
      const verifier = new ItemVerifier(files, name, offset, partial.whole);
      const sha256 = await receiveFile(context.input, {
        name,
        partial,
        verifier,
        bytes,
        mayGrow: (size) => {
          this.#mustNotExceed(name, size);
          this.#quota.grow(identity, size);
        },
        received: () => undefined,
      });
      const file = await finish(partial, () =>
        partial.finish(this.#config.overwrite, sha256, (checked) => context.progress({ checked })),
      );
      isKept = true;
      this.#host.received(context.client, { folder: this.name, ...file, resumedFrom: offset });
      const version = identity.isResumable ? await this.#versionOf(file.name) : null;
      return { name: file.name, bytes: file.bytes, sha256: file.sha256, version: version ?? "" };
    } finally {
      this.#quota.end(identity, isKept, identity.isResumable);
      if (!isKept && identity.isResumable) this.#expiry.left();
    }
  }

  /** Reserves space before the disk is changed, so that an upload without room, or one cancelled by now, leaves nothing to remove. */
  async #reserve(identity: ReceivedIdentity, { signal }: FolderContext<Peer>): Promise<void> {
    const { files, active } = this.#host.transfers;
    const { folder, partials } = this.#receiving;
    const isCounted = (path: string): boolean => active.has(partOf(path));
    await withFileErrors(`measure '${this.name}'`, () =>
      this.#quota.begin(identity, identity.bytes ?? 0, files, [folder, partials], isCounted),
    );
    signal?.throwIfAborted();
  }

  #mustNotExceed(name: string, bytes: number): void {
    const { maxFileBytes } = this.#config;
    if (bytes <= maxFileBytes) return;
    const message = `'${name}' has at least ${bytes} bytes, and '${this.name}' takes files of at most ${maxFileBytes}`;
    throw new RpcError(ErrorCode.FILE_TOO_LARGE, message, { details: { limit: maxFileBytes } });
  }

  /** @throws RpcError PERMISSION_DENIED; any error of `authorize` */
  async #mustBeAllowed(peer: Peer, request: FileRequest): Promise<void> {
    this.#host.access.mustHave(peer, this.access, "files", this.name);
    const { upload, download, remove, authorize } = this.#config;
    const { action } = request;
    const offered = { upload, download, list: download, stat: download, remove };
    if (offered[action]) {
      if (authorize === undefined) return;
      if (verdictOf(await authorize(peer, request), `authorize of folder '${this.name}'`)) return;
    }
    throw new RpcError(ErrorCode.PERMISSION_DENIED, `'${this.name}' doesn't let this peer ${action}`);
  }

  async #reporting<T>(context: FolderContext<Peer>, operation: () => Promise<T>): Promise<T> {
    try {
      return await operation();
    } catch (error) {
      throw await this.#reported(context, error);
    }
  }

  /** Converts an error for the peer, and reports it to the application if the disk is at fault or the folder doesn't exist. */
  async #reported(context: FolderContext<Peer>, error: unknown): Promise<ConduitError> {
    const known = isInstance(error, RpcError) ? error : fileError(error, `use '${this.name}'`);
    if (known.code === ErrorCode.NOT_FOUND && known.cause !== undefined) {
      const { dir } = this.#config;
      if (await this.#host.transfers.files.isFolder(dir)) return known;
      const options = { cause: known.cause };
      const message = `The folder '${dir}', served as '${this.name}', doesn't exist`;
      this.#host.failed(
        context.client,
        String(calledAs(context.method, context.value)),
        new ConduitError(ErrorCode.NOT_FOUND, message, options),
      );
      return new RpcError(ErrorCode.FILE_ERROR, `'${this.name}' can't be used: its folder doesn't exist`, options);
    }
    if (OWN_FAULTS.has(known.code) && known.cause !== undefined) {
      this.#host.failed(context.client, String(calledAs(context.method, context.value)), known);
    }
    return known;
  }
}

function answerOf({ name, bytes, sha256 }: FinishedUpload): ReceivedFile {
  return { name, bytes, sha256 };
}

function isTransferId(id: unknown): id is string | null {
  return id === null || (typeof id === "string" && id !== "" && id.length <= MAX_ID_CHARS);
}

/** Runs one of the last steps, removing the unfinished file on failure. */
async function finish<T>(partial: PartialFile, step: () => Promise<T>): Promise<T> {
  try {
    return await step();
  } catch (error) {
    await giveUp(partial, error);
    throw error;
  }
}

/**
 * The owner of unfinished files, which nobody else can continue: the user, or the name stated by the peer. The latter
 * is encoded as a list, so that it can't be mistaken for a user.
 */
function ownerOf(peer: unknown): string {
  const { user, info } = (peer ?? {}) as { user?: Partial<User> | null; info?: { name?: unknown } | null };
  if (typeof user?.name === "string" && user.name !== "") return identityOf(user as User);
  return JSON.stringify([typeof info?.name === "string" ? info.name : ""]);
}

function invalidParams(rule: string): RpcError {
  return new RpcError(ErrorCode.INVALID_PARAMS, `Invalid parameters of a file: ${rule}`);
}
