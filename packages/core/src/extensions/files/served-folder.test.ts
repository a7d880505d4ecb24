import { mkdir, readdir, rm, stat, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { ConduitError, ErrorCode, RpcError } from "../../errors.ts";
import { AccessControl } from "../../rpc/access.ts";
import type { HandlerContext } from "../../rpc/incoming-request.ts";
import {
  diskFiles,
  opening,
  sha256Of,
  systemError,
  temporaryFolder,
  transfersWith,
} from "../../test-support/file-scene.ts";
import type { FileTransfers } from "./file-transfers.ts";
import { type FolderOptions, parseFolderOptions } from "./folder-options.ts";
import { ServedFolder } from "./served-folder.ts";

const CONTENT = new TextEncoder().encode("0123456789");
const END = { at: 10, sha256: sha256Of(CONTENT), end: true };
const UPLOAD = { name: "a.bin", bytes: 10, modified: 5, resume: false, offset: 0 };

type Context = HandlerContext<unknown>;

async function* items(...values: unknown[]) {
  yield* values;
}

/** Serves a folder with all permissions, and records what the application is notified of. */
async function served(options: Partial<FolderOptions> = {}, transfers: FileTransfers = transfersWith()) {
  const dir = await temporaryFolder();
  const heard: unknown[] = [];
  const config = parseFolderOptions("box", { dir, upload: true, download: true, remove: true, ...options });
  const folder = new ServedFolder("box", config, {
    access: new AccessControl(),
    transfers,
    received: (_peer, { name, bytes }) => heard.push(["received", name, bytes]),
    sent: (_peer, { name, bytes, sha256 }) => heard.push(["sent", name, bytes, sha256]),
    failed: (_peer, method, error) => heard.push(["failed", method, (error as Error).message]),
  });
  const contextOf = (client: unknown, input: unknown[] = []) =>
    ({ client, method: "a method", input: items(...input), progress: () => undefined }) as unknown as Context;
  return { dir, folder, heard, contextOf, context: contextOf({}) };
}

test.each<[string, Record<string, unknown>, string, RegExp]>([
  ["a name that isn't text", { name: 7 }, "INVALID_FILE_NAME", /The file name 7/],
  ["half a byte", { bytes: 0.5 }, "INVALID_PARAMS", /bytes must be a whole number or null/],
  ["no size", { bytes: undefined }, "INVALID_PARAMS", /bytes must be a whole number or null/],
  ["a time that is text", { modified: "now" }, "INVALID_PARAMS", /modified must be a whole number or null/],
  ["a negative offset", { offset: -1 }, "INVALID_PARAMS", /offset must be a whole number of bytes/],
  ["no offset", { offset: undefined }, "INVALID_PARAMS", /offset must be a whole number of bytes/],
])("an upload with %s is refused, and nothing is left of it", async (_, change, codeName, message) => {
  const { dir, folder, heard, contextOf } = await served();
  const upload = folder.upload({ ...UPLOAD, ...change }, contextOf({}, [CONTENT, END]));
  await expect(upload).rejects.toMatchObject({ codeName, message: expect.stringMatching(message) });
  expect(await readdir(dir)).toEqual([]);
  expect(heard).toEqual([]);
});

test("an upload at an offset where nothing was verified is WRONG_OFFSET, which says where it can continue", async () => {
  const { dir, folder, contextOf } = await served();
  const upload = folder.upload({ ...UPLOAD, resume: true, offset: 4 }, contextOf({}, [CONTENT, END]));
  await expect(upload).rejects.toMatchObject({ codeName: "WRONG_OFFSET", details: { offset: 0 } });
  expect(await readdir(dir)).toEqual([]);
});

test("authorize that returns something else than true or false is a mistake of the program, and lets nobody in", async () => {
  const { folder, context } = await served({ authorize: (() => "yes") as never });
  await expect(folder.stat({ name: "a.bin" }, context)).rejects.toMatchObject({
    codeName: "INVALID_RESULT",
    message: "authorize of folder 'box' must return true or false, got \"yes\"",
  });
  const silent = await served({ authorize: (() => undefined) as never });
  await expect(silent.folder.stat({ name: "a.bin" }, silent.context)).rejects.toMatchObject({
    codeName: "PERMISSION_DENIED",
  });
});

test("an error of authorize isn't taken for one of the disk, whatever is asked for", async () => {
  const broken = new TypeError("The database of permissions is away");
  const authorize = (): boolean => {
    throw broken;
  };
  const { folder, heard, context } = await served({ authorize });
  const asked = { ...UPLOAD, resume: true };
  for (const request of [
    () => folder.offset(asked, context),
    () => folder.upload(asked, context),
    () => folder.download(asked, context).next(),
    () => folder.list({}, context).next(),
    () => folder.stat(asked, context),
    () => folder.remove(asked, context),
  ]) {
    await expect(request()).rejects.toBe(broken);
  }
  expect(heard).toEqual([]);
});

test("a user's upload is continued by that user alone, whatever names others state", async () => {
  const { folder, contextOf } = await served();
  const peer = (user: string, name: string, method = "scram") => ({ user: { name: user, method }, info: { name } });
  const part = CONTENT.subarray(0, 4);
  async function* lost() {
    yield part;
    yield { at: 4, sha256: sha256Of(part) };
    throw new RpcError(ErrorCode.CANCELLED, "Cancelled");
  }
  const resumed = { ...UPLOAD, resume: true };
  const upload = folder.upload(resumed, { ...contextOf(peer("ada", "laptop")), input: lost() as never });
  await expect(upload).rejects.toMatchObject({ codeName: "CANCELLED" });
  const offsetFor = async (client: unknown) => await folder.offset(resumed, contextOf(client));
  const stated = ["laptop", "ada", "user/ada", '["scram","ada"]'].map((name) => peer("", name));
  for (const other of [peer("bob", "laptop"), peer("ada", "laptop", "token"), ...stated]) {
    expect(await offsetFor(other)).toEqual({ offset: 0, sha256: null });
  }
  expect(await offsetFor(peer("ada", "phone"))).toEqual({ offset: 4, sha256: sha256Of(part) });
});

test("peers with and without a name continue only what a peer of their name sent", async () => {
  const { folder, contextOf } = await served();
  const named = (name: unknown) => ({ info: { name } });
  const part = CONTENT.subarray(0, 4);
  async function* lost() {
    yield part;
    yield { at: 4, sha256: sha256Of(part) };
    throw new RpcError(ErrorCode.CANCELLED, "Cancelled");
  }
  const resumed = { ...UPLOAD, resume: true };
  const breakingOff = (client: unknown) => folder.upload(resumed, { ...contextOf(client), input: lost() as never });
  await expect(breakingOff(named("one"))).rejects.toMatchObject({ codeName: "CANCELLED" });
  const offsetFor = async (client: unknown) => await folder.offset(resumed, contextOf(client));
  const found = { offset: 4, sha256: sha256Of(part) };
  const nothing = { offset: 0, sha256: null };
  expect(await offsetFor(named("one"))).toEqual(found);
  for (const other of [named("two"), named(undefined), { info: null }]) expect(await offsetFor(other)).toEqual(nothing);
  await expect(breakingOff({ info: null })).rejects.toMatchObject({ codeName: "CANCELLED" });
  expect(await offsetFor(named(undefined))).toEqual(found);
});

describe("an upload that is complete, asked for again,", () => {
  const TRANSFER = { ...UPLOAD, resume: true, transfer: "t1" };
  const ANSWER = { name: "a.bin", bytes: 10, sha256: sha256Of(CONTENT) };
  const again = { ...TRANSFER, offset: 10 };

  async function finished() {
    const clock = { ms: 0 };
    const the = await served({}, transfersWith({}, clock));
    expect(await the.folder.upload(TRANSFER, the.contextOf({}, [CONTENT, END]))).toEqual(ANSWER);
    return { ...the, clock };
  }

  test("has the same answer, and this side's application is notified once", async () => {
    const { folder, heard, context } = await finished();
    expect(await folder.offset(TRANSFER, context)).toEqual({ offset: 10, sha256: ANSWER.sha256 });
    expect(await folder.upload(again, context)).toEqual(ANSWER);
    expect(heard).toEqual([["received", "a.bin", 10]]);
  });

  test.each<[string, Record<string, unknown>, object]>([
    ["with another id", { transfer: "t2" }, {}],
    ["without an id", { transfer: undefined }, {}],
    ["of another time", { modified: 6 }, {}],
    ["from its start", { offset: 0 }, {}],
    ["by another peer", {}, { info: { name: "other" } }],
  ])("%s is FILE_EXISTS", async (_, change, peer) => {
    const { folder, contextOf } = await finished();
    const upload = folder.upload({ ...again, ...change }, contextOf(peer, [CONTENT, END]));
    await expect(upload).rejects.toMatchObject({ codeName: "FILE_EXISTS" });
  });

  test("begins at its start if the file was removed", async () => {
    const { dir, folder, context } = await finished();
    await rm(join(dir, "a.bin"));
    expect(await folder.offset(TRANSFER, context)).toEqual({ offset: 0, sha256: null });
  });

  test("after ten minutes is FILE_EXISTS", async () => {
    const { folder, context, clock } = await finished();
    clock.ms = 10 * 60_000 - 1;
    expect(await folder.upload(again, context)).toEqual(ANSWER);
    clock.ms += 1;
    await expect(folder.offset(TRANSFER, context)).rejects.toMatchObject({ codeName: "FILE_EXISTS" });
  });

  test.each(["", "x".repeat(65), 7])("with the id %j is INVALID_PARAMS", async (transfer) => {
    const { folder, context } = await served();
    await expect(folder.offset({ ...TRANSFER, transfer }, context)).rejects.toMatchObject({
      codeName: "INVALID_PARAMS",
      message: expect.stringContaining("transfer must be text of 1 to 64 characters"),
    });
  });
});

test("a download at an offset that is none begins at the start", async () => {
  const { dir, folder, heard, context } = await served();
  await writeFile(join(dir, "a.bin"), CONTENT);
  const { modified } = (await folder.stat({ name: "a.bin" }, context)) as { modified: number };
  for (const offset of [-1, 11, "4", null]) {
    const [header] = await allOf(folder.download({ name: "a.bin", bytes: 10, modified, offset }, context));
    expect(header).toEqual({ bytes: 10, modified, offset: 0, sha256: null });
  }
  expect(heard).toEqual(Array(4).fill(["sent", "a.bin", 10, sha256Of(CONTENT)]));
});

async function allOf(stream: AsyncIterable<unknown>): Promise<unknown[]> {
  const all: unknown[] = [];
  for await (const item of stream) all.push(item);
  return all;
}

test("a list leaves out folders, files that just went, and names that no peer may use", async () => {
  const names = ["a.bin", "folder", "gone.bin", "nul.txt", "a:b", ".netconduit"];
  const { dir, folder, context } = await served({}, transfersWith({ names: async () => names }));
  await writeFile(join(dir, "a.bin"), CONTENT);
  await mkdir(join(dir, "folder"));
  const lists = (await allOf(folder.list({}, context))) as { name: string }[][];
  expect(lists.map((entries) => entries.map(({ name }) => name))).toEqual([["a.bin"]]);
});

test("a long list arrives in pieces of 256 files", async () => {
  const transfers = transfersWith({
    names: async () => Array.from({ length: 600 }, (_, i) => `${i}.bin`),
    facts: async () => ({ kind: "file", bytes: 1, modifiedMs: 1, id: "1" }),
  });
  const { folder, context } = await served({}, transfers);
  const lists = (await allOf(folder.list({}, context))) as unknown[][];
  expect(lists.map(({ length }) => length)).toEqual([256, 256, 88]);
});

/** Reason of a caller's abort. */
const CANCELLED = new ConduitError(ErrorCode.CANCELLED, "cancelled");

test("a peer has four lists under way at most; others wait, without a trace if they are given up", async () => {
  let looks = 0;
  const { names } = diskFiles;
  const transfers = transfersWith({
    names: (path) => {
      looks += 1;
      return names(path);
    },
  });
  const { dir, folder, contextOf } = await served({}, transfers);
  await writeFile(join(dir, "a.bin"), CONTENT);
  const client = {};
  const lists = Array.from({ length: 4 }, () => folder.list({}, contextOf(client)));
  await Promise.all(lists.map((one) => one.next()));
  const late = new AbortController();
  const givenUp = folder.list({}, { ...contextOf(client), signal: late.signal } as never).next();
  const fifth = folder.list({}, contextOf(client));
  const begun = fifth.next();
  // Another peer's request doesn't wait.
  await allOf(folder.list({}, contextOf({})));
  expect(looks).toBe(5);
  late.abort(CANCELLED);
  await expect(givenUp).rejects.toBe(CANCELLED);
  await lists[0]?.return(undefined);
  expect((await begun).value).toMatchObject([{ name: "a.bin" }]);
  expect(looks).toBe(6);
});

test("an error of the disk in a list is reported to the peer and to this side's application", async () => {
  const { folder, heard, context } = await served(
    {},
    transfersWith({ names: () => Promise.reject(systemError("EIO")) }),
  );
  await expect(allOf(folder.list({}, context))).rejects.toMatchObject({ codeName: "FILE_ERROR" });
  expect(heard).toEqual([["failed", "a method", "Cannot list 'box': EIO"]]);
});

test("an error of the disk at one of a list's files is reported to the peer and to this side's application", async () => {
  const changes = { names: async () => ["a.bin"], facts: () => Promise.reject(systemError("EIO")) };
  const { folder, heard, context } = await served({}, transfersWith(changes));
  await expect(allOf(folder.list({}, context))).rejects.toMatchObject({ codeName: "FILE_ERROR" });
  expect(heard).toEqual([["failed", "a method", "Cannot list 'box': EIO"]]);
});

test("an error of the disk while a file is sent is reported to the peer and to this side's application", async () => {
  const transfers = transfersWith(opening(() => ({ read: () => Promise.reject(systemError("EIO")) })));
  const { dir, folder, heard, context } = await served({}, transfers);
  await writeFile(join(dir, "a.bin"), CONTENT);
  await expect(allOf(folder.download({ name: "a.bin" }, context))).rejects.toMatchObject({ codeName: "FILE_ERROR" });
  expect(heard).toEqual([["failed", "a method", "Cannot read 'a.bin': EIO"]]);
});

test("a full disk is reported to the peer and to this side's application, and nothing is left", async () => {
  const transfers = transfersWith(opening(() => ({ write: () => Promise.reject(systemError("ENOSPC")) })));
  const { dir, folder, heard, contextOf } = await served({}, transfers);
  const upload = folder.upload(UPLOAD, contextOf({}, [CONTENT, END]));
  await expect(upload).rejects.toMatchObject({
    codeName: "DISK_FULL",
    message: "Cannot receive 'a.bin': the disk is full (ENOSPC)",
  });
  expect(heard).toEqual([["failed", "a method", "Cannot receive 'a.bin': the disk is full (ENOSPC)"]]);
  expect(await readdir(dir)).toEqual([]);
});

test("an upload that was cancelled before its turn asks nothing of the disk", async () => {
  const asked: string[] = [];
  const transfers = transfersWith({
    facts: async (path) => {
      asked.push(path);
      return null;
    },
    open: async (path) => {
      asked.push(path);
      throw systemError("EIO");
    },
  });
  const { folder, heard, contextOf } = await served({ quotaBytes: 100 }, transfers);
  const cancelled = { ...contextOf({}, [CONTENT, END]), signal: AbortSignal.abort(CANCELLED) };
  await expect(folder.upload(UPLOAD, cancelled as never)).rejects.toBe(CANCELLED);
  expect([asked, heard]).toEqual([[], []]);
});

/** Watches a folder for created or removed entries. @returns whether there have been any since */
async function watched(dir: string): Promise<() => Promise<boolean>> {
  const long = new Date(0);
  await utimes(dir, long, long);
  return async () => (await stat(dir)).mtimeMs !== 0;
}

test("an upload for which the quota has no room changes nothing on the disk", async () => {
  const { dir, folder, contextOf } = await served({ quotaBytes: 4096 });
  await writeFile(join(dir, "b.bin"), CONTENT);
  const hasChanged = await watched(dir);
  const upload = folder.upload({ ...UPLOAD, resume: true }, contextOf({}, [CONTENT, END]));
  await expect(upload).rejects.toMatchObject({ codeName: "QUOTA_EXCEEDED" });
  expect(await hasChanged()).toBe(false);
});

test("an upload that is cancelled while the folder is measured changes nothing on the disk, and gives its room back", async () => {
  const measured = new AbortController();
  const names: typeof diskFiles.names = (path) => {
    measured.abort(CANCELLED);
    return diskFiles.names(path);
  };
  const { dir, folder, contextOf } = await served({ quotaBytes: 4096 }, transfersWith({ names }));
  const hasChanged = await watched(dir);
  const upload = folder.upload(UPLOAD, { ...contextOf({}, [CONTENT, END]), signal: measured.signal } as never);
  await expect(upload).rejects.toBe(CANCELLED);
  expect(await hasChanged()).toBe(false);
  expect(await folder.upload(UPLOAD, contextOf({}, [CONTENT, END]))).toMatchObject({ bytes: 10 });
});

describe("a peer with many transfers", () => {
  /** Counts the folder's open files. */
  function counting() {
    const open = { now: 0, most: 0 };
    const transfers = transfersWith(
      opening((file, path) => {
        if (path.endsWith(".json") || path.endsWith(".new")) return {};
        open.now += 1;
        open.most = Math.max(open.most, open.now);
        const { close } = file;
        const closed = async (): Promise<void> => {
          open.now -= 1;
          await close.call(file);
        };
        return { close: closed };
      }),
    );
    return { open, transfers };
  }

  test("has 64 files open at most; the others wait, and others' files don't", async () => {
    const { open, transfers } = counting();
    const { dir, folder, contextOf } = await served({}, transfers);
    await writeFile(join(dir, "a.bin"), CONTENT);
    const asked = { name: "a.bin", offset: 0, bytes: null, modified: null };
    const client = {};
    const downloads = Array.from({ length: 100 }, () => folder.download(asked, contextOf(client)));
    const begun = downloads.map((one) => one.next());
    await Promise.all(begun.slice(0, 64));
    expect(open.now).toBe(64);
    const other = folder.download(asked, contextOf({}));
    await other.next();
    await other.return(undefined);
    for (const [index, one] of downloads.entries()) {
      expect((await begun[index])?.value).toMatchObject({ bytes: 10 });
      await one.return(undefined);
    }
    expect(open).toEqual({ now: 0, most: 65 });
  });

  test("opens none for a transfer that it gave up while it waited", async () => {
    const { open, transfers } = counting();
    const { folder, contextOf } = await served({}, transfers);
    const client = {};
    const stalled = Promise.withResolvers<void>();
    async function* waiting() {
      await stalled.promise;
      yield CONTENT;
      yield END;
    }
    const uploads = Array.from({ length: 64 }, (_, index) =>
      folder.upload({ ...UPLOAD, name: `${index}.bin` }, { ...contextOf(client), input: waiting() as never }),
    );
    const signal = AbortSignal.abort(new ConduitError(ErrorCode.CONNECTION_CLOSED, "gone"));
    const late = folder
      .upload(UPLOAD, { ...contextOf(client, [CONTENT, END]), signal } as never)
      .catch((error: unknown) => error);
    stalled.resolve();
    await Promise.all(uploads);
    expect(await late).toBe(signal.reason);
    expect(open.now).toBe(0);
    expect(open.most).toBeLessThanOrEqual(64);
  });

  test("has its places back if files can't be opened", async () => {
    const { folder, contextOf } = await served();
    const client = {};
    const asked = { name: "missing.bin", offset: 0, bytes: null, modified: null };
    for (let n = 0; n < 100; n += 1) {
      await expect(folder.download(asked, contextOf(client)).next()).rejects.toMatchObject({ codeName: "NOT_FOUND" });
    }
    expect(await folder.upload(UPLOAD, contextOf(client, [CONTENT, END]))).toMatchObject({ bytes: 10 });
  });
});
