/** Resumed file transfers, and the folder for unfinished files. */

import { mkdir, readdir, readFile, rm, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { FolderOptions } from "@netconduit/core";
import { describe, expect, test } from "vitest";
import type { Subject } from "../support/subject.ts";
import { until } from "../support/turns.ts";
import {
  Cut,
  countingReads,
  fileScene,
  MIB,
  sha256Of,
  someBytes,
  untilKept,
  untilNames,
  withFiles,
} from "./file-scene.ts";
import { PATIENT, type Stage, stagedOn } from "./stage.ts";

export function describeFileResuming(subject: Subject): void {
  const staged = stagedOn(subject);

  /** Cancels an upload of 24 MiB after 13 MiB, and waits until the server has aborted it. */
  async function cutUpload(stage: Stage, options: Partial<FolderOptions> = {}, resume = true) {
    const counter = countingReads(subject.runtime);
    const cut = new Cut(counter.runtime, 13 * MIB);
    const the = await fileScene(stage, options, { client: cut.runtime });
    cut.folder = the.there;
    const content = someBytes(24 * MIB);
    const source = join(the.here, "big.bin");
    await writeFile(source, content);
    const upload = the.box.upload(source, { resume, signal: cut.signal });
    await expect(upload).rejects.toMatchObject({ codeName: "CANCELLED" });
    if (resume) await untilKept(the.there);
    return { counter, the, content, source };
  }

  describe(`files on ${subject.name}`, () => {
    describe("that are continued", () => {
      test(
        "an upload continues where it was cancelled, and reads only what is missing",
        PATIENT,
        staged(async (stage) => {
          const { counter, the, content, source } = await cutUpload(stage);
          expect(await readdir(the.there)).toEqual([".netconduit"]);
          await until(() => counter.busy === 0);
          counter.read = 0;
          const sent = await the.box.upload(source, { resume: true });
          expect(sent.resumedFrom).toBeGreaterThanOrEqual(4 * MIB);
          expect(sent.sha256).toBe(sha256Of(content));
          expect(counter.read).toBe(content.length - sent.resumedFrom);
          expect(sha256Of(await readFile(join(the.there, "big.bin")))).toBe(sent.sha256);
          expect(await readdir(the.there)).toEqual(["big.bin"]);
        }),
      );

      test(
        "a source that changed meanwhile is sent from its start",
        PATIENT,
        staged(async (stage) => {
          const { the, source } = await cutUpload(stage);
          const changed = someBytes(16 * MIB, 7);
          await writeFile(source, changed);
          await utimes(source, 1, 1);
          const sent = await the.box.upload(source, { resume: true });
          expect(sent).toMatchObject({ resumedFrom: 0, sha256: sha256Of(changed) });
          expect(await readdir(the.there)).toEqual(["big.bin"]);
        }),
      );

      test(
        "what a crash left of the state of a file goes with the file",
        PATIENT,
        staged(async (stage) => {
          const { the, source } = await cutUpload(stage);
          // The answer arrives after the server has ended the upload.
          await the.client.call("files:offset", {
            folder: "box",
            name: "big.bin",
            bytes: 1,
            modified: 1,
            resume: true,
          });
          const partials = join(the.there, ".netconduit");
          const state = (await readdir(partials)).find((name) => name.endsWith(".json"));
          await writeFile(join(partials, `${state}.new`), "{");
          await writeFile(source, someBytes(MIB, 7));
          await the.box.upload(source, { resume: true });
          expect(await readdir(the.there)).toEqual(["big.bin"]);
        }),
      );

      test(
        "a write at another offset is refused, and says at which it would be taken",
        staged(async (stage) => {
          const { client } = await fileScene(stage);
          const params = { folder: "box", name: "a", bytes: 10, modified: 1, resume: true, offset: 5 };
          const upload = client.call("files:upload", params, { input: [] });
          await expect(upload).rejects.toMatchObject({ codeName: "WRONG_OFFSET", details: { offset: 0 } });
        }),
      );

      test(
        "an upload that isn't to be continued leaves nothing behind when it is cancelled",
        PATIENT,
        staged(async (stage) => {
          const { the } = await cutUpload(stage, {}, false);
          await untilNames(the.there, []);
        }),
      );

      test(
        "a download continues where it was cancelled, and the server reads only what is missing",
        PATIENT,
        staged(async (stage) => {
          const counter = countingReads(subject.runtime);
          const cut = new Cut(counter.runtime, 13 * MIB);
          const { here, there, box } = await fileScene(stage, {}, { server: cut.runtime });
          const content = someBytes(24 * MIB);
          await writeFile(join(there, "big.bin"), content);
          cut.folder = here;
          const { signal } = cut;
          await expect(box.download("big.bin", here, { resume: true, signal })).rejects.toMatchObject({
            codeName: "CANCELLED",
          });
          await until(() => counter.busy === 0);
          counter.read = 0;
          const got = await box.download("big.bin", here, { resume: true });
          expect(got.resumedFrom).toBeGreaterThanOrEqual(4 * MIB);
          expect(counter.read).toBe(content.length - got.resumedFrom);
          expect(got.sha256).toBe(sha256Of(content));
          expect(sha256Of(await readFile(join(here, "big.bin")))).toBe(got.sha256);
          expect(await readdir(here)).toEqual(["big.bin"]);
        }),
      );

      test.each(["replace", "rename"] as const)(
        "two attempts at once have one file after the other, by the policy %s",
        PATIENT,
        (overwrite) =>
          staged(async (stage) => {
            const { there, client, box } = await fileScene(stage, { overwrite });
            // When the folder is first served, it may be searched for abandoned files, which would delay an attempt.
            await box.upload(someBytes(1), { name: "first" });
            const content = someBytes(2 * MIB);
            const end = { at: content.length, sha256: sha256Of(content), end: true };
            const input = [0, 1, 2, 3].map((i) => content.subarray((i * MIB) / 2, ((i + 1) * MIB) / 2));
            const params = { folder: "box", name: "a", bytes: content.length, modified: 1, resume: true, offset: 0 };
            const uploads = [1, 2].map(() => client.call("files:upload", params, { input: [...input, end] }));
            const results = await Promise.allSettled(uploads);
            const failed = results.filter(({ status }) => status === "rejected");
            expect(failed.length).toBeLessThan(uploads.length);
            for (const { reason } of failed as PromiseRejectedResult[]) expect(reason.codeName).toBe("CANCELLED");
            const received = (await readdir(there)).filter((name) => name !== "first");
            expect(received).toContain("a");
            for (const name of received) expect(sha256Of(await readFile(join(there, name)))).toBe(end.sha256);
          })(),
      );

      test.each(["fail", "rename"] as const)(
        "an upload whose answer was lost is answered at the next attempt, by the policy %s",
        PATIENT,
        (overwrite) =>
          staged(async (stage) => {
            const [renamed, lost] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
            const runtime = withFiles(subject.runtime, (files) => ({
              // Called after the rename.
              async syncFolder(path) {
                renamed.resolve();
                await lost.promise;
                await files.syncFolder(path);
              },
            }));
            const { here, there, client, box } = await fileScene(stage, { overwrite }, { server: runtime });
            const content = someBytes(MIB);
            const source = join(here, "a.bin");
            await writeFile(source, content);
            const failure = box.upload(source, { resume: true }).catch((error: unknown) => error);
            await renamed.promise;
            await client.disconnect();
            expect(await failure).toMatchObject({ codeName: "CONNECTION_CLOSED" });
            await client.connect();
            const again = box.upload(source, { resume: true });
            lost.resolve();
            const file = { name: "a.bin", bytes: content.length, sha256: sha256Of(content) };
            expect(await again).toEqual({ ...file, resumedFrom: content.length });
            expect(await readdir(there)).toEqual(["a.bin"]);
            // The answer has arrived, so this is a new upload.
            const other = box.upload(source, { resume: true });
            if (overwrite === "fail") await expect(other).rejects.toMatchObject({ codeName: "FILE_EXISTS" });
            else expect(await other).toMatchObject({ name: "a (2).bin", resumedFrom: 0 });
          })(),
      );

      test(
        "abandoned ones expire, also if no client uses the folder",
        PATIENT,
        staged(async (stage) => {
          const { the } = await cutUpload(stage, { expireMs: 1 });
          await untilNames(the.there, []);
        }),
      );
    });

    describe("whose folder for unfinished ones goes away", () => {
      test(
        "while it is made are received",
        staged(async (stage) => {
          // Another process uses the same folder and finishes its last file at this moment.
          let left = 6;
          const removedBefore = async (partials: string) => {
            if (left > 0) await rm(partials, { recursive: true, force: true });
            left -= 1;
          };
          const runtime = withFiles(subject.runtime, (files) => ({
            async makeFolder(path) {
              await files.makeFolder(path);
              if (left % 2 === 0) await removedBefore(path);
            },
            async open(path, mode) {
              if (mode === "create" && path.endsWith(".part")) await removedBefore(join(path, ".."));
              return await files.open(path, mode);
            },
          }));
          const { there, box } = await fileScene(stage, {}, { server: runtime });
          await box.upload(someBytes(1), { name: "a" });
          expect(left).toBeLessThan(0);
          expect(await readdir(there)).toEqual(["a"]);
        }),
      );

      test(
        "while it is searched for abandoned ones are received",
        staged(async (stage) => {
          const runtime = withFiles(subject.runtime, (files) => ({
            async names(folder) {
              await rm(folder, { recursive: true });
              return await files.names(folder);
            },
          }));
          const { there, box } = await fileScene(stage, { expireMs: 1 }, { server: runtime });
          await mkdir(join(there, ".netconduit"));
          await box.upload(someBytes(1), { name: "a" });
          expect(await readdir(there)).toEqual(["a"]);
        }),
      );

      test(
        "with each of many small ones are received",
        PATIENT,
        staged(async (stage) => {
          const { there, box } = await fileScene(stage);
          const names = Array.from({ length: 100 }, (_, i) => `file-${i}`).sort();
          await Promise.all(names.map((name) => box.upload(someBytes(1), { name })));
          expect((await readdir(there)).sort()).toEqual(names);
        }),
      );
    });
  });
}
