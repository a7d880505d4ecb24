/** Names, links, devices and pipes that would lead outside a served folder. */

import { execFileSync } from "node:child_process";
import { link, lstat, mkdir, readdir, readFile, rename, rm, symlink, unlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { FolderOptions } from "@netconduit/core";
import type { Runtime } from "@netconduit/core/adapter";
import { describe, expect, test } from "vitest";
import type { Subject } from "../support/subject.ts";
import { turn } from "../support/turns.ts";
import { Cut, folders, someBytes } from "./file-scene.ts";
import { type Stage, stagedOn } from "./stage.ts";

/** Rejected for every operation. */
const REFUSED: readonly (readonly [why: string, name: string])[] = [
  ["leads to the parent folder", "../a"],
  ["leads to the parent folder on Windows", "..\\a"],
  ["leads out and in again", "x/../../a"],
  ["is the folder itself", "."],
  ["is the parent folder", ".."],
  ["is empty", ""],
  ["is absolute", "/etc/passwd"],
  ["is in a subfolder", "sub/a"],
  ["has a drive letter", "C:\\a"],
  ["is relative to a drive", "C:a"],
  ["is a network path", "\\\\server\\share\\a"],
  ["is an NTFS stream", "a.txt:secret"],
  ["has a NUL", "a\0.txt"],
  ["has a line break", "a\nb"],
  ["ends with a dot", "a."],
  ["ends with a space", "a "],
  ["is the device NUL", "NUL"],
  ["is the device nul with an ending", "nul.txt"],
  ["is the device COM1", "com1.log"],
  ["is the device COM¹", "COM¹"],
  ["is the device AUX with a space", "aux .txt"],
  ["has a full-width slash", "..／a"],
  ["is full-width dots", "．．"],
  ["has a full-width device", "ＮＵＬ"],
  ["turns the direction of text", "a\u202egpj.exe"],
  ["is the folder of unfinished files", ".netconduit"],
  ["is that in other letters", ".NetConduit"],
  ["leads into that", ".netconduit/a"],
  ["is longer than file systems take", "a".repeat(241)],
  ["has a wildcard", "*"],
];

const ALLOWED = [
  "a",
  ".hidden",
  "a.tar.gz",
  "ä ö",
  "日本.txt",
  "-rf",
  "a'b",
  "com10",
  "null.txt",
  "a..b",
  "%2e%2e%2fa",
];

/** @param runtime the client's runtime */
async function scene(stage: Stage, options: Partial<FolderOptions> = {}, runtime?: Runtime) {
  const { here: outside, there } = await folders(stage);
  await writeFile(join(outside, "secret"), "secret");
  const server = await stage.listen();
  server.files("box", { dir: there, upload: true, download: true, remove: true, overwrite: "replace", ...options });
  const client = await stage.join(server, {}, runtime);
  return { outside, there, server, client, box: client.files("box") };
}

export function describeFileNames(subject: Subject): void {
  const staged = stagedOn(subject);

  describe(`file names on ${subject.name}`, () => {
    test(
      "are refused by the server in every request, even if the client lets them pass",
      staged(async (stage) => {
        const { outside, there, client } = await scene(stage);
        await writeFile(join(there, "a"), "a");
        const before = (await readdir(outside)).sort();
        const taken: string[] = [];
        for (const [why, name] of REFUSED) {
          const params = { folder: "box", name };
          const upload = { ...params, bytes: 1, modified: 1, resume: false, offset: 0 };
          const end = { at: 1, sha256: "0".repeat(64), end: true };
          const requests = [
            client.call("files:stat", params),
            client.call("files:remove", params),
            client.call("files:offset", { ...upload, resume: true }),
            client.call("files:upload", upload, { input: [someBytes(1), end] }),
            client.stream("files:download", { ...params, offset: 0, bytes: null, modified: null }).next(),
          ];
          for (const result of await Promise.allSettled(requests)) {
            const isRefused = result.status === "rejected" && result.reason.codeName === "INVALID_FILE_NAME";
            if (!isRefused) taken.push(why);
          }
        }
        expect(taken).toEqual([]);
        expect(await readdir(there)).toEqual(["a"]);
        expect((await readdir(outside)).sort()).toEqual(before);
      }),
    );

    test(
      "that mean the same on every system are taken",
      staged(async (stage) => {
        const { there, box } = await scene(stage);
        for (const name of ALLOWED) expect(await box.upload(someBytes(1), { name })).toMatchObject({ name });
        expect((await readdir(there)).sort()).toEqual([...ALLOWED].sort());
        expect((await box.list()).map(({ name }) => name).sort()).toEqual([...ALLOWED].sort());
      }),
    );

    test(
      "in two Unicode forms are one file",
      staged(async (stage) => {
        const { there, box } = await scene(stage, { overwrite: "fail" });
        const [composed, decomposed] = ["\u00e9.txt", "e\u0301.txt"];
        expect(await box.upload(someBytes(1), { name: decomposed })).toMatchObject({ name: composed });
        expect(await readdir(there)).toEqual([composed]);
        await expect(box.upload(someBytes(1), { name: composed })).rejects.toMatchObject({ codeName: "FILE_EXISTS" });
        expect(await box.stat(decomposed)).toMatchObject({ name: composed });
      }),
    );

    test(
      "in other letters never replace a file under the policy fail",
      staged(async (stage) => {
        const { there, box } = await scene(stage, { overwrite: "fail" });
        await box.upload(someBytes(3), { name: "Report.txt" });
        // Rejected on case-insensitive file systems; otherwise it is another file.
        await box.upload(someBytes(5), { name: "REPORT.TXT" }).catch(() => undefined);
        expect((await readFile(join(there, "Report.txt"))).length).toBe(3);
      }),
    );

    test(
      "of a list that the other side makes up are refused here, before they are paths",
      staged(async (stage) => {
        const server = await stage.listen();
        server.stream("files:list", async function* () {
          yield [{ name: "../../.bashrc", bytes: 1, modified: 1 }];
        });
        const client = await stage.join(server);
        await expect(client.files("box").list()).rejects.toMatchObject({ codeName: "INVALID_FILE_NAME" });
      }),
    );

    test(
      "of links lead nowhere: they are neither read, listed, replaced inside nor removed",
      staged(async (stage) => {
        const { outside, there, box } = await scene(stage);
        await symlink(join(outside, "secret"), join(there, "link"));
        await symlink(outside, join(there, "folder"));
        await symlink(join(there, "nothing"), join(there, "dangling"));
        for (const name of ["link", "folder", "dangling"]) {
          await expect(box.bytes(name)).rejects.toMatchObject({ codeName: "INVALID_FILE_NAME" });
          await expect(box.stat(name)).rejects.toMatchObject({ codeName: "NOT_FOUND" });
          await expect(box.remove(name)).rejects.toMatchObject({ codeName: "NOT_FOUND" });
        }
        expect(await box.list()).toEqual([]);
        // Replacing a link replaces the link, not its target.
        await box.upload(someBytes(1), { name: "link" });
        await box.upload(someBytes(1), { name: "dangling" });
        expect((await lstat(join(there, "link"))).isFile()).toBe(true);
        expect(await readFile(join(outside, "secret"), "utf8")).toBe("secret");
        expect((await readdir(there)).sort()).toEqual(["dangling", "folder", "link"]);
      }),
    );

    test(
      "under the policies fail and rename never follow a link that has the name",
      staged(async (stage) => {
        for (const overwrite of ["fail", "rename"] as const) {
          const { outside, there, box } = await scene(stage, { overwrite });
          await symlink(join(outside, "new"), join(there, "a"));
          await box.upload(someBytes(1), { name: "a" }).catch(() => undefined);
          expect(await readdir(outside)).toEqual(["secret"]);
        }
      }),
    );

    test(
      "of folders, pipes and devices are no files, and a pipe without a writer holds nobody up",
      staged(async (stage) => {
        const { there, box } = await scene(stage);
        await mkdir(join(there, "sub"));
        if (process.platform !== "win32") execFileSync("mkfifo", [join(there, "pipe")]);
        for (const name of await readdir(there)) {
          await expect(box.bytes(name)).rejects.toMatchObject({ codeName: "INVALID_FILE_NAME" });
          await expect(box.remove(name)).rejects.toMatchObject({ codeName: "NOT_FOUND" });
        }
        expect(await box.list()).toEqual([]);
      }),
    );

    test(
      "that become links between the check and the opening are found out",
      staged(async (stage) => {
        const { files } = subject.runtime;
        if (files === undefined) throw new Error("The runtime has no files");
        const { here: outside, there } = await folders(stage);
        await writeFile(join(outside, "secret"), "secret");
        const path = join(there, "a");
        let gotSecret = 0;
        // Repeatedly swaps the file for a link while it is opened.
        let isRunning = true;
        const exchanging = (async () => {
          while (isRunning) {
            await writeFile(`${path}.new`, "plain");
            await rename(`${path}.new`, path);
            await symlink(join(outside, "secret"), `${path}.link`);
            await rename(`${path}.link`, path);
          }
        })();
        for (let i = 0; i < 300; i += 1) {
          try {
            const file = await files.open(path, "read");
            const memory = new Uint8Array(10);
            const count = await file.read(memory, 0);
            await file.close();
            if (new TextDecoder().decode(memory.subarray(0, count)) === "secret") gotSecret += 1;
          } catch {
            // It was a link or didn't exist.
          }
        }
        isRunning = false;
        await exchanging;
        expect(gotSecret).toBe(0);
      }),
    );

    test(
      "of unfinished files are not to be foreseen as links: the folder for them must be a real one",
      staged(async (stage) => {
        const { outside, there, box } = await scene(stage);
        await symlink(outside, join(there, ".netconduit"));
        await expect(box.upload(someBytes(10), { name: "a" })).rejects.toMatchObject({ codeName: "PERMISSION_DENIED" });
        expect(await readdir(outside)).toEqual(["secret"]);
        await unlink(join(there, ".netconduit"));
        await box.upload(someBytes(10), { name: "a" });
        expect(await readdir(there)).toEqual(["a"]);
      }),
    );

    test(
      "of an unfinished file that was exchanged for a link aren't continued",
      staged(async (stage) => {
        const cut = new Cut(subject.runtime, 9 * 1024 * 1024);
        const { outside, there, box } = await scene(stage, {}, cut.runtime);
        cut.folder = there;
        const source = join(outside, "big.bin");
        await writeFile(source, someBytes(16 * 1024 * 1024));
        const upload = box.upload(source, { resume: true, signal: cut.signal });
        await expect(upload).rejects.toMatchObject({ codeName: "CANCELLED" });
        const partials = join(there, ".netconduit");
        while ((await readdir(partials)).length < 2) await turn();
        const part = (await readdir(partials)).find((name) => name.endsWith(".part")) ?? "";
        await rm(join(partials, part));
        await symlink(join(outside, "secret"), join(partials, part));
        const sent = await box.upload(source, { resume: true });
        expect(sent.resumedFrom).toBe(0);
        expect(await readFile(join(outside, "secret"), "utf8")).toBe("secret");
        expect((await lstat(join(there, "big.bin"))).isFile()).toBe(true);
      }),
    );

    test(
      "of a second hard link are a file like any other",
      staged(async (stage) => {
        const { there, box } = await scene(stage);
        await writeFile(join(there, "a"), "a");
        await link(join(there, "a"), join(there, "b"));
        await box.remove("a");
        expect(await readdir(there)).toEqual(["b"]);
      }),
    );
  });
}
