/** A small disk in memory that can be filled or made read-only. Needs Linux and root. */
import { execFile } from "node:child_process";
import { closeSync, mkdirSync, openSync, rmSync, writeSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { promisify } from "node:util";

const run = promisify(execFile);
const SIZE = "48m";
const BALLAST = Buffer.alloc(64 * 1024);

export class SmallDisk {
  readonly path: string;

  private constructor(path: string) {
    this.path = path;
  }

  /** @throws Error with the reason if the system doesn't support it */
  static async mount(path: string): Promise<SmallDisk> {
    if (process.platform !== "linux") throw new Error("a small disk needs Linux");
    if (process.getuid?.() !== 0) throw new Error("a small disk needs root");
    mkdirSync(path);
    await run("mount", ["-t", "tmpfs", "-o", `size=${SIZE}`, "tmpfs", path]);
    return new SmallDisk(path);
  }

  fill(): void {
    const file = openSync(join(this.path, "ballast"), "w");
    for (let block = BALLAST; block.length > 0; ) {
      try {
        writeSync(file, block);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "ENOSPC") throw error;
        block = block.subarray(0, block.length >> 1);
      }
    }
    closeSync(file);
  }

  empty(): void {
    rmSync(join(this.path, "ballast"), { force: true });
  }

  /** Requires that no file is open for writing. */
  async remount(how: "ro" | "rw"): Promise<void> {
    await run("mount", ["-o", `remount,${how}`, this.path]);
  }

  async unmount(): Promise<void> {
    await run("umount", ["--lazy", this.path]);
  }
}
