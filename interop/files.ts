/** File helpers for interop tests. */

import { createHash } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Cleanups } from "../conformance/support/cleanups.ts";

/** Creates an empty folder that is removed with the scene. */
export async function folderOf(scene: Cleanups): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "nc-interop-"));
  scene.defer(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

/** Three chunks of the Python package, the last one short. */
export const CONTENT: Uint8Array = Uint8Array.from(
  { length: 150_001 },
  (_, index) => (index * 31 + (index >> 8)) & 0xff,
);

export function sha256Of(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/** Parameters of a chunk. */
export function chunk(transfer_id: unknown, chunk_index: number, bytes: Uint8Array): Record<string, unknown> {
  return { transfer_id, chunk_index, data_b64: Buffer.from(bytes).toString("base64") };
}
