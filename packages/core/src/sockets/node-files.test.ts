import { createHash } from "node:crypto";
import * as fs from "node:fs/promises";
import * as path from "node:path";
import { expect, test } from "vitest";
import { systemError, temporaryFolder } from "../test-support/file-scene.ts";
import { type NodeFileSystem, nodeFiles } from "./node-files.ts";

/** Returns files on disk, with some operations replaced. */
function filesWith(changes: Partial<NodeFileSystem>) {
  return nodeFiles({ ...fs, ...changes }, path, createHash);
}

function failing(code: string) {
  return () => Promise.reject(systemError(code));
}

test("a file that is exchanged while it is opened is refused, and its handle is closed", async () => {
  const dir = await temporaryFolder();
  const [name, other] = [path.join(dir, "a"), path.join(dir, "b")];
  await fs.writeFile(name, "1");
  await fs.writeFile(other, "2");
  let [opened, closed] = [0, 0];
  const files = filesWith({
    lstat: (file, options) => fs.lstat(opened === 0 ? file : other, options),
    async open(file, flags, mode) {
      const handle = await fs.open(file, flags, mode);
      opened += 1;
      const close = handle.close.bind(handle);
      return Object.assign(handle, {
        async close() {
          closed += 1;
          await close();
        },
      });
    },
  });
  await expect(files.open(name, "read")).rejects.toMatchObject({
    name: "NotRegularFile",
    message: "The file was exchanged while it was opened",
  });
  expect([opened, closed]).toEqual([1, 1]);
});

test("a system without O_NOFOLLOW and O_NONBLOCK opens files without them, and still refuses links", async () => {
  const dir = await temporaryFolder();
  const { O_RDONLY, O_RDWR, O_CREAT, O_EXCL } = fs.constants;
  const flags: number[] = [];
  const files = filesWith({
    constants: { O_RDONLY, O_RDWR, O_CREAT, O_EXCL },
    open(file, flag, mode) {
      flags.push(flag);
      return fs.open(file, flag, mode);
    },
  });
  const name = path.join(dir, "a");
  await (await files.open(name, "create")).close();
  await (await files.open(name, "write")).close();
  await (await files.open(name, "read")).close();
  expect(flags).toEqual([O_RDWR | O_CREAT | O_EXCL, O_RDWR, O_RDONLY]);
  await fs.symlink(name, path.join(dir, "link"));
  await expect(files.open(path.join(dir, "link"), "read")).rejects.toMatchObject({ name: "NotRegularFile" });
});

test("only a missing file has no facts: another error of the system is passed on", async () => {
  const dir = await temporaryFolder();
  expect(await filesWith({}).facts(path.join(dir, "none"))).toBeNull();
  await expect(filesWith({ lstat: failing("EACCES") }).facts(dir)).rejects.toMatchObject({ code: "EACCES" });
});

test("an error without a code is passed on as it is", async () => {
  const error = new Error("no code");
  const files = filesWith({ lstat: () => Promise.reject(error), mkdir: () => Promise.reject(null) });
  await expect(files.facts("a")).rejects.toBe(error);
  await expect(files.makeFolder("a")).rejects.toBeNull();
});

test("a path is no folder if nothing is there, or a file in its middle: another error is passed on", async () => {
  const dir = await temporaryFolder();
  await fs.writeFile(path.join(dir, "a"), "");
  const files = filesWith({});
  expect(await files.isFolder(dir)).toBe(true);
  expect(await files.isFolder(path.join(dir, "none"))).toBe(false);
  expect(await files.isFolder(path.join(dir, "a", "b"))).toBe(false);
  await expect(filesWith({ stat: failing("EIO") }).isFolder(dir)).rejects.toMatchObject({ code: "EIO" });
});

test("a folder that is there needn't be made: another error is passed on", async () => {
  const dir = await temporaryFolder();
  await filesWith({}).makeFolder(dir);
  await expect(filesWith({ mkdir: failing("ENOSPC") }).makeFolder("a")).rejects.toMatchObject({ code: "ENOSPC" });
});

test.each(["EISDIR", "EPERM", "EACCES", "EINVAL", "ENOTSUP"])(
  "a folder on a system that can't sync folders (%s) counts as synced",
  async (code) => {
    await expect(filesWith({ open: failing(code) }).syncFolder("a")).resolves.toBeUndefined();
  },
);

test("a folder that can't be synced for a fault of the disk rejects with it", async () => {
  await expect(filesWith({ open: failing("EIO") }).syncFolder("a")).rejects.toMatchObject({ code: "EIO" });
});

test("bytes that the system writes in several steps all arrive", async () => {
  const dir = await temporaryFolder();
  const files = filesWith({
    async open(file, flags, mode) {
      const handle = await fs.open(file, flags, mode);
      const write = handle.write.bind(handle);
      return Object.assign(handle, {
        write: (bytes: Uint8Array, at: number, length: number, position: number) =>
          write(bytes, at, Math.min(3, length), position),
      }) as never;
    },
  });
  const name = path.join(dir, "a");
  const file = await files.open(name, "create");
  await file.write(new TextEncoder().encode("0123456789"), 0);
  await file.close();
  expect(await fs.readFile(name, "utf8")).toBe("0123456789");
});
