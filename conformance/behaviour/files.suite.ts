/** Files: uploads, downloads, resuming, limits. File names, and what a folder refuses, are in `file-names.suite.ts`. */

import { createHash } from "node:crypto";
import { mkdir, mkdtemp, readdir, readFile, rm, stat, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { FileProgress, FolderOptions, TransferredFile } from "@netconduit/core";
import type { FileAccess, Runtime } from "@netconduit/core/adapter";
import { describe, expect, test } from "vitest";
import type { Subject } from "../support/subject.ts";
import { turn, until } from "../support/turns.ts";
import { connectionOf, PATIENT, type Stage, stagedOn } from "./stage.ts";

const MIB = 1024 * 1024;

/** Bytes that differ from place to place. */
export function someBytes(count: number, seed = 1): Uint8Array {
  const bytes = new Uint8Array(count);
  let state = seed;
  for (let i = 0; i < count; i += 1) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    bytes[i] = state >>> 24;
  }
  return bytes;
}

export function sha256Of(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/** Two empty folders, which go with the stage. */
export async function folders(stage: Stage): Promise<{ readonly here: string; readonly there: string }> {
  const [here, there] = [await mkdtemp(join(tmpdir(), "nc-here-")), await mkdtemp(join(tmpdir(), "nc-there-"))];
  stage.defer(async () => {
    for (const folder of [here, there]) await rm(folder, { recursive: true, force: true });
  });
  return { here, there };
}

/** A server that serves the folder `there` as `box`, a client of it, and a folder of the client. */
async function scene(
  stage: Stage,
  options: Partial<FolderOptions> = {},
  runtimes: { server?: Runtime; client?: Runtime } = {},
) {
  const dirs = await folders(stage);
  const server = await stage.listen({}, runtimes.server);
  server.files("box", { dir: dirs.there, upload: true, download: true, remove: true, ...options });
  const client = await stage.join(server, {}, runtimes.client);
  return { ...dirs, server, client, box: client.files("box") };
}

/** A runtime whose files are watched or broken. */
export function withFiles(runtime: Runtime, change: (files: FileAccess) => Partial<FileAccess>): Runtime {
  const { files } = runtime;
  if (files === undefined) throw new Error("The runtime has no files");
  return { ...runtime, files: { ...files, ...change(files) } };
}

interface ReadCounter {
  readonly runtime: Runtime;
  read: number;
  /** Number of open files and of reads under way. */
  busy: number;
}

/** Counts the bytes that are read from files, except from the state of unfinished ones. */
function countingReads(runtime: Runtime): ReadCounter {
  const counter: ReadCounter = {
    read: 0,
    busy: 0,
    runtime: withFiles(runtime, (files) => ({
      async open(path, mode) {
        const file = await files.open(path, mode);
        if (/\.json(\.new)?$/.test(path)) return file;
        const [read, close] = [file.read.bind(file), file.close.bind(file)];
        counter.busy += 1;
        file.read = async (target, position) => {
          counter.busy += 1;
          try {
            const count = await read(target, position);
            counter.read += count;
            return count;
          } finally {
            counter.busy -= 1;
          }
        };
        file.close = async () => {
          await close();
          counter.busy -= 1;
        };
        return file;
      },
    })),
  };
  return counter;
}

function systemError(code: string): Error {
  return Object.assign(new Error(code), { code });
}

/** Resolves once a folder has exactly these entries, sorted. */
export async function untilNames(folder: string, names: readonly string[]): Promise<void> {
  while ((await readdir(folder)).sort().join("/") !== names.join("/")) await turn();
}

/** Resolves once a folder has so many bytes of an unfinished file. */
export async function untilArrived(folder: string, bytes: number): Promise<void> {
  const partials = join(folder, ".netconduit");
  for (let size = 0; size < bytes; await turn()) {
    // It isn't there before the other side begins.
    const part = (await readdir(partials).catch(() => [])).find((name) => name.endsWith(".part"));
    size = part === undefined ? 0 : (await stat(join(partials, part))).size;
  }
}

/** Resolves once a folder keeps what it has of an unfinished file. */
export async function untilKept(folder: string): Promise<void> {
  const partials = join(folder, ".netconduit");
  while (!(await readdir(partials)).some((name) => name.endsWith(".json"))) await turn();
}

/** Cancels a transfer in its middle: when `at` bytes were read, and most of those are in the other side's folder. */
export class Cut {
  readonly #controller = new AbortController();
  readonly signal = this.#controller.signal;
  readonly runtime: Runtime;
  /** Folder of the receiving side. */
  folder = "";

  constructor(runtime: Runtime, at: number) {
    this.runtime = beforeRead(runtime, at, async () => {
      await untilArrived(this.folder, at - MIB);
      this.#controller.abort();
    });
  }
}

/** Calls `task` once, before bytes from `at` on are read from a file. */
export function beforeRead(runtime: Runtime, at: number, task: () => Promise<void>): Runtime {
  let isDone = false;
  return withFiles(runtime, (files) => ({
    async open(path, mode) {
      const file = await files.open(path, mode);
      const read = file.read.bind(file);
      file.read = async (target, position) => {
        if (position >= at && !isDone) {
          isDone = true;
          await task();
        }
        return await read(target, position);
      };
      return file;
    },
  }));
}

export function describeFiles(subject: Subject): void {
  const staged = stagedOn(subject);

  /** Cancels the upload of 24 MiB after 13 of them, and waits until the server has given it up. */
  async function cutUpload(stage: Stage, options: Partial<FolderOptions> = {}, resume = true) {
    const counter = countingReads(subject.runtime);
    const cut = new Cut(counter.runtime, 13 * MIB);
    const the = await scene(stage, options, { client: cut.runtime });
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
    test(
      "a file of several pieces arrives as it was sent, and both sides know its SHA-256",
      PATIENT,
      staged(async (stage) => {
        const { here, there, box } = await scene(stage);
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
        const { here, there, server, client, box } = await scene(stage);
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
        const { here, there, box } = await scene(stage);
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
        const { there, box } = await scene(stage);
        const content = someBytes(MIB + 1);
        const sent = await box.upload(make(content), { name: "a.bin" });
        expect(sent).toMatchObject({ bytes: content.length, sha256: sha256Of(content) });
        expect(sha256Of(await readFile(join(there, "a.bin")))).toBe(sent.sha256);
      })(),
    );

    test(
      "an empty file is a file",
      staged(async (stage) => {
        const { here, there, box } = await scene(stage);
        const sent = await box.upload(new Uint8Array(0), { name: "empty" });
        expect(sent).toMatchObject({ bytes: 0, sha256: sha256Of(new Uint8Array(0)) });
        expect((await stat(join(there, "empty"))).size).toBe(0);
        expect(await box.download("empty", here)).toMatchObject({ bytes: 0 });
      }),
    );

    test(
      "files are listed, looked up and removed",
      staged(async (stage) => {
        const { there, box } = await scene(stage);
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
        const { here, there, box } = await scene(stage);
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
        const { here, box } = await scene(stage);
        await expect(box.download("nope", here)).rejects.toMatchObject({ codeName: "NOT_FOUND" });
        expect(await readdir(here)).toEqual([]);
      }),
    );

    test(
      "the server sends to a client's folder and fetches from it",
      PATIENT,
      staged(async (stage) => {
        const { here, there, server, client } = await scene(stage);
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
        const { server, client, here } = await scene(stage);
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
      "a served folder that doesn't exist is an error that says so, to the peer without its path",
      staged(async (stage) => {
        const { there, server, box } = await scene(stage);
        await rm(there, { recursive: true });
        const heard: string[] = [];
        server.onError((error) => heard.push(error.message));
        const expected = { codeName: "FILE_ERROR", message: "'box' can't be used: its folder doesn't exist" };
        const own = `The folder '${there}' doesn't exist, but is served as 'box': make it before its first use`;
        await expect(box.upload(new Uint8Array(1), { name: "a" })).rejects.toMatchObject(expected);
        await expect(box.list()).rejects.toMatchObject(expected);
        expect(heard).toEqual([own, own]);
      }),
    );

    test(
      "a file that can't be read, and a place that can't be written to, are errors that say why",
      staged(async (stage) => {
        const { here, box } = await scene(stage);
        await box.upload(new Uint8Array(1), { name: "a" });
        const why = (doing: string) => ({
          codeName: "NOT_FOUND",
          message: `Cannot ${doing}: there is no such file or folder (ENOENT)`,
        });
        const missing = join(here, "missing");
        await expect(box.upload(missing)).rejects.toMatchObject(why(`read '${missing}'`));
        await expect(box.download("b", here)).rejects.toMatchObject(why("read 'b'"));
        await expect(box.download("a", join(missing, "a"))).rejects.toMatchObject(why("receive 'a'"));
      }),
    );

    test(
      "hooks hear of files that were received and sent",
      staged(async (stage) => {
        const { here, there, server, box } = await scene(stage);
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
        const { box } = await scene(stage);
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
        const { here, box } = await scene(stage);
        const content = someBytes(6 * MIB);
        const heard: FileProgress[] = [];
        await box.upload(content, { name: "a", onProgress: (progress) => heard.push(progress) });
        expect(heard.at(-1)).toMatchObject({ phase: "moving", bytes: content.length, total: content.length, etaMs: 0 });
        heard.length = 0;
        await box.download("a", here, { onProgress: (progress) => heard.push(progress) });
        expect(heard.at(-1)).toMatchObject({ bytes: content.length, total: content.length, etaMs: 0 });
      }),
    );

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
          // It is answered when the server has ended the upload.
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
          const { client } = await scene(stage);
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
          const { here, there, box } = await scene(stage, {}, { server: cut.runtime });
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
            const { there, client, box } = await scene(stage, { overwrite });
            // The folder may be searched for abandoned ones when it is first served, which would hold up one attempt.
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
              // It follows the rename.
              async syncFolder(path) {
                renamed.resolve();
                await lost.promise;
                await files.syncFolder(path);
              },
            }));
            const { here, there, client, box } = await scene(stage, { overwrite }, { server: runtime });
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
            // The answer has come: this is another upload.
            const other = box.upload(source, { resume: true });
            if (overwrite === "fail") await expect(other).rejects.toMatchObject({ codeName: "FILE_EXISTS" });
            else expect(await other).toMatchObject({ name: "a (2).bin", resumedFrom: 0 });
          })(),
      );

      test(
        "abandoned ones expire, also if nobody uses the folder",
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
          // Another process has the same folder, and its last unfinished file ends just then.
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
          const { there, box } = await scene(stage, {}, { server: runtime });
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
          const { there, box } = await scene(stage, { expireMs: 1 }, { server: runtime });
          await mkdir(join(there, ".netconduit"));
          await box.upload(someBytes(1), { name: "a" });
          expect(await readdir(there)).toEqual(["a"]);
        }),
      );

      test(
        "with each of many small ones are received",
        PATIENT,
        staged(async (stage) => {
          const { there, box } = await scene(stage);
          const names = Array.from({ length: 100 }, (_, i) => `file-${i}`).sort();
          await Promise.all(names.map((name) => box.upload(someBytes(1), { name })));
          expect((await readdir(there)).sort()).toEqual(names);
        }),
      );
    });

    describe("limits", () => {
      test(
        "a file over maxFileBytes is refused, announced or not, and the connection lives",
        PATIENT,
        staged(async (stage) => {
          const { there, box } = await scene(stage, { maxFileBytes: MIB });
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
          const { there, box } = await scene(stage, { quotaBytes: 100 });
          await box.upload(someBytes(60), { name: "a" });
          await expect(box.upload(someBytes(41), { name: "b" })).rejects.toMatchObject({
            codeName: "QUOTA_EXCEEDED",
            details: { quota: 100, used: 60 },
          });
          const stream = new Response(someBytes(41) as never).body as never;
          await expect(box.upload(stream, { name: "b" })).rejects.toMatchObject({ codeName: "QUOTA_EXCEEDED" });
          await box.upload(someBytes(40), { name: "c" });
          await untilNames(there, ["a", "c"]);
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
            const { there, box } = await scene(stage, {}, { server: runtime });
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
          const { there, box } = await scene(stage);
          await writeFile(join(there, "a.txt"), "old");
          await expect(box.upload(someBytes(3), { name: "a.txt" })).rejects.toMatchObject({ codeName: "FILE_EXISTS" });
          expect(await readFile(join(there, "a.txt"), "utf8")).toBe("old");
        }),
      );

      test(
        "is given to the new file by the policy replace, when that is complete",
        staged(async (stage) => {
          const { there, box } = await scene(stage, { overwrite: "replace" });
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
          const { there, box } = await scene(stage, { overwrite: "rename" });
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
          const { there, box } = await scene(stage);
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
          const { here, there, box } = await scene(stage, options);
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
          const { box } = await scene(stage, {
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
          const { there, client } = await scene(stage);
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
          const { here, there, box } = await scene(stage, {}, { client: changing });
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
