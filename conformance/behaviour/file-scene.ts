/** Folders, contents and watched files for the file suites. */

import { createHash } from "node:crypto";
import { mkdtemp, readdir, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { FolderOptions } from "@netconduit/core";
import type { FileAccess, Runtime } from "@netconduit/core/adapter";
import { turn } from "../support/turns.ts";
import type { Stage } from "./stage.ts";

export const MIB: number = 1024 * 1024;

/** Returns bytes that depend on their position. */
export function someBytes(count: number, seed = 1): Uint8Array {
  const bytes = new Uint8Array(count);
  let state = seed;
  for (let i = 0; i < count; i += 1) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    bytes[i] = state >>> 24;
  }
  return bytes;
}

export function sha256Of(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/** Creates two empty folders. Removed with the stage. */
export async function folders(stage: Stage): Promise<{ readonly here: string; readonly there: string }> {
  const [here, there] = [await mkdtemp(join(tmpdir(), "nc-here-")), await mkdtemp(join(tmpdir(), "nc-there-"))];
  stage.defer(async () => {
    for (const folder of [here, there]) await rm(folder, { recursive: true, force: true });
  });
  return { here, there };
}

/** Starts a server that serves the folder `there` as `box`, and a client with its own folder. */
export async function fileScene(
  stage: Stage,
  options: Partial<FolderOptions> = {},
  runtimes: { server?: Runtime; client?: Runtime } = {},
) {
  const dirs = await folders(stage);
  const server = await stage.listen({}, runtimes.server);
  server.files("box", { dir: dirs.there, upload: true, download: true, remove: true, ...options });
  const client = await stage.join(server, {}, runtimes.client);
  return { ...dirs, server, client, box: client.files("box") };
}

/** Returns a runtime with replaced file operations. */
export function withFiles(runtime: Runtime, change: (files: FileAccess) => Partial<FileAccess>): Runtime {
  const { files } = runtime;
  if (files === undefined) throw new Error("The runtime has no files");
  return { ...runtime, files: { ...files, ...change(files) } };
}

export interface ReadCounter {
  readonly runtime: Runtime;
  read: number;
  /** Number of open files and of reads in progress. */
  busy: number;
}

/** Counts the bytes read from files, excluding the state of unfinished files. */
export function countingReads(runtime: Runtime): ReadCounter {
  const counter: ReadCounter = {
    read: 0,
    busy: 0,
    runtime: withFiles(runtime, (files) => ({
      async open(path, mode) {
        const file = await files.open(path, mode);
        if (/\.json(\.new)?$/.test(path)) return file;
        const [read, close] = [file.read.bind(file), file.close.bind(file)];
        counter.busy += 1;
        file.read = async (target, position) => {
          counter.busy += 1;
          try {
            const count = await read(target, position);
            counter.read += count;
            return count;
          } finally {
            counter.busy -= 1;
          }
        };
        file.close = async () => {
          await close();
          counter.busy -= 1;
        };
        return file;
      },
    })),
  };
  return counter;
}

export function systemError(code: string): Error {
  return Object.assign(new Error(code), { code });
}

/** Resolves when a folder has exactly these entries, sorted. */
export async function untilNames(folder: string, names: readonly string[]): Promise<void> {
  while ((await readdir(folder)).sort().join("/") !== names.join("/")) await turn();
}

/** Resolves when a folder has this many bytes of an unfinished file. */
export async function untilArrived(folder: string, bytes: number): Promise<void> {
  const partials = join(folder, ".netconduit");
  for (let size = 0; size < bytes; await turn()) {
    // The folder doesn't exist before the other side starts.
    const part = (await readdir(partials).catch(() => [])).find((name) => name.endsWith(".part"));
    size = part === undefined ? 0 : (await stat(join(partials, part))).size;
  }
}

/** Resolves when the state of a folder's unfinished file is stored. */
export async function untilKept(folder: string): Promise<void> {
  const partials = join(folder, ".netconduit");
  while (!(await readdir(partials)).some((name) => name.endsWith(".json"))) await turn();
}

/** Cancels a transfer when `at` bytes have been read and most of these are in the other side's folder. */
export class Cut {
  readonly #controller = new AbortController();
  readonly signal = this.#controller.signal;
  readonly runtime: Runtime;
  /** The receiving side's folder. */
  folder = "";

  constructor(runtime: Runtime, at: number) {
    this.runtime = beforeRead(runtime, at, async () => {
      await untilArrived(this.folder, at - MIB);
      this.#controller.abort();
    });
  }
}

/** Returns a runtime that calls `task` once, before the first read at or after `at`. */
export function beforeRead(runtime: Runtime, at: number, task: () => Promise<void>): Runtime {
  let isDone = false;
  return withFiles(runtime, (files) => ({
    async open(path, mode) {
      const file = await files.open(path, mode);
      const read = file.read.bind(file);
      file.read = async (target, position) => {
        if (position >= at && !isDone) {
          isDone = true;
          await task();
        }
        return await read(target, position);
      };
      return file;
    },
  }));
}
