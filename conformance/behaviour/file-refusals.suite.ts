/** Rejected files: limits, existing names, permissions, checksums. */

import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import type { Subject } from "../support/subject.ts";
import { beforeRead, fileScene, MIB, sha256Of, someBytes, systemError, untilNames, withFiles } from "./file-scene.ts";
import { PATIENT, stagedOn } from "./stage.ts";

export function describeFileRefusals(subject: Subject): void {
  const staged = stagedOn(subject);

  describe(`files on ${subject.name}`, () => {
    describe("limits", () => {
      test(
        "a file over maxFileBytes is refused, announced or not, and the connection lives",
        PATIENT,
        staged(async (stage) => {
          const { there, box } = await fileScene(stage, { maxFileBytes: MIB });
          const content = someBytes(MIB + 1);
          const refusal = { codeName: "FILE_TOO_LARGE", details: { limit: MIB } };
          await expect(box.upload(content, { name: "a" })).rejects.toMatchObject(refusal);
          const stream = new Response(content as never).body as never;
          await expect(box.upload(stream, { name: "b" })).rejects.toMatchObject(refusal);
          await untilNames(there, []);
          await box.upload(content.subarray(1), { name: "c" });
          expect(await readdir(there)).toEqual(["c"]);
        }),
      );

      test(
        "a quota counts all files of the folder",
        staged(async (stage) => {
          const { there, box } = await fileScene(stage, { quotaBytes: 10_000 });
          await box.upload(someBytes(5900), { name: "a" });
          await expect(box.upload(someBytes(4101), { name: "b" })).rejects.toMatchObject({
            codeName: "QUOTA_EXCEEDED",
            details: { quota: 10_000, used: 5900 },
          });
          const stream = new Response(someBytes(4101) as never).body as never;
          await expect(box.upload(stream, { name: "b" })).rejects.toMatchObject({ codeName: "QUOTA_EXCEEDED" });
          await box.upload(someBytes(4100), { name: "c" });
          await untilNames(there, ["a", "c"]);
        }),
      );

      test(
        "a quota bounds the number of empty files",
        staged(async (stage) => {
          const { there, box } = await fileScene(stage, { quotaBytes: 2 * 4096 });
          for (const name of ["a", "b"]) await box.upload(new Uint8Array(), { name });
          await expect(box.upload(new Uint8Array(), { name: "c" })).rejects.toMatchObject({
            codeName: "QUOTA_EXCEEDED",
            details: { quota: 8192, used: 8192 },
          });
          await untilNames(there, ["a", "b"]);
        }),
      );

      test.each([
        ["ENOSPC", "DISK_FULL"],
        ["EDQUOT", "DISK_FULL"],
        ["EACCES", "PERMISSION_DENIED"],
        ["EIO", "FILE_ERROR"],
      ])(
        "a write that fails with %s is %s, leaves nothing behind, and the connection lives",
        PATIENT,
        (system, codeName) =>
          staged(async (stage) => {
            let isBroken = true;
            const runtime = withFiles(subject.runtime, (files) => ({
              async open(path, mode) {
                const file = await files.open(path, mode);
                const write = file.write.bind(file);
                file.write = async (bytes, position) => {
                  if (isBroken && position > 0) throw systemError(system);
                  await write(bytes, position);
                };
                return file;
              },
            }));
            const { there, box } = await fileScene(stage, {}, { server: runtime });
            await expect(box.upload(someBytes(MIB), { name: "a" })).rejects.toMatchObject({ codeName });
            expect(await readdir(there)).toEqual([]);
            isBroken = false;
            await box.upload(someBytes(MIB), { name: "a" });
            expect(await readdir(there)).toEqual(["a"]);
          })(),
      );
    });

    describe("a name that is taken", () => {
      test(
        "is refused by the policy fail",
        staged(async (stage) => {
          const { there, box } = await fileScene(stage);
          await writeFile(join(there, "a.txt"), "old");
          await expect(box.upload(someBytes(3), { name: "a.txt" })).rejects.toMatchObject({ codeName: "FILE_EXISTS" });
          expect(await readFile(join(there, "a.txt"), "utf8")).toBe("old");
        }),
      );

      test(
        "is given to the new file by the policy replace, when that is complete",
        staged(async (stage) => {
          const { there, box } = await fileScene(stage, { overwrite: "replace" });
          await writeFile(join(there, "a.txt"), "old");
          const sent = await box.upload(someBytes(3), { name: "a.txt" });
          expect(sent.name).toBe("a.txt");
          expect(sha256Of(await readFile(join(there, "a.txt")))).toBe(sent.sha256);
          expect(await readdir(there)).toEqual(["a.txt"]);
        }),
      );

      test(
        "gets a number by the policy rename",
        staged(async (stage) => {
          const { there, box } = await fileScene(stage, { overwrite: "rename" });
          const names: string[] = [];
          for (let i = 0; i < 3; i += 1) names.push((await box.upload(someBytes(3), { name: "a.txt" })).name);
          expect(names).toEqual(["a.txt", "a (2).txt", "a (3).txt"]);
          expect((await readdir(there)).sort()).toEqual(["a (2).txt", "a (3).txt", "a.txt"]);
        }),
      );

      test(
        "stays one file if two uploads race for it",
        PATIENT,
        staged(async (stage) => {
          const { there, box } = await fileScene(stage);
          const uploads = [1, 2].map((seed) => box.upload(someBytes(MIB, seed), { name: "a" }));
          const results = await Promise.allSettled(uploads);
          const failed = results.filter(({ status }) => status === "rejected");
          expect(failed).toMatchObject([{ reason: { codeName: "FILE_EXISTS" } }]);
          expect(await readdir(there)).toEqual(["a"]);
        }),
      );
    });

    describe("permissions", () => {
      test.each([
        ["upload", { upload: false }],
        ["download", { download: false }],
        ["list", { download: false }],
        ["stat", { download: false }],
        ["remove", { remove: false }],
      ])("%s is refused where the folder doesn't offer it", (action, options) =>
        staged(async (stage) => {
          const { here, there, box } = await fileScene(stage, options);
          await writeFile(join(there, "a"), "1");
          const actions: Record<string, () => Promise<unknown>> = {
            upload: () => box.upload(someBytes(1), { name: "b" }),
            download: () => box.download("a", here),
            list: () => box.list(),
            stat: () => box.stat("a"),
            remove: () => box.remove("a"),
          };
          await expect(actions[action]?.()).rejects.toMatchObject({ codeName: "PERMISSION_DENIED" });
          expect([await readdir(here), await readdir(there)]).toEqual([[], ["a"]]);
        })(),
      );

      test(
        "authorize judges each request by its peer, action and name",
        staged(async (stage) => {
          const asked: unknown[] = [];
          const { box } = await fileScene(stage, {
            authorize: (peer, request) => {
              asked.push([(peer as { id?: unknown }).id !== undefined, request]);
              return request.action !== "remove";
            },
          });
          await box.upload(someBytes(1), { name: "a" });
          await box.stat("a");
          await expect(box.remove("a")).rejects.toMatchObject({ codeName: "PERMISSION_DENIED" });
          expect(asked).toEqual(
            ["upload", "stat", "remove"].map((action) => [true, { action, folder: "box", name: "a" }]),
          );
        }),
      );
    });

    describe("what arrives is verified", () => {
      test.each<[string, string, (good: { sha256: string }) => unknown[]]>([
        ["a wrong SHA-256", "CHECKSUM_MISMATCH", () => [someBytes(10), { at: 10, sha256: "0".repeat(64), end: true }]],
        ["no end", "CHECKSUM_MISMATCH", () => [someBytes(10)]],
        ["too few bytes", "CHECKSUM_MISMATCH", () => [{ at: 0, sha256: sha256Of(new Uint8Array(0)), end: true }]],
        ["too many bytes", "CHECKSUM_MISMATCH", () => [someBytes(11)]],
        ["a mark at another place", "CHECKSUM_MISMATCH", ({ sha256 }) => [someBytes(10), { at: 9, sha256, end: true }]],
        ["no bytes but text", "INVALID_PARAMS", () => ["abc"]],
        ["a mark without a hash", "INVALID_PARAMS", () => [{ at: 0 }]],
        [
          "items behind its end",
          "INVALID_PARAMS",
          ({ sha256 }) => [someBytes(10), { at: 10, sha256, end: true }, someBytes(1)],
        ],
        [
          "the hash of another file",
          "CHECKSUM_MISMATCH",
          ({ sha256 }) => [someBytes(10), { at: 10, sha256, file: "0".repeat(64), end: true }],
        ],
      ])("an upload with %s is refused, and leaves nothing behind", (_, codeName, items) =>
        staged(async (stage) => {
          const { there, client } = await fileScene(stage);
          const params = { folder: "box", name: "a", bytes: 10, modified: 1, resume: true, offset: 0 };
          const input = items({ sha256: sha256Of(someBytes(10)) });
          await expect(client.call("files:upload", params, { input })).rejects.toMatchObject({ codeName });
          expect(await readdir(there)).toEqual([]);
        })(),
      );

      test(
        "a file that changes while it is sent is no upload",
        PATIENT,
        staged(async (stage) => {
          let source = "";
          const changing = beforeRead(subject.runtime, 4 * MIB, () => writeFile(source, someBytes(8 * MIB - 1, 2)));
          const { here, there, box } = await fileScene(stage, {}, { client: changing });
          source = join(here, "a");
          await writeFile(source, someBytes(8 * MIB));
          const upload = box.upload(source);
          await expect(upload).rejects.toMatchObject({ codeName: "FILE_CHANGED" });
          await untilNames(there, []);
        }),
      );
    });
  });
}
