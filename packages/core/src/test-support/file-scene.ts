/** Folders on the disk, and file transfers that share a clock which tests move. */

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

/** An error of the system. */
export function systemError(code: string): Error {
  return Object.assign(new Error(code), { code });
}

export function sha256Of(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/** The path of an empty folder that goes with the test. */
export async function temporaryFolder(): Promise<string> {
  const dir = await fs.mkdtemp(path.join(tmpdir(), "nc-files-"));
  onTestFinished(() => fs.rm(dir, { recursive: true, force: true }));
  return dir;
}

/** Transfers on the disk, some of whose operations are replaced. */
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

/** `open` with another behaviour of the files that it opens. */
export function opening(change: (file: OpenFile, path: string) => Partial<OpenFile>): Pick<FileAccess, "open"> {
  return {
    async open(path, mode) {
      const file = await diskFiles.open(path, mode);
      return Object.assign(file, change(file, path));
    },
  };
}

/** The paths that a runtime looks up from now on. Nothing is there. */
export function lookedUp(runtime: { readonly files: FileAccess | undefined }): string[] {
  const paths: string[] = [];
  const facts: FileAccess["facts"] = async (path) => {
    paths.push(path);
    return null;
  };
  Object.assign(runtime, { files: { ...diskFiles, facts } });
  return paths;
}
