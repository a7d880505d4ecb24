import { mkdir, readdir, readFile, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import {
  diskFiles,
  opening,
  sha256Of,
  systemError,
  temporaryFolder,
  transfersWith,
} from "../../test-support/file-scene.ts";
import type { PartialFile, ReceivedIdentity } from "./partial-file.ts";
import { ReceivingFolder } from "./receiving-folder.ts";

const CONTENT = new TextEncoder().encode("0123456789");
const FILE: ReceivedIdentity = { name: "a.bin", owner: "", bytes: 10, modifiedMs: 5, isResumable: false };
const RESUMABLE: ReceivedIdentity = { ...FILE, isResumable: true };
const PARTIALS = ".netconduit";
const HOUR_MS = 60 * 60 * 1000;

type Changes = Parameters<typeof transfersWith>[0];

async function receiving(changes: Changes = {}) {
  const dir = await temporaryFolder();
  const clock = { ms: 0 };
  return { dir, partials: join(dir, PARTIALS), clock, folder: new ReceivingFolder(transfersWith(changes, clock), dir) };
}

const failing = (code: string) => () => Promise.reject(systemError(code));
const nothing = (): void => undefined;

/** Creates a file with all bytes received. */
async function arrived(folder: ReceivingFolder, identity: ReceivedIdentity = FILE): Promise<PartialFile> {
  const partial = await folder.open(identity, 0);
  await partial.write(CONTENT);
  return partial;
}

/** Leaves ten verified bytes of a resumable file with an unknown hash. */
async function leave(folder: ReceivingFolder): Promise<void> {
  const partial = await arrived(folder, RESUMABLE);
  await partial.verified(null);
  await partial.keep();
}

test("a file whose SHA-256 isn't known yet is read once when it is complete", async () => {
  const { dir, folder } = await receiving();
  const partial = await arrived(folder);
  const checked: number[] = [];
  const file = await partial.finish("fail", null, (bytes) => checked.push(bytes));
  expect(file).toEqual({ name: "a.bin", path: join(dir, "a.bin"), bytes: 10, sha256: sha256Of(CONTENT) });
  expect(checked).toEqual([10]);
  expect(await readdir(dir)).toEqual(["a.bin"]);
});

test("a file that became shorter before it was read is FILE_ERROR, and isn't published", async () => {
  const { dir, folder } = await receiving(opening(() => ({ read: async () => 0 })));
  const partial = await arrived(folder);
  await expect(partial.finish("fail", null, nothing)).rejects.toMatchObject({
    codeName: "FILE_ERROR",
    message: "Cannot receive 'a.bin': the file became shorter",
  });
  await partial.discard();
  expect(await readdir(dir)).toEqual([]);
});

test("a file system without links refuses the file with the system's error, and nothing is left", async () => {
  const { dir, folder } = await receiving({ link: failing("ENOTSUP") });
  const partial = await arrived(folder);
  await expect(partial.finish("rename", sha256Of(CONTENT), nothing)).rejects.toMatchObject({
    codeName: "FILE_ERROR",
    message: "Cannot receive 'a.bin': ENOTSUP",
  });
  await partial.discard();
  expect(await readdir(dir)).toEqual([]);
});

test("a name of which all 9999 numbers are taken is FILE_EXISTS", async () => {
  const tried: string[] = [];
  const { dir, folder } = await receiving({
    link(_part, name) {
      tried.push(diskFiles.nameOf(name));
      return Promise.reject(systemError("EEXIST"));
    },
  });
  const partial = await arrived(folder);
  await expect(partial.finish("rename", sha256Of(CONTENT), nothing)).rejects.toMatchObject({ codeName: "FILE_EXISTS" });
  expect([tried.length, tried[1], tried.at(-1)]).toEqual([9999, "a (2).bin", "a (9999).bin"]);
  await partial.discard();
  expect(await readdir(dir)).toEqual([]);
});

test("a file that has ended takes no bytes", async () => {
  const { folder } = await receiving();
  const partial = await arrived(folder);
  await partial.discard();
  await expect(partial.write(CONTENT)).rejects.toMatchObject({
    codeName: "INVALID_STATE",
    message: "Cannot receive 'a.bin': the file is closed",
  });
});

test("a folder where nothing can be made refuses the file with the system's error", async () => {
  const { dir, folder } = await receiving({ open: failing("EROFS") });
  await expect(folder.open(FILE, 0)).rejects.toMatchObject({
    codeName: "PERMISSION_DENIED",
    message: "Cannot receive 'a.bin': the disk can only be read (EROFS)",
  });
  expect(await readdir(dir)).toEqual([]);
  expect(folder.context.active.size).toBe(0);
});

test("a folder for unfinished files that another process removes is made again", async () => {
  let removals = 3;
  const { dir, folder } = await receiving({
    async open(path, mode) {
      if (removals > 0) await diskFiles.removeFolder(diskFiles.folderOf(path));
      removals -= 1;
      return await diskFiles.open(path, mode);
    },
  });
  const partial = await arrived(folder);
  await partial.finish("fail", sha256Of(CONTENT), nothing);
  expect(await readdir(dir)).toEqual(["a.bin"]);
});

test("a folder for unfinished files that is always removed is NOT_FOUND in the end", async () => {
  const { folder } = await receiving({ open: failing("ENOENT") });
  await expect(folder.open(FILE, 0)).rejects.toMatchObject({ codeName: "NOT_FOUND" });
});

test("a new file takes few operations on the disk beside its bytes", async () => {
  let operations = 0;
  const counted = Object.entries(diskFiles).map(([name, operate]: [string, (...given: unknown[]) => unknown]) => [
    name,
    (...given: unknown[]) => {
      const result = operate(...given);
      if (result instanceof Promise) operations += 1;
      return result;
    },
  ]);
  const { folder } = await receiving(Object.fromEntries(counted));
  await (await arrived(folder, RESUMABLE)).finish("fail", sha256Of(CONTENT), nothing);
  expect(operations).toBeLessThanOrEqual(8);
});

test.each([
  ["a file and the rest of its first state", [".part", ".json.new"]],
  ["a state and the rest of the next one", [".json", ".json.new"]],
  ["all of these", [".part", ".json", ".json.new"]],
])("%s, which a crash left, go with the file", async (_, left) => {
  const { dir, partials, folder } = await receiving();
  await mkdir(partials);
  for (const end of left) await writeFile(join(partials, `${folder.idOf(RESUMABLE)}${end}`), "more than ten bytes");
  await (await arrived(folder, RESUMABLE)).finish("fail", sha256Of(CONTENT), nothing);
  expect(await readdir(dir)).toEqual(["a.bin"]);
  expect(await readFile(join(dir, "a.bin"))).toEqual(Buffer.from(CONTENT));
});

test("an unfinished file whose hash isn't known continues, and is read once at the end", async () => {
  const { dir, folder } = await receiving();
  await leave(folder);
  expect(await folder.find(RESUMABLE)).toEqual({ bytes: 10, modifiedMs: 5, verified: 10, sha256: null });
  const partial = await folder.open(RESUMABLE, 10);
  expect(partial.whole).toBeNull();
  expect(await partial.finish("fail", null, nothing)).toMatchObject({ sha256: sha256Of(CONTENT) });
  expect(await readdir(dir)).toEqual(["a.bin"]);
});

test.each([
  ["cut off", '{"bytes":10,'],
  ["a list", "[1]"],
  ["null", "null"],
  ["without a verified length", '{"bytes":10,"modifiedMs":5,"sha256":null}'],
  ["with a negative length", '{"bytes":10,"modifiedMs":5,"verified":-1,"sha256":null}'],
  ["with a size that is text", '{"bytes":"10","modifiedMs":5,"verified":1,"sha256":null}'],
  ["with a time that is text", '{"bytes":10,"modifiedMs":"5","verified":1,"sha256":null}'],
  ["with a SHA-256 that is none", '{"bytes":10,"modifiedMs":5,"verified":1,"sha256":"0"}'],
  ["of more bytes than there are", '{"bytes":10,"modifiedMs":5,"verified":11,"sha256":null}'],
])("an unfinished file with a state that is %s begins anew", async (_, text) => {
  const { dir, partials, folder } = await receiving();
  await leave(folder);
  await writeFile(join(partials, `${folder.idOf(RESUMABLE)}.json`), text);
  expect(await folder.find(RESUMABLE)).toBeNull();
  await (await arrived(folder, RESUMABLE)).finish("fail", sha256Of(CONTENT), nothing);
  expect(await readdir(dir)).toEqual(["a.bin"]);
  expect(await readFile(join(dir, "a.bin"))).toEqual(Buffer.from(CONTENT));
});

test("a state that can't be read is the system's error, not a file that restarts", async () => {
  const { dir, folder } = await receiving();
  await leave(folder);
  const unreadable = new ReceivingFolder(transfersWith({ open: failing("EACCES") }), dir);
  await expect(unreadable.find(RESUMABLE)).rejects.toMatchObject({ codeName: "PERMISSION_DENIED" });
});

test("an unfinished file that can't be removed is the system's error", async () => {
  const { dir, folder } = await receiving();
  await leave(folder);
  const stuck = new ReceivingFolder(transfersWith({ remove: failing("EBUSY") }), dir);
  const partial = stuck.open(RESUMABLE, 0);
  await expect(partial).rejects.toMatchObject({ codeName: "FILE_ERROR", message: "Cannot receive 'a.bin': EBUSY" });
  expect(stuck.context.active.size).toBe(0);
});

test("a folder for unfinished files that can't be removed stays, and the file is received all the same", async () => {
  const { dir, folder } = await receiving({ removeFolder: failing("EBUSY") });
  const partial = await arrived(folder);
  await partial.finish("fail", sha256Of(CONTENT), nothing);
  expect((await readdir(dir)).sort()).toEqual([".netconduit", FILE.name]);
  expect(folder.context.active.size).toBe(0);
});

test("a fault of this program while that folder is removed isn't hidden", async () => {
  const fault = new TypeError("not a system's error");
  const { folder } = await receiving({ removeFolder: () => Promise.reject(fault) });
  await expect(folder.removeIfEmpty()).rejects.toBe(fault);
});

test("only what nobody has continued for long enough expires", async () => {
  const { dir, partials, clock, folder } = await receiving();
  await leave(folder);
  const old = join(partials, `${"f".repeat(32)}.part`);
  await writeFile(old, "");
  await utimes(old, new Date(0), new Date(0));
  const nextMs = await folder.expire(HOUR_MS);
  expect(nextMs).toBeGreaterThan(0);
  expect(nextMs).toBeLessThanOrEqual(HOUR_MS);
  const id = folder.idOf(RESUMABLE);
  expect((await readdir(partials)).sort()).toEqual([`${id}.json`, `${id}.part`]);
  clock.ms = 2 * HOUR_MS;
  expect(await folder.expire(HOUR_MS)).toBeNull();
  expect(await readdir(dir)).toEqual([]);
});

test("an unfinished file that is being received, and a folder beside it, don't expire", async () => {
  const { dir, partials, folder } = await receiving();
  const partial = await arrived(folder);
  await mkdir(join(partials, "folder"));
  await folder.expire(0);
  expect(await partial.finish("fail", sha256Of(CONTENT), nothing)).toMatchObject({ name: "a.bin" });
  expect((await readdir(dir)).sort()).toEqual([PARTIALS, "a.bin"]);
});

test("a folder for unfinished files that goes while it is cleaned up has nothing to clean", async () => {
  const { partials, folder } = await receiving({ names: failing("ENOENT") });
  await mkdir(partials);
  await expect(folder.expire(0)).resolves.toBeNull();
});

test("a folder for unfinished files that can't be read isn't cleaned up: the system's error is passed on", async () => {
  const { partials, folder } = await receiving({ names: failing("EACCES") });
  await mkdir(partials);
  await expect(folder.expire(0)).rejects.toMatchObject({ code: "EACCES" });
});

test("a file that is complete leaves the folder for unfinished files to another one that still arrives", async () => {
  const { dir, folder } = await receiving();
  const [one, other] = [await arrived(folder), await arrived(folder, { ...FILE, name: "b.bin" })];
  await one.finish("fail", sha256Of(CONTENT), nothing);
  await other.finish("fail", sha256Of(CONTENT), nothing);
  expect((await readdir(dir)).sort()).toEqual(["a.bin", "b.bin"]);
});

test("files that arrive in two folders don't keep each other's", async () => {
  const [dir, otherDir] = [await temporaryFolder(), await temporaryFolder()];
  const transfers = transfersWith();
  const [folder, other] = [new ReceivingFolder(transfers, dir), new ReceivingFolder(transfers, otherDir)];
  const [one, two] = [await arrived(folder), await arrived(other)];
  await two.finish("fail", sha256Of(CONTENT), nothing);
  expect(await readdir(otherDir)).toEqual(["a.bin"]);
  await one.discard();
  expect(await readdir(dir)).toEqual([]);
});

test("another attempt to receive a file waits until the first one has kept what it has, and that one ends", async () => {
  const { dir, folder } = await receiving();
  const first = await arrived(folder, RESUMABLE);
  await first.verified(null);
  first.onInterrupt = () => void first.keep();
  const second = await folder.open(RESUMABLE, 10);
  await expect(first.write(CONTENT)).rejects.toMatchObject({ codeName: "CANCELLED" });
  await second.finish("fail", sha256Of(CONTENT), nothing);
  expect(await readdir(dir)).toEqual(["a.bin"]);
});

test("marks without new bytes between them write nothing to the disk, also at the start", async () => {
  let synced = 0;
  const changes = opening((file) => {
    const { sync } = file;
    return {
      async sync() {
        synced += 1;
        await sync.call(file);
      },
    };
  });
  const { folder, clock } = await receiving(changes);
  const partial = await folder.open(RESUMABLE, 0);
  for (let mark = 0; mark < 5; mark += 1) await partial.verified(null);
  expect(synced).toBe(0);
  await partial.write(CONTENT);
  await partial.verified(null);
  const [file, state] = [1, 1];
  expect(synced).toBe(file + state);
  clock.ms = HOUR_MS;
  await partial.verified(null);
  expect(synced).toBe(file + state);
  await partial.discard();
});

test("the next free number of a name is found by few look-ups, however many are taken", async () => {
  let asked = 0;
  const counted =
    <Args extends unknown[], Result>(operation: (...args: Args) => Result) =>
    (...args: Args): Result => {
      asked += 1;
      return operation(...args);
    };
  const { dir, folder } = await receiving({ facts: counted(diskFiles.facts), link: counted(diskFiles.link) });
  await writeFile(join(dir, "a.bin"), "");
  for (let number = 2; number <= 1000; number += 1) await writeFile(join(dir, `a (${number}).bin`), "");
  const partial = await arrived(folder);
  asked = 0;
  expect(await partial.finish("rename", sha256Of(CONTENT), nothing)).toMatchObject({ name: "a (1001).bin" });
  expect(asked).toBeLessThan(30);
});
