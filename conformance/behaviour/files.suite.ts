/** Files: uploads, downloads, progress, hooks. Resuming, rejections and names have their own suites. */

import { createHash } from "node:crypto";
import { readdir, readFile, rm, stat, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { FileProgress, TransferredFile } from "@netconduit/core";
import { describe, expect, test } from "vitest";
import type { Subject } from "../support/subject.ts";
import { until } from "../support/turns.ts";
import { fileScene, MIB, sha256Of, someBytes } from "./file-scene.ts";
import { connectionOf, PATIENT, stagedOn } from "./stage.ts";

export function describeFiles(subject: Subject): void {
  const staged = stagedOn(subject);

  describe(`files on ${subject.name}`, () => {
    test(
      "a file of several pieces arrives as it was sent, and both sides know its SHA-256",
      PATIENT,
      staged(async (stage) => {
        const { here, there, box } = await fileScene(stage);
        const content = someBytes(9 * MIB + 17);
        await writeFile(join(here, "a.bin"), content);
        const sent = await box.upload(join(here, "a.bin"));
        expect(sent).toEqual({ name: "a.bin", bytes: content.length, sha256: sha256Of(content), resumedFrom: 0 });
        expect(sha256Of(await readFile(join(there, "a.bin")))).toBe(sent.sha256);
        expect(await readdir(there)).toEqual(["a.bin"]);
      }),
    );

    test(
      "errors name the operation and the file, and not the methods of the protocol",
      PATIENT,
      staged(async (stage) => {
        const { here, there, server, client, box } = await fileScene(stage);
        const names: (string | undefined)[] = [];
        server.onError((_error, { name }) => names.push(name));
        await writeFile(join(here, "a.bin"), "a");
        const signal = AbortSignal.abort();
        const messageOf = async (operation: Promise<unknown>): Promise<string> => {
          const error = await operation.then(
            () => new Error("It was done"),
            (reason: Error) => reason,
          );
          return error.message;
        };
        const operations = (given: { readonly signal?: AbortSignal }): Promise<unknown>[] => [
          box.upload(join(here, "a.bin"), given),
          box.upload(join(here, "a.bin"), { resume: true, ...given }),
          box.download("a.bin", join(here, "fetched.bin"), given),
          box.bytes("a.bin", given),
          box.list(given),
          box.stat("a.bin", given),
          box.remove("a.bin", given),
        ];
        const called = [
          'upload "a.bin"',
          'upload "a.bin"',
          'download "a.bin"',
          'download "a.bin"',
          'list "box"',
          'stat "a.bin"',
          'remove "a.bin"',
        ];
        expect(await Promise.all(operations({ signal }).map(messageOf))).toEqual(
          called.map((name) => `${name} was cancelled`),
        );
        await rm(there, { recursive: true });
        await messageOf(box.list());
        expect(names).toEqual(['list "box"']);
        await client.disconnect();
        const messages = await Promise.all(operations({}).map(messageOf));
        for (const [index, message] of messages.entries()) {
          expect(message).toMatch(new RegExp(`^Cannot ${called[index]}: not connected`));
        }
      }),
    );

    test(
      "a file is fetched to a folder, to a path, to a WritableStream and into memory",
      PATIENT,
      staged(async (stage) => {
        const { here, there, box } = await fileScene(stage);
        const content = someBytes(5 * MIB + 3);
        await writeFile(join(there, "q3.pdf"), content);
        const result = { bytes: content.length, sha256: sha256Of(content), resumedFrom: 0 };
        expect(await box.download("q3.pdf", here)).toEqual({ name: "q3.pdf", ...result });
        expect(await box.download("q3.pdf", join(here, "other.pdf"))).toEqual({ name: "other.pdf", ...result });
        const hash = createHash("sha256");
        const sink = new WritableStream<Uint8Array>({ write: (chunk) => void hash.update(chunk) });
        expect(await box.download("q3.pdf", sink)).toEqual({ name: "q3.pdf", ...result });
        expect(hash.digest("hex")).toBe(result.sha256);
        expect(sha256Of(await box.bytes("q3.pdf"))).toBe(result.sha256);
        expect((await readdir(here)).sort()).toEqual(["other.pdf", "q3.pdf"]);
        expect(sha256Of(await readFile(join(here, "other.pdf")))).toBe(result.sha256);
      }),
    );

    test.each<[string, (content: Uint8Array) => never]>([
      ["bytes", (content) => content as never],
      ["a Blob", (content) => new Blob([content as never]) as never],
      ["a File", (content) => new File([content as never], "ignored.bin") as never],
      ["a ReadableStream", (content) => new Response(content as never).body as never],
    ])("%s can be uploaded", PATIENT, (_, make) =>
      staged(async (stage) => {
        const { there, box } = await fileScene(stage);
        const content = someBytes(MIB + 1);
        const sent = await box.upload(make(content), { name: "a.bin" });
        expect(sent).toMatchObject({ bytes: content.length, sha256: sha256Of(content) });
        expect(sha256Of(await readFile(join(there, "a.bin")))).toBe(sent.sha256);
      })(),
    );

    test(
      "an empty file is a file",
      staged(async (stage) => {
        const { here, there, box } = await fileScene(stage);
        const sent = await box.upload(new Uint8Array(0), { name: "empty" });
        expect(sent).toMatchObject({ bytes: 0, sha256: sha256Of(new Uint8Array(0)) });
        expect((await stat(join(there, "empty"))).size).toBe(0);
        expect(await box.download("empty", here)).toMatchObject({ bytes: 0 });
      }),
    );

    test(
      "files are listed, looked up and removed",
      staged(async (stage) => {
        const { there, box } = await fileScene(stage);
        await writeFile(join(there, "a"), "12345");
        await writeFile(join(there, "b"), "1");
        const list = await box.list();
        expect(list.map(({ name, bytes }) => `${name} ${bytes}`).sort()).toEqual(["a 5", "b 1"]);
        expect(await box.stat("a")).toEqual(list.find(({ name }) => name === "a"));
        await box.remove("a");
        expect(await readdir(there)).toEqual(["b"]);
        await expect(box.stat("a")).rejects.toMatchObject({ codeName: "NOT_FOUND" });
        await expect(box.remove("a")).rejects.toMatchObject({ codeName: "NOT_FOUND" });
      }),
    );

    test(
      "a time of change before 1970 is taken for its first moment, wherever the file goes",
      staged(async (stage) => {
        const { here, there, box } = await fileScene(stage);
        for (const path of [join(there, "old"), join(here, "older")]) {
          await writeFile(path, "1");
          await utimes(path, new Date(-10_000), new Date(-10_000));
        }
        expect(await box.list()).toEqual([{ name: "old", bytes: 1, modifiedMs: 0 }]);
        expect(await box.stat("old")).toMatchObject({ modifiedMs: 0 });
        expect(await box.download("old", here)).toMatchObject({ bytes: 1 });
        expect(await box.upload(join(here, "older"))).toMatchObject({ bytes: 1 });
      }),
    );

    test(
      "a missing file is an error, and leaves no empty one behind",
      staged(async (stage) => {
        const { here, box } = await fileScene(stage);
        await expect(box.download("nope", here)).rejects.toMatchObject({ codeName: "NOT_FOUND" });
        expect(await readdir(here)).toEqual([]);
      }),
    );

    test(
      "the server sends to a client's folder and fetches from it",
      PATIENT,
      staged(async (stage) => {
        const { here, there, server, client } = await fileScene(stage);
        client.files("inbox", { dir: here, upload: true, download: true });
        const content = someBytes(3 * MIB);
        const inbox = connectionOf(server, client).files("inbox");
        const sent = await inbox.upload(content, { name: "new.bin" });
        expect(sha256Of(await readFile(join(here, "new.bin")))).toBe(sent.sha256);
        await inbox.download("new.bin", there);
        expect(sha256Of(await readFile(join(there, "new.bin")))).toBe(sent.sha256);
      }),
    );

    test(
      "a peer that serves no files, and a folder that isn't served, are coded errors",
      staged(async (stage) => {
        const { server, client, here } = await fileScene(stage);
        const inbox = connectionOf(server, client).files("inbox");
        await expect(inbox.list()).rejects.toMatchObject({ codeName: "PEER_UNSUPPORTED" });
        await expect(inbox.upload(new Uint8Array(1), { name: "a" })).rejects.toMatchObject({
          codeName: "PEER_UNSUPPORTED",
        });
        await expect(client.files("attic").download("a", here)).rejects.toMatchObject({ codeName: "NOT_FOUND" });
        await expect(client.files("bix").list()).rejects.toMatchObject({
          codeName: "NOT_FOUND",
          message: "There is no folder \"bix\" for files (did you mean 'box'?)",
        });
      }),
    );

    test(
      "a served folder that doesn't exist is reported as such, to the peer without its path",
      staged(async (stage) => {
        const { there, server, box } = await fileScene(stage);
        await rm(there, { recursive: true });
        const heard: string[] = [];
        server.onError((error) => heard.push(error.message));
        const expected = { codeName: "FILE_ERROR", message: "'box' can't be used: its folder doesn't exist" };
        const own = `The folder '${there}', served as 'box', doesn't exist`;
        await expect(box.upload(new Uint8Array(1), { name: "a" })).rejects.toMatchObject(expected);
        await expect(box.list()).rejects.toMatchObject(expected);
        expect(heard).toEqual([own, own]);
      }),
    );

    test(
      "a file that can't be read, and a place that can't be written to, are errors that say why",
      staged(async (stage) => {
        const { here, box } = await fileScene(stage);
        await box.upload(new Uint8Array(1), { name: "a" });
        const why = (doing: string) => ({
          codeName: "NOT_FOUND",
          message: `Cannot ${doing}: there is no such file or folder (ENOENT)`,
        });
        const missing = join(here, "missing");
        await expect(box.upload(missing)).rejects.toMatchObject(why(`read '${missing}'`));
        await expect(box.download("b", here)).rejects.toMatchObject(why("read 'b'"));
        await expect(box.download("a", join(missing, "a"))).rejects.toMatchObject({
          codeName: "NOT_FOUND",
          message: `Cannot download "a" to '${join(missing, "a")}': there is no folder '${missing}'`,
        });
      }),
    );

    test(
      "hooks are notified of files that were received and sent",
      staged(async (stage) => {
        const { here, there, server, box } = await fileScene(stage);
        const heard: TransferredFile[] = [];
        server.onFileReceived((_, file) => heard.push(file));
        server.onFileSent((_, file) => heard.push(file));
        const content = someBytes(10);
        await box.upload(content, { name: "a" });
        await box.download("a", here);
        const file = { folder: "box", name: "a", path: join(there, "a"), bytes: 10, sha256: sha256Of(content) };
        await until(() => heard.length === 2);
        expect(heard).toEqual([
          { ...file, resumedFrom: 0 },
          { ...file, resumedFrom: 0 },
        ]);
      }),
    );

    test(
      "an upload keeps to maxBytesPerSecond, and to a new limit at once",
      PATIENT,
      staged(async (stage) => {
        const { box } = await fileScene(stage);
        const content = someBytes(MIB);
        let limit = 20_000; // 52 seconds for the file
        const phases: number[] = [];
        const sent = await box.upload(content, {
          name: "a",
          maxBytesPerSecond: () => limit,
          onProgress({ bytes }) {
            phases.push(bytes);
            limit = Number.POSITIVE_INFINITY;
          },
        });
        expect(sent).toMatchObject({ bytes: MIB, sha256: sha256Of(content) });
        expect(phases[0]).toBeLessThanOrEqual(8000);
        await expect(box.upload(content, { name: "b", maxBytesPerSecond: 0 })).rejects.toMatchObject({
          codeName: "INVALID_CONFIG",
        });
      }),
    );

    test(
      "progress counts up to the size, with a rate",
      PATIENT,
      staged(async (stage) => {
        const { here, box } = await fileScene(stage);
        const content = someBytes(6 * MIB);
        const heard: FileProgress[] = [];
        await box.upload(content, { name: "a", onProgress: (progress) => heard.push(progress) });
        expect(heard.at(-1)).toMatchObject({ phase: "moving", bytes: content.length, total: content.length, etaMs: 0 });
        heard.length = 0;
        await box.download("a", here, { onProgress: (progress) => heard.push(progress) });
        expect(heard.at(-1)).toMatchObject({ bytes: content.length, total: content.length, etaMs: 0 });
      }),
    );
  });
}
