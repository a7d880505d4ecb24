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

test.each(["", undefined])("a file store with the path %j is INVALID_CONFIG, and says what to do", async (path) => {
  const host = {
    prepare: async () => undefined,
    open: () => new DatabaseSync(":memory:"),
    nextTurn: setImmediate,
    now: () => 0,
  };
  await expect(openSqliteStore(host, path as string)).rejects.toMatchObject({
    code: ErrorCode.INVALID_CONFIG,
    message: `A store needs the path of its file, got ${JSON.stringify(path)}: await fileStore("netconduit.db")`,
  });
});
