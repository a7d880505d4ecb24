import { DatabaseSync } from "node:sqlite";
import { afterEach, expect, test } from "vitest";
import { ErrorCode } from "../errors.ts";
import { type FileStore, openSqliteStore } from "./sqlite-store.ts";

const MAX_BYTES: number = 1024 * 1024;
const TTL_MS = 2000;

let store: FileStore | null = null;
afterEach(() => store?.close());

/** A store in memory, with a clock, and a way to have a burst of values created. */
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
