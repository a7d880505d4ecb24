import { ConduitError, ErrorCode, RpcError } from "../../errors.ts";
import type { FileAccess, FileHash, OpenFile } from "../../util/file-access.ts";
import { BlockWriter } from "./block-writer.ts";
import { numbered } from "./checked-name.ts";
import { systemCodeOf, withFileErrors } from "./file-errors.ts";
import type { HashMemory } from "./hash-memory.ts";
import type { OverwritePolicy } from "./overwrite-policy.ts";
import { removeIfThere, removeState, writeState } from "./partial-state.ts";

/**
 * The verified length is saved when it has doubled, after this many bytes, or after this much time, which bounds the
 * loss in a crash.
 */
const SAVE_BYTES: number = 64 * 1024 * 1024;
const SAVE_MS = 1000;
const CHECK_BYTES: number = 1024 * 1024;
const MAX_NUMBER = 9999;
/** Attempts to create a file while other processes may be removing the folder for unfinished files. */
const MAX_CREATE_ATTEMPTS = 100;

/** State shared within the process, because several servers and clients may use the same folder. */
export interface ReceiverContext {
  readonly files: FileAccess;
  readonly memory: HashMemory;
  /** Files being received, by the path of their partial file. */
  readonly active: Map<string, PartialFile>;
  now(): number;
  wallClock(): number;
  randomHex(): string;
}

/** Identifies a received file. */
export interface ReceivedIdentity {
  readonly name: string;
  /** The sending user or peer. */
  readonly owner: string;
  /** Null if it isn't known. */
  readonly bytes: number | null;
  readonly modifiedMs: number | null;
  /** Whether it may be continued later. Otherwise it is removed on failure. */
  readonly isResumable: boolean;
}

/** The folder that a file is received in. */
export interface PartialFolder {
  readonly context: ReceiverContext;
  readonly folder: string;
  pathOf(name: string): string;
  /** Creates the folder for unfinished files. @throws the system's error; RpcError PERMISSION_DENIED if it is a link */
  makePartials(): Promise<void>;
  /** Removes the folder for unfinished files if it is empty. */
  removeIfEmpty(): Promise<void>;
}

interface PartialPaths {
  readonly part: string;
  readonly state: string;
  readonly offset: number;
}

/** A file being received. Must be ended by `finish`, `keep` or `discard`, which close it. */
export class PartialFile {
  readonly #folder: PartialFolder;
  readonly #identity: ReceivedIdentity;
  readonly #paths: PartialPaths;
  #file: OpenFile | null = null;
  #writer: BlockWriter | null = null;
  #at: number;
  #verified: number;
  /** The hash of the verified bytes; null if unknown. */
  #whole: FileHash | null;
  #savedAt: number;
  #savedMs: number;
  readonly #ended: Promise<void>;
  #resolveEnded: () => void = () => undefined;
  #interrupted: RpcError | null = null;
  /** Whether a state, or a temporary one left by a crash, may exist on disk. */
  #hasState: boolean;
  /** Ends the stream that delivers this file. */
  onInterrupt: (() => void) | null = null;

  constructor(folder: PartialFolder, identity: ReceivedIdentity, paths: PartialPaths) {
    this.#folder = folder;
    this.#identity = identity;
    this.#paths = paths;
    this.#at = paths.offset;
    this.#verified = paths.offset;
    this.#whole = paths.offset === 0 ? null : folder.context.memory.recall(paths.part, paths.offset);
    this.#savedAt = paths.offset;
    this.#savedMs = folder.context.now();
    this.#hasState = identity.isResumable;
    this.#ended = new Promise((resolve) => {
      this.#resolveEnded = resolve;
    });
  }

  /** A copy of the hash of the verified bytes; null if unknown. */
  get whole(): FileHash | null {
    return this.#whole?.copy() ?? null;
  }

  /** Number of bytes passed to `write`. */
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
      // The remaining bytes were never verified.
      await this.#file.truncate(offset);
      this.#writer = new BlockWriter(this.#file, offset);
      return;
    }
    this.#hasState = this.#hasState && (await removeIfThere(this.#files, this.#paths.state));
    this.#folder.context.memory.forget(part);
    this.#file = await this.#create(part);
    this.#writer = new BlockWriter(this.#file, 0);
  }

  /** @throws RpcError CANCELLED if another attempt has taken over */
  throwIfInterrupted(): void {
    if (this.#interrupted !== null) throw this.#interrupted;
  }

  /** Appends bytes. @throws coded disk errors, including those of earlier writes */
  async write(bytes: Uint8Array): Promise<void> {
    this.throwIfInterrupted();
    const writer = this.#writes;
    this.#at += bytes.length;
    await withFileErrors(this.#doing, () => writer.write(bytes));
  }

  /** Marks everything written so far as verified. @param whole its hash; null if unknown */
  async verified(whole: FileHash | null): Promise<void> {
    this.throwIfInterrupted();
    this.#verified = this.#at;
    this.#whole = whole;
    // A sender may repeat marks without progress.
    if (!this.#identity.isResumable || this.#at === this.#savedAt) return;
    const now = this.#folder.context.now();
    if (this.#at - this.#savedAt < Math.min(SAVE_BYTES, this.#savedAt) && now - this.#savedMs < SAVE_MS) return;
    await withFileErrors(this.#doing, () => this.#save());
  }

  /**
   * Publishes a complete and verified file under its name.
   * @param sha256 of the whole file; null if unknown, in which case the file is read once
   * @param onCheck called with the number of bytes while it is read
   */
  async finish(
    policy: OverwritePolicy,
    sha256: string | null,
    onCheck: (bytes: number) => void,
  ): Promise<{ name: string; path: string; bytes: number; sha256: string }> {
    const { part } = this.#paths;
    const bytes = this.#at;
    const finished = await withFileErrors(this.#doing, async () => {
      await this.#writes.flush();
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

  /** Keeps the verified bytes of an unfinished file, for a later attempt. */
  async keep(): Promise<void> {
    if (!this.#identity.isResumable || this.#verified === 0) return await this.discard();
    try {
      await withFileErrors(this.#doing, () => this.#save());
    } finally {
      await this.end();
    }
  }

  /** Removes the file and its state. */
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

  /** Interrupts this attempt, because another one takes over. The bytes are kept. Resolves when it has ended. */
  async interrupt(): Promise<void> {
    this.#interrupted ??= new RpcError(ErrorCode.CANCELLED, `Another attempt continues '${this.#identity.name}'`);
    this.onInterrupt?.();
    await this.#ended;
  }

  /** Marks the file as no longer in use. */
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
    if (this.#file === null)
      throw new ConduitError(ErrorCode.INVALID_STATE, `Cannot ${this.#doing}: the file is closed`);
    return this.#file;
  }

  get #writes(): BlockWriter {
    if (this.#writer === null)
      throw new ConduitError(ErrorCode.INVALID_STATE, `Cannot ${this.#doing}: the file is closed`);
    return this.#writer;
  }

  async #close(): Promise<void> {
    const file = this.#file;
    this.#file = null;
    await this.#writer?.idle();
    this.#writer = null;
    await file?.close();
  }

  /**
   * Creates the file, replacing that of an earlier attempt. The folder may just have been removed together with its
   * last file.
   */
  async #create(path: string): Promise<OpenFile> {
    for (let attempt = 1; ; attempt += 1) {
      await this.#folder.makePartials();
      try {
        return await this.#files.open(path, "create");
      } catch (cause) {
        const code = systemCodeOf(cause);
        if (!/^(ENOENT|EEXIST)$/.test(code) || attempt === MAX_CREATE_ATTEMPTS) throw cause;
        if (code === "EEXIST") await this.#removeEarlier();
      }
    }
  }

  async #removeEarlier(): Promise<void> {
    this.#hasState = this.#identity.isResumable;
    await removeIfThere(this.#files, this.#paths.part);
  }

  async #removeState(): Promise<void> {
    if (this.#hasState) await removeState(this.#files, this.#paths.state);
  }

  /** Flushes the data before it saves the length. */
  async #save(): Promise<void> {
    const { context } = this.#folder;
    const { part, state } = this.#paths;
    await this.#writes.flush();
    await this.#opened.sync();
    if (this.#whole !== null) context.memory.remember(part, this.#verified, this.#whole.copy());
    const { bytes, modifiedMs } = this.#identity;
    const sha256 = this.#whole?.copy().digest() ?? null;
    this.#hasState = true;
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

  /** Publishes by a hard link, which fails atomically if the name is taken, while a rename would replace the file. Returns the name. */
  async #publish(policy: OverwritePolicy): Promise<string> {
    const { part } = this.#paths;
    const { name } = this.#identity;
    if (policy === "replace") {
      await this.#files.rename(part, this.#folder.pathOf(name));
      return name;
    }
    for (let number = 1; number <= MAX_NUMBER; number = await this.#freeNumber(number)) {
      const candidate = this.#candidate(number);
      try {
        await this.#files.link(part, this.#folder.pathOf(candidate));
        await removeIfThere(this.#files, part);
        return candidate;
      } catch (cause) {
        if (systemCodeOf(cause) !== "EEXIST") throw cause;
        if (policy === "fail") throw existsError(name, cause);
      }
    }
    throw existsError(name);
  }

  /** The next free number. Because numbers are assigned in order, few look-ups are needed even if many are taken. */
  async #freeNumber(lastTaken: number): Promise<number> {
    let taken = lastTaken;
    let free = 2 * taken;
    while (free <= MAX_NUMBER && (await this.#isTaken(free))) {
      taken = free;
      free *= 2;
    }
    free = Math.min(free, MAX_NUMBER + 1);
    while (free - taken > 1) {
      const middle = Math.floor((taken + free) / 2);
      if (await this.#isTaken(middle)) taken = middle;
      else free = middle;
    }
    return free;
  }

  async #isTaken(number: number): Promise<boolean> {
    return (await this.#files.facts(this.#folder.pathOf(this.#candidate(number)))) !== null;
  }

  #candidate(number: number): string {
    const { name } = this.#identity;
    return number === 1 ? name : numbered(name, number);
  }
}

export function existsError(name: string, cause?: unknown): RpcError {
  return new RpcError(
    ErrorCode.FILE_EXISTS,
    `There is a file '${name}' already: the option overwrite decides what happens then`,
    { cause },
  );
}
