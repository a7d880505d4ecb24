/** Folders on disk, and file transfers that share a clock controlled by tests. */

import { createHash } from "node:crypto";
import * as fs from "node:fs/promises";
import { tmpdir } from "node:os";
import * as path from "node:path";
import { onTestFinished } from "vitest";
import { FileTransfers } from "../extensions/files/file-transfers.ts";
import { nodeFiles } from "../sockets/node-files.ts";
import { ManualTimers } from "../testing/manual-timers.ts";
import type { FileAccess, OpenFile } from "../util/file-access.ts";
import { TimerWheel } from "../util/timer-wheel.ts";

export const diskFiles: FileAccess = nodeFiles(fs, path, createHash);

/** Creates a system error. */
export function systemError(code: string): Error {
  return Object.assign(new Error(code), { code });
}

export function sha256Of(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/** Creates an empty folder and returns its path. Removed after the test. */
export async function temporaryFolder(): Promise<string> {
  const dir = await fs.mkdtemp(path.join(tmpdir(), "nc-files-"));
  onTestFinished(() => fs.rm(dir, { recursive: true, force: true }));
  return dir;
}

/** Creates transfers on disk, with some operations replaced. */
export function transfersWith(
  changes: Partial<FileAccess> = {},
  clock: { readonly ms: number } = { ms: 0 },
  timers: ManualTimers = new ManualTimers(),
): FileTransfers {
  let random = 0;
  const runtime = {
    now: () => clock.ms,
    wallClock: () => Date.now() + clock.ms,
    crypto: {
      randomBytes(count: number) {
        random += 1;
        return new Uint8Array(count).fill(random);
      },
    },
  };
  const wheel = new TimerWheel({ now: runtime.now, setTimer: timers.set, clearTimer: timers.clear });
  return new FileTransfers({ runtime, wheel } as never, { ...diskFiles, ...changes });
}

/** Returns an `open` that changes the behaviour of opened files. */
export function opening(change: (file: OpenFile, path: string) => Partial<OpenFile>): Pick<FileAccess, "open"> {
  return {
    async open(path, mode) {
      const file = await diskFiles.open(path, mode);
      return Object.assign(file, change(file, path));
    },
  };
}

/** Makes all paths nonexistent. Returns a list that records the paths that a runtime looks up. */
export function lookedUp(runtime: { readonly files: FileAccess | undefined }): string[] {
  const paths: string[] = [];
  const facts: FileAccess["facts"] = async (path) => {
    paths.push(path);
    return null;
  };
  Object.assign(runtime, { files: { ...diskFiles, facts } });
  return paths;
}
