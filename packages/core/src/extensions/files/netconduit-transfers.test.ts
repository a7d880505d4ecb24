import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { AccessControl } from "../../rpc/access.ts";
import { sha256Of, temporaryFolder, transfersWith } from "../../test-support/file-scene.ts";
import { type FolderOptions, parseFolderOptions } from "./folder-options.ts";
import { NetconduitTransfers } from "./netconduit-transfers.ts";
import { ServedFolder } from "./served-folder.ts";

const CONTENT = new TextEncoder().encode("0123456789");
const START = { filename: "a.bin", size: CONTENT.length, checksum: sha256Of(CONTENT) };

/** Returns a folder and a netconduit peer that uses it. */
async function scene(options: Partial<FolderOptions> = {}) {
  const dir = await temporaryFolder();
  const transfers = transfersWith();
  const config = parseFolderOptions("box", { dir, upload: true, download: true, netconduit: true, ...options });
  const ignore = (): void => undefined;
  const folder = new ServedFolder<object>("box", config, {
    access: new AccessControl<object>(),
    transfers,
    received: ignore,
    sent: ignore,
    failed: ignore,
  });
  const listeners = new Set<(change: { to: string }) => void>();
  const sent: unknown[] = [];
  const peer = {
    state: "active",
    onStateChange(listener: (change: { to: string }) => void) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    send: (type: string, data: unknown) => sent.push([type, data]),
  };
  const netconduit = new NetconduitTransfers<object>({
    folder: () => folder,
    now: () => transfers.now(),
    randomHex: () => transfers.randomHex(),
  });
  onTestFinished(() => {
    for (const listener of [...listeners]) listener({ to: "closed" });
  });
  const handlers = new Map([...netconduit.calls, ...netconduit.messages]);
  const ask = async (name: string, params: unknown): Promise<Record<string, unknown>> => {
    return (await handlers.get(name)?.(params, peer)) as Record<string, unknown>;
  };
  return { dir, peer, ask, sent, listeners };
}

const chunk = (transfer_id: unknown, chunk_index: number, bytes: Uint8Array): unknown => ({
  transfer_id,
  chunk_index,
  data_b64: Buffer.from(bytes).toString("base64"),
});

test("more transfers than a peer may have end the oldest, and nothing is left of it", async () => {
  const { ask, dir } = await scene({ overwrite: "rename" });
  const ids: unknown[] = [];
  for (let n = 0; n < 65; n += 1) ids.push((await ask("file_upload_start", START))["transfer_id"]);
  await expect(ask("file_upload_complete", { transfer_id: ids[0] })).rejects.toMatchObject({ codeName: "NOT_FOUND" });
  await ask("file_upload_chunk", chunk(ids[1], 0, CONTENT));
  expect(await ask("file_upload_complete", { transfer_id: ids[1] })).toMatchObject({ filename: "a.bin" });
  expect((await readdir(join(dir, ".netconduit"))).length).toBe(63);
});

test("a peer whose connection ends is forgotten, with all that it had begun", async () => {
  const { ask, peer, listeners } = await scene();
  const { transfer_id } = await ask("file_upload_start", START);
  expect(listeners.size).toBe(1);
  for (const listener of listeners) for (const to of ["draining", "closing", "closed"]) listener({ to });
  expect(listeners.size).toBe(0);
  const gone = { codeName: "NOT_FOUND", message: "Transfer not found" };
  await expect(ask("file_upload_chunk", chunk(transfer_id, 0, CONTENT))).rejects.toMatchObject(gone);
  peer.state = "closed";
  const closed = { codeName: "CONNECTION_CLOSED" };
  await expect(ask("file_upload_start", START)).rejects.toMatchObject(closed);
  await expect(ask("file_download_start", START)).rejects.toMatchObject(closed);
});

test("a peer that has nothing under way isn't watched", async () => {
  const { ask, dir, listeners } = await scene();
  await writeFile(join(dir, "b.bin"), CONTENT);
  const { transfer_id } = await ask("file_download_start", { filename: "b.bin" });
  expect(listeners.size).toBe(1);
  expect(await ask("file_download_chunk", { transfer_id, chunk_index: 0 })).toMatchObject({ size: CONTENT.length });
  expect(listeners.size).toBe(0);
});

test("chunks that are pushed at once are written in order, and the acknowledgement goes before", async () => {
  const { ask, dir, sent } = await scene();
  const content = new Uint8Array(200_000).map((_, index) => index >> 10);
  const parts = [0, 1, 2, 3].map((n) => content.subarray(n * 65_536, (n + 1) * 65_536));
  const start = { ...START, transfer_id: "t", size: content.length, checksum: sha256Of(content) };
  const steps = [ask("file_incoming", start), ...parts.map((part, n) => ask("file_chunk", chunk("t", n, part)))];
  await Promise.all([...steps, ask("file_complete", { transfer_id: "t" })]);
  expect(new Uint8Array(await readFile(join(dir, "a.bin")))).toEqual(content);
  expect(sent).toEqual([["file_incoming_ack", { transfer_id: "t", ready: true }]]);
});

test.each<[string, unknown]>([
  ["no id", {}],
  ["an empty id", { transfer_id: "" }],
  ["a long id", { transfer_id: "x".repeat(129) }],
  ["no parameters", null],
])("a message or call with %s is INVALID_PARAMS", async (_, params) => {
  const { ask } = await scene();
  for (const name of ["file_chunk", "file_complete", "file_upload_chunk", "file_download_chunk"]) {
    await expect(ask(name, params)).rejects.toMatchObject({ codeName: "INVALID_PARAMS" });
  }
  const incoming = ask("file_incoming", { ...START, ...(params ?? {}) });
  await expect(incoming).rejects.toMatchObject({ codeName: "INVALID_PARAMS" });
});

test("an id in use, a size that is none and a hash that is none are INVALID_PARAMS", async () => {
  const { ask } = await scene();
  await ask("file_incoming", { ...START, transfer_id: "t" });
  const invalid = { codeName: "INVALID_PARAMS" };
  await expect(ask("file_incoming", { ...START, transfer_id: "t" })).rejects.toMatchObject(invalid);
  await expect(ask("file_upload_start", { ...START, size: -1 })).rejects.toMatchObject(invalid);
  await expect(ask("file_upload_start", { ...START, checksum: "x" })).rejects.toMatchObject(invalid);
});

test("a file that changes while a netconduit peer fetches it is FILE_CHANGED", async () => {
  const { ask, dir } = await scene();
  await writeFile(join(dir, "b.bin"), CONTENT);
  const { transfer_id } = await ask("file_download_start", { filename: "b.bin" });
  await writeFile(join(dir, "b.bin"), CONTENT.subarray(1));
  const changed = { codeName: "FILE_CHANGED" };
  await expect(ask("file_download_chunk", { transfer_id, chunk_index: 0 })).rejects.toMatchObject(changed);
});
