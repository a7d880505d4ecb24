/**
 * Unfinished files of a folder, and how they become files in it.
 *
 * `.netconduit/<id>.part` contains the bytes, and `.netconduit/<id>.json` how many of them were verified. Both
 * survive the process. The file appears under its name only once all of it is verified and flushed to disk. The id is
 * derived from the name and the sender, so a sender doesn't have to store anything to continue.
 */

import { ErrorCode, RpcError } from "../../errors.ts";
import type { FileAccess } from "../../util/file-access.ts";
import { utf8 } from "../../util/utf8.ts";
import { PARTIALS } from "./checked-name.ts";
import { systemCodeOf, withFileErrors } from "./file-errors.ts";
import { PartialFile, type PartialFolder, type ReceivedIdentity, type ReceiverContext } from "./partial-file.ts";
import { isSameVersion, type PartialState, readState, removeIfThere } from "./partial-state.ts";

const ID_DIGITS = 32;

export class ReceivingFolder implements PartialFolder {
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

  /** The id of an unfinished file: shared by all attempts if it can be continued, unique to this attempt otherwise. */
  idOf({ name, owner, isResumable }: ReceivedIdentity): string {
    if (!isResumable) return this.context.randomHex().slice(0, ID_DIGITS);
    const hash = this.context.files.sha256();
    hash.update(utf8(JSON.stringify([name, owner])));
    return hash.digest().slice(0, ID_DIGITS);
  }

  /**
   * Finds the part of a file that can be continued; null if there is none. Ends a running attempt first, because its
   * sender must have lost its connection.
   */
  async find(identity: ReceivedIdentity): Promise<PartialState | null> {
    if (!identity.isResumable) return null;
    await this.interrupt(identity);
    return await withFileErrors(`receive '${identity.name}'`, () => this.#stateOf(this.idOf(identity)));
  }

  /** Ends a running attempt. */
  async interrupt(identity: ReceivedIdentity): Promise<void> {
    const { active } = this.context;
    const part = this.#partPath(this.idOf(identity));
    for (let other = active.get(part); other !== undefined; other = active.get(part)) await other.interrupt();
  }

  /**
   * Opens an unfinished file to continue it at `offset`, or creates a new one.
   * @param mayBegin called when no other attempt uses the file, before it is touched; may reject
   * @throws RpcError WRONG_OFFSET if `offset` isn't the number of verified bytes of this version of the file
   */
  async open(
    identity: ReceivedIdentity,
    offset: number,
    mayBegin: () => Promise<void> = async () => undefined,
  ): Promise<PartialFile> {
    const { context } = this;
    const id = this.idOf(identity);
    const part = this.#partPath(id);
    // No `await` between the last check and `set`, so that two attempts can't use the same file.
    for (let other = context.active.get(part); other !== undefined; other = context.active.get(part)) {
      await other.interrupt();
    }
    const partial = new PartialFile(this, identity, { part, state: this.#statePath(id), offset });
    context.active.set(part, partial);
    try {
      await mayBegin();
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
   * Removes files that weren't continued for `ageMs`.
   * @returns milliseconds until the next one expires; null if there are none
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
   * Removes the folder for unfinished files when it is empty. Leaves a link in its place alone. Ignores failures,
   * because an empty folder is no reason to fail a completed file.
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
   * Creates the folder for unfinished files. Another process may remove it again together with its last file.
   * @throws the system's error; RpcError PERMISSION_DENIED if the folder is a link
   */
  async makePartials(): Promise<void> {
    const { files } = this.context;
    const facts = await files.facts(this.partials);
    if (facts?.kind === "folder") return;
    if (facts === null) return await files.makeFolder(this.partials);
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

/** Maps a state's path to that of its unfinished file; returns other paths unchanged. */
export function partOf(path: string): string {
  return path.replace(/\.json$/, ".part");
}

/** The id in the name of an unfinished file (`<id>.part`) or of its state. */
function idIn(name: string): string {
  return name.slice(0, ID_DIGITS);
}

/** @throws RpcError WRONG_OFFSET */
function mustContinueAt(offset: number, identity: ReceivedIdentity, state: PartialState | null): void {
  const verified = state !== null && isSameVersion(state, identity) ? state.verified : 0;
  if (verified === offset) return;
  const message = `'${identity.name}' can be continued at byte ${verified}, not at ${offset}`;
  throw new RpcError(ErrorCode.WRONG_OFFSET, message, { details: { offset: verified } });
}

async function namesIfThere(files: FileAccess, folder: string): Promise<string[]> {
  try {
    return await files.names(folder);
  } catch (cause) {
    if (systemCodeOf(cause) !== "ENOENT") throw cause;
    return [];
  }
}
