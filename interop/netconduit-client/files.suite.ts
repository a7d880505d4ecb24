import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { FolderOptions, TransferredFile } from "@netconduit/core";
import { describe, expect, test } from "vitest";
import { turn } from "../../conformance/support/turns.ts";
import { CONTENT, chunk, folderOf, sha256Of } from "../files.ts";
import type { Staged } from "../scene.ts";
import type { ClientScene } from "./scene.ts";

const SMALL = new TextEncoder().encode("0123456789");
const START = { filename: "a.bin", size: SMALL.length, checksum: sha256Of(SMALL) };

/** Creates a server with a folder for netconduit clients, and such a client. */
async function served(scene: ClientScene, options: Partial<FolderOptions> = {}) {
  const [there, here] = [await folderOf(scene), await folderOf(scene)];
  const server = await scene.listen({ rpcTimeoutMs: 1000 });
  const received: TransferredFile[] = [];
  server.files("box", { dir: there, upload: true, download: true, netconduit: true, ...options });
  server.onFileReceived((_connection, file) => received.push(file));
  const { client, connection } = await scene.logIn(server);
  const start = async (params: Record<string, unknown> = {}): Promise<string> => {
    const { transfer_id } = await scene.callData<{ transfer_id: string }>(client, "file_upload_start", {
      ...START,
      ...params,
    });
    return transfer_id;
  };
  return { there, here, server, received, client, connection, start };
}

export function describeFiles(staged: Staged<ClientScene>): void {
  describe("files", () => {
    test(
      "netconduit's client uploads to a folder, and the hook is notified",
      staged(async (scene) => {
        const { there, here, received, client } = await served(scene);
        await writeFile(join(here, "big.bin"), CONTENT);
        const sent = await scene.driver.run("upload_file", { client, path: join(here, "big.bin") });
        expect(sent).toMatchObject({ success: true, filename: "big.bin", size: CONTENT.length, path: "big.bin" });
        expect(new Uint8Array(await readFile(join(there, "big.bin")))).toEqual(CONTENT);
        expect(await readdir(there)).toEqual(["big.bin"]);
        expect(received).toMatchObject([{ folder: "box", name: "big.bin", sha256: sha256Of(CONTENT) }]);
      }),
    );

    test(
      "an empty file has no chunks",
      staged(async (scene) => {
        const { there, here, client } = await served(scene);
        await writeFile(join(here, "empty"), "");
        expect(await scene.driver.run("upload_file", { client, path: join(here, "empty") })).toMatchObject({ size: 0 });
        expect(await readdir(there)).toEqual(["empty"]);
        const fetched = await scene.driver.run("download_file", { client, name: "empty", folder: join(here, "to") });
        expect(fetched).toMatchObject({ success: true, size: 0 });
      }),
    );

    test(
      "an upload under a name that is taken follows the folder's policy",
      staged(async (scene) => {
        const { there, here, client } = await served(scene, { overwrite: "rename" });
        for (const folder of [there, here]) await writeFile(join(folder, "a.txt"), "old");
        const sent = await scene.driver.run("upload_file", { client, path: join(here, "a.txt") });
        expect(sent).toMatchObject({ success: true, filename: "a (2).txt" });
        expect((await readdir(there)).sort()).toEqual(["a (2).txt", "a.txt"]);
      }),
    );

    test.each([["../out.bin"], ["/tmp/out.bin"], ["a/b"], ["C:a"], ["NUL"], [".."], ["a\0"], [""]])(
      "an upload and a download by the name %j are refused",
      (filename) =>
        staged(async (scene) => {
          const { there, client } = await served(scene);
          const refused = { success: false, error: expect.stringContaining("file name") };
          expect(await scene.call(client, "file_upload_start", { ...START, filename })).toMatchObject(refused);
          expect(await scene.call(client, "file_download_start", { filename })).toMatchObject(refused);
          expect(await readdir(there)).toEqual([]);
          expect(await scene.callData(client, "file_list", {})).toEqual({ files: [] });
        })(),
    );

    test.each<[string, Record<string, unknown>, (id: string) => Record<string, unknown>, RegExp]>([
      ["that isn't the first", {}, (id) => chunk(id, 1, SMALL), /chunk_index must be 0/],
      ["that is too long", {}, (id) => chunk(id, 0, CONTENT.subarray(0, 11)), /must be 10 bytes/],
      ["that is too short", {}, (id) => chunk(id, 0, SMALL.subarray(1)), /must be 10 bytes/],
      ["beyond the size", { size: 0 }, (id) => chunk(id, 0, SMALL), /must be 0 bytes/],
      ["that isn't base64", {}, (id) => ({ ...chunk(id, 0, SMALL), data_b64: "?" }), /must be 10 bytes in base64/],
    ])("a chunk %s ends the upload, and nothing is left", (_, params, made, message) =>
      staged(async (scene) => {
        const { there, client, start } = await served(scene);
        const id = await start(params);
        const refused = { success: false, error: expect.stringMatching(message) };
        expect(await scene.call(client, "file_upload_chunk", made(id))).toMatchObject(refused);
        expect(await readdir(there)).toEqual([]);
        expect(await scene.call(client, "file_upload_complete", { transfer_id: id })).toMatchObject(refused);
      })(),
    );

    test(
      "a file without all its chunks, or with another hash, doesn't appear",
      staged(async (scene) => {
        const { there, client, start, received } = await served(scene);
        const short = await start();
        const tooShort = await scene.call(client, "file_upload_complete", { transfer_id: short });
        expect(tooShort).toMatchObject({ success: false });
        const other = await start({ checksum: "0".repeat(64) });
        await scene.callData(client, "file_upload_chunk", chunk(other, 0, SMALL));
        const differs = await scene.call(client, "file_upload_complete", { transfer_id: other });
        expect(differs).toMatchObject({ success: false, error: expect.stringContaining("SHA-256") });
        expect([await readdir(there), received]).toEqual([[], []]);
        const again = await scene.call(client, "file_upload_complete", { transfer_id: other });
        expect(again).toMatchObject({ success: false, error: "Transfer not found" });
      }),
    );

    test(
      "sizes and quotas hold before anything is sent",
      staged(async (scene) => {
        const { there, client } = await served(scene, { maxFileBytes: 10_000, quotaBytes: 5000 });
        const start = (size: unknown): Promise<unknown> => scene.call(client, "file_upload_start", { ...START, size });
        for (const size of [10_001, 5001, -1, 0.5, "10"]) expect(await start(size)).toMatchObject({ success: false });
        expect(await readdir(there)).toEqual([]);
      }),
    );

    test(
      "a connection that ends leaves nothing of the files that were on their way",
      staged(async (scene) => {
        const { there, client, start, server } = await served(scene);
        await writeFile(join(there, "big.bin"), CONTENT);
        const id = await start();
        expect((await readdir(there)).length).toBe(2);
        await scene.callData(client, "file_download_start", { filename: "big.bin" });
        await scene.driver.run("disconnect", { client });
        while ((await readdir(there)).length > 1) await turn();
        const next = await scene.logIn(server);
        const chunked = await scene.call(next.client, "file_upload_chunk", chunk(id, 0, SMALL));
        expect(chunked).toMatchObject({ success: false, error: "Transfer not found" });
      }),
    );

    test(
      "netconduit's client downloads, and lists what there is",
      staged(async (scene) => {
        const { there, here, client } = await served(scene);
        await writeFile(join(there, "big.bin"), CONTENT);
        expect(await scene.callData(client, "file_list", {})).toEqual({
          files: [{ name: "big.bin", size: CONTENT.length }],
        });
        const fetched = await scene.driver.run("download_file", { client, name: "big.bin", folder: here });
        expect(fetched).toMatchObject({ success: true, size: CONTENT.length });
        expect(new Uint8Array(await readFile(join(here, "big.bin")))).toEqual(CONTENT);
      }),
    );

    test(
      "a file that isn't there is an error, and netconduit's client writes no empty one",
      staged(async (scene) => {
        const { here, client } = await served(scene);
        const fetched = await scene.driver.run("download_file", { client, name: "none.bin", folder: here });
        expect(fetched).toMatchObject({ success: false });
        expect(await readdir(here)).toEqual([]);
      }),
    );

    test(
      "chunks are sent in order, each once",
      staged(async (scene) => {
        const { there, client } = await served(scene);
        await writeFile(join(there, "big.bin"), CONTENT);
        const started = await scene.callData<{ transfer_id: string }>(client, "file_download_start", {
          filename: "big.bin",
        });
        const refused = await scene.call(client, "file_download_chunk", { ...started, chunk_index: 1 });
        expect(refused).toMatchObject({ success: false, error: expect.stringContaining("chunk_index must be 0") });
      }),
    );

    test(
      "without a folder for netconduit there are no such calls",
      staged(async (scene) => {
        const { client } = await served(scene, { netconduit: false });
        const refused = await scene.call(client, "file_list", {});
        expect(refused).toMatchObject({ success: false, error: "RPC method not found: file_list" });
      }),
    );

    test(
      "netconduit's client receives a file that the server pushes",
      staged(async (scene) => {
        const { there, here, client, connection } = await served(scene);
        await scene.driver.run("receive_files", { client, folder: here });
        await writeFile(join(there, "big.bin"), CONTENT);
        const sent = await connection.files("theirs").upload(join(there, "big.bin"), { name: "pushed.bin" });
        expect(sent).toEqual({ name: "pushed.bin", bytes: CONTENT.length, sha256: sha256Of(CONTENT), resumedFrom: 0 });
        await scene.driver.next({ event: "file_received", client });
        expect(new Uint8Array(await readFile(join(here, "pushed.bin")))).toEqual(CONTENT);
      }),
    );

    test(
      "pushing to a netconduit client that takes no files is TIMEOUT, and fetching from it PEER_UNSUPPORTED",
      staged(async (scene) => {
        const { connection } = await served(scene);
        const theirs = connection.files("theirs");
        await expect(theirs.upload(SMALL, { name: "a" })).rejects.toMatchObject({ codeName: "TIMEOUT" });
        await expect(theirs.bytes("a")).rejects.toMatchObject({ codeName: "PEER_UNSUPPORTED" });
        await expect(theirs.list()).rejects.toMatchObject({ codeName: "PEER_UNSUPPORTED" });
      }),
    );
  });
}
