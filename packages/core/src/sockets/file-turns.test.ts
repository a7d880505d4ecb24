import { nextTick } from "node:process";
import { setImmediate } from "node:timers/promises";
import { expect, test } from "vitest";
import { FileTurns, filesInTurns } from "./file-turns.ts";

/** Creates turns of 2 ms, with a clock advanced by operations and their work. */
function scene() {
  let nowMs = 100;
  const later: (() => void)[] = [];
  const turns = new FileTurns({ now: () => nowMs, turnMs: 2, nextTurn: (task) => void later.push(task), nextTick });
  const continued: string[] = [];
  return {
    turns,
    continued,
    pass(ms: number): void {
      nowMs += ms;
    },
    /** Runs an operation that ends immediately and is followed by work. */
    async end(name: string, workMs: number): Promise<void> {
      await turns.run(async () => undefined);
      continued.push(name);
      nowMs += workMs;
    },
    /** Runs the next turn if one was requested. Returns whether it was. */
    async nextTurn(): Promise<boolean> {
      const task = later.shift();
      task?.();
      await setImmediate();
      return task !== undefined;
    },
  };
}

test("operations that end in a turn continue in it until its time is over, the others in later turns, in order", async () => {
  const { continued, end, nextTurn } = scene();
  const ends = ["a", "b", "c", "d", "e", "f"].map((name) => end(name, 1));
  await setImmediate();
  expect(continued).toEqual(["a", "b"]);
  expect(await nextTurn()).toBe(true);
  expect(continued).toEqual(["a", "b", "c", "d"]);
  expect(await nextTurn()).toBe(true);
  await Promise.all(ends);
  expect(continued).toEqual(["a", "b", "c", "d", "e", "f"]);
});

test("operations one after the other take no longer, either", async () => {
  const { continued, end, nextTurn } = scene();
  const all = (async () => {
    for (let n = 0; n < 7; n += 1) await end(String(n), 1);
  })();
  const perTurn: number[] = [];
  do {
    await setImmediate();
    perTurn.push(continued.length);
  } while (await nextTurn());
  await all;
  expect(perTurn).toEqual([2, 4, 6, 7]);
});

test("an operation that ends after a pause continues at once", async () => {
  const { continued, end, pass, nextTurn } = scene();
  for (let n = 0; n < 10; n += 1) {
    await end(String(n), 0);
    await setImmediate();
    pass(0.25);
  }
  expect([continued.length, await nextTurn()]).toEqual([10, false]);
});

test("an operation that fails has its turn, too", async () => {
  const { turns, end, nextTurn } = scene();
  await end("a", 2);
  let failure: unknown = null;
  const failed = turns.run(() => Promise.reject(new Error("failed")));
  failed.catch((error: unknown) => {
    failure = error;
  });
  await setImmediate();
  expect(failure).toBe(null);
  await nextTurn();
  await expect(failed).rejects.toThrow("failed");
});

/** Returns an object that records all calls of its methods. */
function noting(asked: unknown[], returned: Record<string, unknown> = {}) {
  return new Proxy(
    {},
    {
      get: (_, name) =>
        name === "then"
          ? undefined
          : async (...given: unknown[]): Promise<unknown> => {
              asked.push([name, ...given]);
              return returned[String(name)];
            },
    },
  );
}

test("every operation has its turn, and its arguments", async () => {
  const { turns } = scene();
  let runs = 0;
  const { run } = turns;
  turns.run = (operation) => {
    runs += 1;
    return run.call(turns, operation) as never;
  };
  const asked: unknown[] = [];
  const files = filesInTurns(noting(asked, { open: noting(asked) }) as never, turns);
  const file = await files.open("a", 1, 2);
  const [exact, bytes] = [{ bigint: true } as const, new Uint8Array(1)];
  await Promise.all([
    file.stat(exact),
    file.read(bytes, 0, 1, 2),
    file.write(bytes, 0, 1, 2),
    file.truncate(3),
    file.sync(),
    file.close(),
    files.lstat("a", exact),
    files.stat("a", exact),
    files.readdir("a"),
    files.mkdir("a", { mode: 1 }),
    files.rmdir("a"),
    files.link("a", "b"),
    files.rename("a", "b"),
    files.unlink("a"),
  ]);
  expect(asked).toEqual([
    ["open", "a", 1, 2],
    ["stat", exact],
    ["read", bytes, 0, 1, 2],
    ["write", bytes, 0, 1, 2],
    ["truncate", 3],
    ["sync"],
    ["close"],
    ["lstat", "a", exact],
    ["stat", "a", exact],
    ["readdir", "a"],
    ["mkdir", "a", { mode: 1 }],
    ["rmdir", "a"],
    ["link", "a", "b"],
    ["rename", "a", "b"],
    ["unlink", "a"],
  ]);
  expect(runs).toBe(asked.length);
});
