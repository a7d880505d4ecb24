import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterEach, expect, onTestFinished, test } from "vitest";
import { ErrorCode } from "../errors.ts";
import { type FileStore, openSqliteStore } from "./sqlite-store.ts";

const MAX_BYTES: number = 1024 * 1024;
const TTL_MS = 2000;

let store: FileStore | null = null;
afterEach(() => store?.close());

/** Creates an in-memory store with a clock, and a function that creates a burst of values. */
async function scene() {
  const clock = { ms: 0 };
  const opened = await openSqliteStore(
    {
      prepare: async () => undefined,
      open: () => new DatabaseSync(":memory:"),
      nextTurn: (task) => void setImmediate(task),
      now: () => clock.ms,
    },
    ":memory:",
    { maxBytes: MAX_BYTES },
  );
  store = opened;
  let count = 0;
  const burst = (size: number): Promise<PromiseSettledResult<boolean>[]> =>
    Promise.allSettled(
      Array.from({ length: size }, () => opened.create(`once/${count++}`, new Uint8Array(60), TTL_MS)),
    );
  return { clock, burst };
}

const failures = (results: readonly PromiseSettledResult<unknown>[]): unknown[] =>
  results.flatMap((result) => (result.status === "rejected" ? [result.reason] : []));

test("a file store has room for ever if what is alive has", async () => {
  const { clock, burst } = await scene();
  for (let second = 0; second < 60; second += 1) {
    expect(failures(await burst(500))).toEqual([]);
    clock.ms += 1000;
  }
});

test("a file store that was full has room again when what it kept has expired", async () => {
  const { clock, burst } = await scene();
  let failed: unknown[] = [];
  while (failed.length === 0) failed = failures(await burst(500));
  expect(failed[0]).toMatchObject({ code: ErrorCode.STORE_FULL });
  clock.ms += TTL_MS;
  expect(failures(await burst(500))).toEqual([]);
});

test("reads are answered although writes of the same turn have no room", async () => {
  const { burst } = await scene();
  let failed: unknown[] = [];
  while (failed.length === 0) failed = failures(await burst(500));
  const read = store?.get("once/0");
  expect(failures(await burst(500))).toHaveLength(500);
  expect(await read).toEqual(new Uint8Array(60));
});

const HOST = {
  prepare: async () => undefined,
  open: () => new DatabaseSync(":memory:"),
  nextTurn: setImmediate,
  now: () => 0,
};

test.each(["", undefined])("a file store with the path %j is INVALID_CONFIG, and says what to do", async (path) => {
  await expect(openSqliteStore(HOST, path as string)).rejects.toMatchObject({
    code: ErrorCode.INVALID_CONFIG,
    message: `A store needs the path of its file, got ${JSON.stringify(path)}: await fileStore("netconduit.db")`,
  });
});

test.each([
  ["fsync", { fsync: "always" }],
  ["maxBytes", { maxBytes: 10 }],
  ["maxBytes", { maxBytes: Number.NaN }],
])("a file store with an invalid %s is INVALID_CONFIG", async (option, options) => {
  await expect(openSqliteStore(HOST, "a.db", options as object)).rejects.toMatchObject({
    code: ErrorCode.INVALID_CONFIG,
    message: expect.stringContaining(option),
  });
});

test("a database of another program is refused, and stays as it is", async () => {
  const database = new DatabaseSync(":memory:");
  database.exec("CREATE TABLE orders (id INTEGER)");
  let isClosed = false;
  const open = (): DatabaseSync =>
    Object.assign(Object.create(database), {
      prepare: database.prepare.bind(database),
      exec: database.exec.bind(database),
      close: () => {
        isClosed = true;
      },
    }) as DatabaseSync;
  await expect(openSqliteStore({ ...HOST, open }, "orders.db")).rejects.toMatchObject({
    code: ErrorCode.STORE_FAILED,
    message: expect.stringContaining("another program's database"),
  });
  expect(isClosed).toBe(true);
  expect(database.prepare("SELECT name FROM sqlite_master").all()).toEqual([{ name: "orders" }]);
});

test.each([
  ["checkpoint", 1],
  ["commit", 2],
  [undefined, 1],
] as const)("with fsync %j, SQLite's synchronous is %i", async (fsync, synchronous) => {
  const database = new DatabaseSync(":memory:");
  store = await openSqliteStore({ ...HOST, open: () => database }, "a.db", { fsync });
  expect(database.prepare("PRAGMA synchronous").get()).toEqual({ synchronous });
});

test("what was asked for is done before the store closes, and later requests are refused", async () => {
  const opened = await openSqliteStore(HOST, "a.db");
  const value = new Uint8Array([1]);
  const requests = [opened.create("a", value, TTL_MS), opened.get("a")];
  await opened.close();
  expect(await Promise.all(requests)).toEqual([true, value]);
  await expect(opened.get("a")).rejects.toMatchObject({ code: ErrorCode.STORE_FAILED });
});

test("values last as long after the file is opened again, whatever the host's clock says then", async () => {
  const folder = mkdtempSync(join(tmpdir(), "netconduit-store-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const path = join(folder, "a.db");
  const value = new Uint8Array([1]);
  for (const startMs of [5000, 1_000_000, 0]) {
    let nowMs = startMs;
    const opened = await openSqliteStore({ ...HOST, open: () => new DatabaseSync(path), now: () => nowMs }, path);
    const found = await opened.get("a");
    expect(found, `a clock that begins at ${startMs}`).toEqual(startMs === 5000 ? null : value);
    await opened.put("a", value, TTL_MS);
    nowMs += TTL_MS - 1;
    expect(await opened.get("a")).toEqual(value);
    nowMs += 1;
    expect(await opened.get("a")).toBeNull();
    await opened.put("a", value, TTL_MS);
    await opened.close();
  }
});

test.each([
  [261, "STORE_IN_USE"],
  [1032, "STORE_FAILED"],
  [13, "STORE_FULL"],
  [266, "STORE_FAILED"],
])("SQLite's extended error %i is %s", async (errcode, codeName) => {
  const open = (): DatabaseSync => {
    throw Object.assign(new Error("refused"), { errcode });
  };
  await expect(openSqliteStore({ ...HOST, open }, "a.db")).rejects.toMatchObject({ codeName });
});
