import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { TransferredFile } from "@netconduit/core";
import { describe, expect, test } from "vitest";
import { until } from "../../conformance/support/turns.ts";
import { CONTENT, chunk, folderOf, sha256Of } from "../files.ts";
import type { Staged } from "../scene.ts";
import type { ServerScene } from "./scene.ts";

const SMALL = new TextEncoder().encode("0123456789");
const INCOMING = { filename: "a.bin", size: SMALL.length, checksum: sha256Of(SMALL), total_chunks: 1 };

/** Creates a netconduit server and a client of this library, each with a folder. */
async function served(scene: ServerScene) {
  const [there, here] = [await folderOf(scene), await folderOf(scene)];
  const target = await scene.listen();
  await scene.driver.run("serve_files", { server: target.server, folder: there });
  const ours = scene.client(target);
  const received: TransferredFile[] = [];
  const errors: unknown[] = [];
  ours.files("inbox", { dir: here, upload: true, netconduit: true });
  ours.onFileReceived((_client, file) => received.push(file));
  ours.onError((error) => errors.push(error));
  await ours.connect();
  await scene.idOf(ours);
  const push = (messages: readonly (readonly [type: string, data: unknown])[]): Promise<unknown> =>
    scene.driver.run("push_messages", {
      server: target.server,
      messages: messages.map(([type, data]) => ({ type, data })),
    });
  return { there, here, ours, theirs: ours.files("theirs"), received, errors, push, server: target.server };
}

export function describeFiles(staged: Staged<ServerScene>): void {
  describe("files", () => {
    test(
      "uploads a file, and learns the name that netconduit gave it",
      staged(async (scene) => {
        const { there, here, theirs } = await served(scene);
        const path = join(here, "big.bin");
        await writeFile(path, CONTENT);
        const facts = { bytes: CONTENT.length, sha256: sha256Of(CONTENT), resumedFrom: 0 };
        expect(await theirs.upload(path)).toEqual({ name: "big.bin", ...facts });
        const second = await theirs.upload(path);
        expect(second).toMatchObject(facts);
        expect(second.name).toMatch(/^big_\d+\.bin$/);
        expect(new Uint8Array(await readFile(join(there, second.name)))).toEqual(CONTENT);
      }),
    );

    test(
      "downloads a file, to a path and into memory",
      staged(async (scene) => {
        const { there, here, theirs } = await served(scene);
        await writeFile(join(there, "big.bin"), CONTENT);
        const fetched = await theirs.download("big.bin", here, { resume: true });
        expect(fetched).toEqual({ name: "big.bin", bytes: CONTENT.length, sha256: sha256Of(CONTENT), resumedFrom: 0 });
        expect(new Uint8Array(await readFile(join(here, "big.bin")))).toEqual(CONTENT);
        expect(await theirs.bytes("big.bin")).toEqual(CONTENT);
      }),
    );

    test(
      "a file that isn't there is NOT_FOUND, though netconduit calls it a success, and nothing is written",
      staged(async (scene) => {
        const { here, theirs } = await served(scene);
        await expect(theirs.download("none.bin", here)).rejects.toMatchObject({ codeName: "NOT_FOUND" });
        await expect(theirs.stat("none.bin")).rejects.toMatchObject({ codeName: "NOT_FOUND" });
        expect(await readdir(here)).toEqual([]);
      }),
    );

    test(
      "lists files whose names are safe here, without a time",
      staged(async (scene) => {
        const { there, theirs } = await served(scene);
        for (const name of ["a.txt", "b:c", "NUL", "end."]) await writeFile(join(there, name), "abc");
        const entry = { name: "a.txt", bytes: 3, modifiedMs: null };
        expect(await theirs.list()).toEqual([entry]);
        expect(await theirs.stat("a.txt")).toEqual(entry);
        await expect(theirs.bytes("../a.txt")).rejects.toMatchObject({ codeName: "INVALID_FILE_NAME" });
      }),
    );

    test(
      "operations that netconduit hasn't are PEER_UNSUPPORTED",
      staged(async (scene) => {
        const { theirs } = await served(scene);
        async function* items() {
          yield SMALL;
        }
        const unsupported = { codeName: "PEER_UNSUPPORTED" };
        await expect(theirs.remove("a.txt")).rejects.toMatchObject(unsupported);
        await expect(theirs.upload(items(), { name: "a" })).rejects.toMatchObject(unsupported);
        const bare = await scene.logIn(await scene.listen());
        await expect(bare.files("theirs").list()).rejects.toMatchObject(unsupported);
      }),
    );

    test(
      "receives a file that netconduit's server pushes",
      staged(async (scene) => {
        const { there, here, received, server } = await served(scene);
        await mkdir(join(there, "sub"));
        await writeFile(join(there, "sub", "big.bin"), CONTENT);
        await scene.driver.run("push_file", { server, path: join(there, "sub", "big.bin") });
        await until(() => received.length === 1);
        expect(received).toMatchObject([{ folder: "inbox", name: "big.bin", sha256: sha256Of(CONTENT) }]);
        expect(new Uint8Array(await readFile(join(here, "big.bin")))).toEqual(CONTENT);
        expect(await readdir(here)).toEqual(["big.bin"]);
      }),
    );

    test.each<[string, Record<string, unknown>, [index: number, bytes: Uint8Array][], string]>([
      ["with a name out of the folder", { filename: "../a.bin" }, [[0, SMALL]], "INVALID_FILE_NAME"],
      ["with an absolute name", { filename: "/tmp/a.bin" }, [[0, SMALL]], "INVALID_FILE_NAME"],
      ["with a chunk out of order", {}, [[1, SMALL]], "WRONG_OFFSET"],
      [
        "with a chunk twice",
        { size: 65_546 },
        [
          [0, CONTENT.subarray(0, 65_536)],
          [0, SMALL],
        ],
        "WRONG_OFFSET",
      ],
      ["of another size", {}, [[0, SMALL.subarray(1)]], "INVALID_PARAMS"],
      ["with another hash", { checksum: "0".repeat(64) }, [[0, SMALL]], "CHECKSUM_MISMATCH"],
    ])(
      "a pushed file %s is refused once, nothing is left of it, and the connection lives",
      (_, change, chunks, codeName) =>
        staged(async (scene) => {
          const { here, ours, errors, push } = await served(scene);
          await push([
            ["file_incoming", { transfer_id: "t", ...INCOMING, ...change }],
            ...chunks.map(([index, bytes]) => ["file_chunk", chunk("t", index, bytes)] as const),
            ["file_complete", { transfer_id: "t" }],
          ]);
          await until(() => errors.length >= 1);
          await push([["file_complete", { transfer_id: "gone" }]]);
          await until(() => errors.length >= 2);
          expect(errors).toMatchObject([{ codeName }, { codeName: "NOT_FOUND" }]);
          expect(await readdir(here)).toEqual([]);
          expect(await ours.call("add", { a: 1, b: 2 })).toBe(3);
        })(),
    );
  });
}
