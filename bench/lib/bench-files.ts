/** The files of the file scenario. */
import { createHash } from "node:crypto";
import { createReadStream, existsSync, mkdtempSync, rmSync } from "node:fs";
import { open } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";

const SHARED_MEMORY = "/dev/shm";
const BLOCK_BYTES: number = 1024 * 1024;

/**
 * Creates a folder, in memory if the system supports it, so that the disk isn't measured. The caller removes it; the
 * process also removes it on exit, because leftover files would occupy the machine's memory.
 */
export function newFolder(): string {
  const folder = mkdtempSync(join(existsSync(SHARED_MEMORY) ? SHARED_MEMORY : tmpdir(), "bench-"));
  process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** Creates a file whose blocks differ. Returns its SHA-256. */
export async function makeFile(path: string, bytes: number): Promise<string> {
  const file = await open(path, "w");
  const hash = createHash("sha256");
  // Use one buffer for all blocks, because this process's memory is measured at the same time.
  const memory = Buffer.alloc(BLOCK_BYTES);
  try {
    for (let at = 0; at < bytes; at += BLOCK_BYTES) {
      const block = memory.subarray(0, Math.min(BLOCK_BYTES, bytes - at)).fill(`block at ${at}`);
      hash.update(block);
      await file.write(block);
    }
  } finally {
    await file.close();
  }
  return hash.digest("hex");
}

/** SHA-256 of a file in hex. */
export async function sha256Of(path: string): Promise<string> {
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(path)) hash.update(chunk);
  return hash.digest("hex");
}
