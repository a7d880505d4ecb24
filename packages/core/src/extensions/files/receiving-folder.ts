/**
 * Unfinished files, beside the folder that they are for, and how they become files of it.
 *
 * `.netconduit/<id>.part` has the bytes, `.netconduit/<id>.json` says how many of them were verified. Both survive the
 * process. The file appears under its name only when all of it is verified and on the disk. The id is made of the name
 * and of who sends it, so whoever continues finds it without having kept anything.
 */

import { ConduitError, ErrorCode, RpcError } from "../../errors.ts";
import type { FileAccess, FileHash, OpenFile } from "../../util/file-access.ts";
import { isMap } from "../../util/is-map.ts";
import { utf8 } from "../../util/utf8.ts";
import { numbered, PARTIALS } from "./checked-name.ts";
import { systemCodeOf, withFileErrors } from "./file-errors.ts";
import { isSha256 } from "./file-items.ts";
import type { HashMemory } from "./hash-memory.ts";

export type OverwritePolicy = "fail" | "replace" | "rename";

/**
 * The verified length reaches the disk when it has doubled, after so many bytes, or after so much time: that is what a
 * crash costs.
 */
const SAVE_BYTES: number = 64 * 1024 * 1024;
const SAVE_MS = 1000;
/** Writes under way: the next items are received and hashed meanwhile. */
const MAX_WRITES = 8;
const CHECK_BYTES: number = 1024 * 1024;
const ID_DIGITS = 32;
const MAX_NUMBER = 9999;
const MAX_STATE_BYTES = 4096;
/** The folder for unfinished files can go so often, by other processes, while a file is made in it. */
const MAX_CREATE_ATTEMPTS = 100;

/** The process-wide part: two servers, and a client, may have the same folder. */
export interface ReceiverContext {
  readonly files: FileAccess;
  readonly memory: HashMemory;
  /** Files that are being received now, by the path of their partial file. */
  readonly active: Map<string, PartialFile>;
  now(): number;
  wallClock(): number;
  randomHex(): string;
}

/** Which file it is. */
export interface ReceivedIdentity {
  readonly name: string;
  /** Who sends it. */
  readonly owner: string;
  /** Null if it isn't known. */
  readonly bytes: number | null;
  readonly modifiedMs: number | null;
  /** Whether it may be continued later. If not, nothing is left of it when it fails. */
  readonly isResumable: boolean;
}

/** The state of an unfinished file. */
export interface PartialState {
  readonly bytes: number | null;
  readonly modifiedMs: number | null;
  /** Number of bytes that were verified. */
  readonly verified: number;
  /** SHA-256 of those; null if they weren't hashed in one go. */
  readonly sha256: string | null;
}

export class ReceivingFolder {
  readonly context: ReceiverContext;
  readonly folder: string;
  readonly partials: string;

  constructor(context: ReceiverContext, folder: string) {
    this.context = context;
    this.folder = folder;
    this.partials = context.files.join(folder, PARTIALS);
  }

  pathOf(name: string): string {
    return this.context.files.join(this.folder, name);
  }

  /** Whether a name is taken. */
  async has(name: string): Promise<boolean> {
    return await withFileErrors(`receive '${name}'`, async () => {
      return (await this.context.files.facts(this.pathOf(name))) !== null;
    });
  }

  /** The id of an unfinished file: of all attempts if it can be continued, else of this one. */
  idOf({ name, owner, isResumable }: ReceivedIdentity): string {
    if (!isResumable) return this.context.randomHex().slice(0, ID_DIGITS);
    const hash = this.context.files.sha256();
    hash.update(utf8(JSON.stringify([name, owner])));
    return hash.digest().slice(0, ID_DIGITS);
  }

  /**
   * The part of a file that can be continued; null if there is none. An attempt under way ends first, since its
   * sender must have lost its connection.
   */
  async find(identity: ReceivedIdentity): Promise<PartialState | null> {
    if (!identity.isResumable) return null;
    await this.interrupt(identity);
    return await withFileErrors(`receive '${identity.name}'`, () => this.#stateOf(this.idOf(identity)));
  }

  /** Ends an attempt that is under way. */
  async interrupt(identity: ReceivedIdentity): Promise<void> {
    const { active } = this.context;
    const part = this.#partPath(this.idOf(identity));
    for (let other = active.get(part); other !== undefined; other = active.get(part)) await other.interrupt();
  }

  /**
   * Opens an unfinished file to continue it at `offset`, or makes a new one.
   * @throws RpcError WRONG_OFFSET if another number of bytes of this version of the file was verified
   */
  async open(identity: ReceivedIdentity, offset: number): Promise<PartialFile> {
    const { context } = this;
    const id = this.idOf(identity);
    const part = this.#partPath(id);
    // Nothing is awaited between the last look and `set`, or two attempts would have one file.
    for (let other = context.active.get(part); other !== undefined; other = context.active.get(part)) {
      await other.interrupt();
    }
    const partial = new PartialFile(this, identity, { part, state: this.#statePath(id), offset });
    context.active.set(part, partial);
    try {
      await withFileErrors(`receive '${identity.name}'`, async () => {
        if (offset > 0) mustContinueAt(offset, identity, await this.#stateOf(id));
        await partial.begin();
      });
      return partial;
    } catch (error) {
      await partial.end();
      throw error;
    }
  }

  /**
   * Removes what nobody has continued for `ageMs`.
   * @returns milliseconds until the next of the others is as old; null if there are none
   */
  async expire(ageMs: number): Promise<number | null> {
    const { files, active } = this.context;
    const { partials } = this;
    if ((await files.facts(partials))?.kind !== "folder") return null;
    const isActive = (id: string): boolean => [...active.keys()].some((part) => idIn(files.nameOf(part)) === id);
    let nextMs: number | null = null;
    for (const entry of await namesIfThere(files, partials)) {
      const path = files.join(partials, entry);
      const facts = await files.facts(path);
      if (facts === null || facts.kind === "folder") continue;
      const leftMs = ageMs - (this.context.wallClock() - facts.modifiedMs);
      if (leftMs > 0) {
        nextMs = Math.min(nextMs ?? ageMs, leftMs);
        continue;
      }
      if (isActive(idIn(entry))) continue;
      await removeIfThere(files, path);
      this.context.memory.forget(path);
    }
    await this.removeIfEmpty();
    return nextMs;
  }

  /**
   * The folder for unfinished files goes with the last of them. A link in its place is left alone. A folder that the
   * system doesn't let go stays: it is empty, and no reason to fail a file that is complete.
   */
  async removeIfEmpty(): Promise<void> {
    const { files, active } = this.context;
    for (const part of active.keys()) if (files.folderOf(part) === this.partials) return;
    try {
      await files.removeFolder(this.partials);
    } catch (cause) {
      if (!/^E[A-Z0-9]+$/.test(systemCodeOf(cause))) throw cause;
    }
  }

  /**
   * The folder may be gone again, with a file of another process.
   * @throws the system's error; RpcError PERMISSION_DENIED if the folder is a link
   */
  async makePartials(): Promise<void> {
    const { files } = this.context;
    await files.makeFolder(this.partials);
    const facts = await files.facts(this.partials);
    if (facts === null || facts.kind === "folder") return;
    throw new RpcError(ErrorCode.PERMISSION_DENIED, `'${PARTIALS}', where unfinished files belong, is not a folder`);
  }

  #partPath(id: string): string {
    return this.context.files.join(this.partials, `${id}.part`);
  }

  #statePath(id: string): string {
    return this.context.files.join(this.partials, `${id}.json`);
  }

  async #stateOf(id: string): Promise<PartialState | null> {
    const { files } = this.context;
    if ((await files.facts(this.partials))?.kind !== "folder") return null;
    const state = await readState(files, this.#statePath(id));
    const part = await files.facts(this.#partPath(id));
    return state !== null && part?.kind === "file" && part.bytes >= state.verified ? state : null;
  }
}

/** The id of an unfinished file that has the name `<id>.part`, or that of its state. */
function idIn(name: string): string {
  return name.slice(0, ID_DIGITS);
}

/** Whether a state is that of the same version of a file. */
export function isSameVersion(state: PartialState, { bytes, modifiedMs }: ReceivedIdentity): boolean {
  return state.bytes === bytes && state.modifiedMs === modifiedMs;
}

/** @throws RpcError WRONG_OFFSET */
function mustContinueAt(offset: number, identity: ReceivedIdentity, state: PartialState | null): void {
  const verified = state !== null && isSameVersion(state, identity) ? state.verified : 0;
  if (verified === offset) return;
  const message = `'${identity.name}' can be continued at byte ${verified}, not at ${offset}`;
  throw new RpcError(ErrorCode.WRONG_OFFSET, message, { details: { offset: verified } });
}

interface PartialPaths {
  readonly part: string;
  readonly state: string;
  readonly offset: number;
}

/** A file that is being received. Ends by `finish`, `keep` or `discard`, and its file is closed then. */
export class PartialFile {
  readonly #folder: ReceivingFolder;
  readonly #identity: ReceivedIdentity;
  readonly #paths: PartialPaths;
  #file: OpenFile | null = null;
  /** Writes under way, oldest first. */
  readonly #writes: Promise<void>[] = [];
  #at: number;
  #verified: number;
  /** The hash of the verified bytes; null if it isn't known. */
  #whole: FileHash | null;
  #savedAt: number;
  #savedMs: number;
  readonly #ended: Promise<void>;
  #resolveEnded: () => void = () => undefined;
  #interrupted: RpcError | null = null;
  /** Ends the stream that this file arrives by. */
  onInterrupt: (() => void) | null = null;

  constructor(folder: ReceivingFolder, identity: ReceivedIdentity, paths: PartialPaths) {
    this.#folder = folder;
    this.#identity = identity;
    this.#paths = paths;
    this.#at = paths.offset;
    this.#verified = paths.offset;
    this.#whole = paths.offset === 0 ? null : folder.context.memory.recall(paths.part, paths.offset);
    this.#savedAt = paths.offset;
    this.#savedMs = folder.context.now();
    this.#ended = new Promise((resolve) => {
      this.#resolveEnded = resolve;
    });
  }

  /** A copy of the hash of the verified bytes; null if it isn't known. */
  get whole(): FileHash | null {
    return this.#whole?.copy() ?? null;
  }

  /** Number of bytes that were given to `write`. */
  get bytes(): number {
    return this.#at;
  }

  get #files(): FileAccess {
    return this.#folder.context.files;
  }

  /** @throws the system's error */
  async begin(): Promise<void> {
    const { part, offset } = this.#paths;
    if (offset > 0) {
      await this.#folder.makePartials();
      this.#file = await this.#files.open(part, "write");
      // The bytes that follow were never verified.
      await this.#file.truncate(offset);
      return;
    }
    await this.#removeState();
    await removeIfThere(this.#files, part);
    this.#folder.context.memory.forget(part);
    this.#file = await this.#create(part);
  }

  /** @throws RpcError CANCELLED if another attempt continues */
  throwIfInterrupted(): void {
    if (this.#interrupted !== null) throw this.#interrupted;
  }

  /** Appends bytes, which nobody changes any more. @throws coded errors of the disk, also those of earlier writes */
  async write(bytes: Uint8Array): Promise<void> {
    this.throwIfInterrupted();
    const file = this.#opened;
    const at = this.#at;
    this.#at += bytes.length;
    const written = withFileErrors(this.#doing, () => file.write(bytes, at));
    // A later write, or the end, rejects with its error.
    written.catch(() => undefined);
    this.#writes.push(written);
    if (this.#writes.length === MAX_WRITES) await this.#writes.shift();
  }

  async #written(): Promise<void> {
    for (let write = this.#writes.shift(); write !== undefined; write = this.#writes.shift()) await write;
  }

  /** Everything written so far is verified. @param whole its hash; null if it isn't known */
  async verified(whole: FileHash | null): Promise<void> {
    this.throwIfInterrupted();
    this.#verified = this.#at;
    this.#whole = whole;
    if (!this.#identity.isResumable) return;
    const now = this.#folder.context.now();
    if (this.#at - this.#savedAt < Math.min(SAVE_BYTES, this.#savedAt) && now - this.#savedMs < SAVE_MS) return;
    await withFileErrors(this.#doing, () => this.#save());
  }

  /**
   * All of it is here and verified: gives it its name.
   * @param sha256 of the whole file; null if it isn't known, and then the file is read once
   * @param onCheck called while it is read, with the number of bytes
   */
  async finish(
    policy: OverwritePolicy,
    sha256: string | null,
    onCheck: (bytes: number) => void,
  ): Promise<{ name: string; path: string; bytes: number; sha256: string }> {
    const { part } = this.#paths;
    const bytes = this.#at;
    const finished = await withFileErrors(this.#doing, async () => {
      await this.#written();
      const digest = sha256 ?? (await this.#digestAll(onCheck));
      await this.#opened.sync();
      await this.#close();
      const name = await this.#publish(policy);
      await this.#removeState();
      await this.#files.syncFolder(this.#folder.folder);
      return { name, path: this.#folder.pathOf(name), bytes, sha256: digest };
    });
    this.#folder.context.memory.forget(part);
    await this.end();
    return finished;
  }

  /** It didn't finish, and may be continued: keeps what was verified. */
  async keep(): Promise<void> {
    if (!this.#identity.isResumable || this.#verified === 0) return await this.discard();
    try {
      await withFileErrors(this.#doing, () => this.#save());
    } finally {
      await this.end();
    }
  }

  /** Leaves nothing behind. */
  async discard(): Promise<void> {
    const { part } = this.#paths;
    this.#folder.context.memory.forget(part);
    try {
      await withFileErrors(this.#doing, async () => {
        await this.#close();
        await this.#removeState();
        await removeIfThere(this.#files, part);
      });
    } finally {
      await this.end();
    }
  }

  /** Another attempt continues: this one keeps what it has. Resolves when it has ended. */
  async interrupt(): Promise<void> {
    this.#interrupted ??= new RpcError(ErrorCode.CANCELLED, `Another attempt continues '${this.#identity.name}'`);
    this.onInterrupt?.();
    await this.#ended;
  }

  /** It is nobody's any more. */
  async end(): Promise<void> {
    const { active } = this.#folder.context;
    try {
      await this.#close();
    } finally {
      if (active.get(this.#paths.part) === this) active.delete(this.#paths.part);
      this.#resolveEnded();
    }
    await this.#folder.removeIfEmpty();
  }

  get #doing(): string {
    return `receive '${this.#identity.name}'`;
  }

  get #opened(): OpenFile {
    if (this.#file === null) throw new ConduitError(ErrorCode.INVALID_STATE, `${this.#doing}: the file is closed`);
    return this.#file;
  }

  async #close(): Promise<void> {
    const file = this.#file;
    this.#file = null;
    await Promise.allSettled(this.#writes);
    await file?.close();
  }

  /** The folder may go with the last of the other files, just before. */
  async #create(path: string): Promise<OpenFile> {
    for (let attempt = 1; ; attempt += 1) {
      await this.#folder.makePartials();
      try {
        return await this.#files.open(path, "create");
      } catch (cause) {
        if (systemCodeOf(cause) !== "ENOENT" || attempt === MAX_CREATE_ATTEMPTS) throw cause;
      }
    }
  }

  async #removeState(): Promise<void> {
    if (!this.#identity.isResumable) return;
    const { state } = this.#paths;
    for (const path of [state, nextOf(state)]) await removeIfThere(this.#files, path);
  }

  /** The data reaches the disk before the number that says how much of it there is. */
  async #save(): Promise<void> {
    const { context } = this.#folder;
    const { part, state } = this.#paths;
    await this.#written();
    await this.#opened.sync();
    if (this.#whole !== null) context.memory.remember(part, this.#verified, this.#whole.copy());
    const { bytes, modifiedMs } = this.#identity;
    const sha256 = this.#whole?.copy().digest() ?? null;
    await writeState(this.#files, state, { bytes, modifiedMs, verified: this.#verified, sha256 });
    this.#savedAt = this.#verified;
    this.#savedMs = context.now();
  }

  async #digestAll(onCheck: (bytes: number) => void): Promise<string> {
    const hash = this.#files.sha256();
    const memory = new Uint8Array(CHECK_BYTES);
    for (let at = 0; at < this.#at; ) {
      const count = await this.#opened.read(memory, at);
      if (count === 0) throw new RpcError(ErrorCode.FILE_ERROR, `Cannot ${this.#doing}: the file became shorter`);
      hash.update(memory.subarray(0, count));
      at += count;
      onCheck(at);
    }
    return hash.digest();
  }

  /** A link fails if the name is taken, in one step; renaming would replace what is there. Returns the name. */
  async #publish(policy: OverwritePolicy): Promise<string> {
    const { part } = this.#paths;
    const { name } = this.#identity;
    if (policy === "replace") {
      await this.#files.rename(part, this.#folder.pathOf(name));
      return name;
    }
    for (let number = 1; ; number += 1) {
      const candidate = number === 1 ? name : numbered(name, number);
      try {
        await this.#files.link(part, this.#folder.pathOf(candidate));
        await removeIfThere(this.#files, part);
        return candidate;
      } catch (cause) {
        const isTaken = systemCodeOf(cause) === "EEXIST";
        if (!isTaken) throw cause;
        if (policy === "fail" || number === MAX_NUMBER) throw existsError(name, cause);
      }
    }
  }
}

export function existsError(name: string, cause?: unknown): RpcError {
  return new RpcError(ErrorCode.FILE_EXISTS, `There is a file '${name}' already`, { cause });
}

export async function removeIfThere(files: FileAccess, path: string): Promise<void> {
  try {
    await files.remove(path);
  } catch (cause) {
    if (systemCodeOf(cause) !== "ENOENT") throw cause;
  }
}

async function namesIfThere(files: FileAccess, folder: string): Promise<string[]> {
  try {
    return await files.names(folder);
  } catch (cause) {
    if (systemCodeOf(cause) !== "ENOENT") throw cause;
    return [];
  }
}

async function readState(files: FileAccess, path: string): Promise<PartialState | null> {
  let file: OpenFile;
  try {
    file = await files.open(path, "read");
  } catch (cause) {
    if (systemCodeOf(cause) === "ENOENT") return null;
    throw cause;
  }
  try {
    const memory = new Uint8Array(MAX_STATE_BYTES);
    const count = await file.read(memory, 0);
    return parseState(new TextDecoder().decode(memory.subarray(0, count)));
  } finally {
    await file.close();
  }
}

/** A state that was cut off by a crash is none. */
function parseState(text: string): PartialState | null {
  let state: unknown;
  try {
    state = JSON.parse(text);
  } catch {
    return null;
  }
  if (!isMap(state)) return null;
  const { bytes, modifiedMs, verified, sha256 } = state as Record<string, unknown>;
  const isValid =
    isCount(verified) &&
    (bytes === null || isCount(bytes)) &&
    (modifiedMs === null || typeof modifiedMs === "number") &&
    (sha256 === null || isSha256(sha256));
  return isValid ? (state as unknown as PartialState) : null;
}

/** Where a state is written before it replaces the former one. A crash leaves it. */
function nextOf(state: string): string {
  return `${state}.new`;
}

/** Replaces the state in one step, so that a crash leaves the former one. */
async function writeState(files: FileAccess, path: string, state: PartialState): Promise<void> {
  const next = nextOf(path);
  await removeIfThere(files, next);
  const file = await files.open(next, "create");
  try {
    await file.write(utf8(JSON.stringify(state)), 0);
    await file.sync();
  } finally {
    await file.close();
  }
  await files.rename(next, path);
}

export function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}
