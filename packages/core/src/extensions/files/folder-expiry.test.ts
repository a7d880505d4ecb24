import { mkdir, readdir, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test, vi } from "vitest";
import { systemError, temporaryFolder, transfersWith } from "../../test-support/file-scene.ts";
import { ManualTimers } from "../../testing/manual-timers.ts";
import type { FileAccess } from "../../util/file-access.ts";
import { FolderExpiry } from "./folder-expiry.ts";
import { ReceivingFolder } from "./receiving-folder.ts";

const HOUR_MS = 60 * 60 * 1000;
const CONTENT = new TextEncoder().encode("0123456789");
const FILE = { name: "a.bin", owner: "", bytes: 10, modifiedMs: 5, isResumable: true };

/** Returns a folder whose unfinished files expire after an hour, and a clock controlled by the test. */
async function scene(changes: Partial<FileAccess> = {}) {
  const dir = await temporaryFolder();
  const timers = new ManualTimers();
  const clock = {
    get ms() {
      return timers.nowMs;
    },
  };
  const transfers = transfersWith(changes, clock, timers);
  const receiving = new ReceivingFolder(transfers, dir);
  const failed = vi.fn();
  const expiry = new FolderExpiry({ name: "box", receiving, transfers, expireMs: HOUR_MS, failed });
  const pass = (ms: number) => {
    for (const fire of timers.advance(ms)) fire();
  };
  return { dir, timers, receiving, expiry, failed, pass };
}

async function leave(receiving: ReceivingFolder): Promise<void> {
  const partial = await receiving.open(FILE, 0);
  await partial.write(CONTENT);
  await partial.verified(null);
  await partial.keep();
}

/** Leaves another process's unfinished file that is `ageMs` old. */
async function leaveOld(dir: string, ageMs: number): Promise<void> {
  const path = join(dir, ".netconduit", `${"f".repeat(32)}.part`);
  await mkdir(join(dir, ".netconduit"));
  await writeFile(path, "");
  await utimes(path, new Date(), new Date(Date.now() - ageMs));
}

const isEmpty = (dir: string) => vi.waitFor(async () => expect(await readdir(dir)).toEqual([]), { timeout: 60_000 });

test("an unfinished file goes by a timer, which doesn't keep the process running, if no client uses the folder", async () => {
  const { dir, timers, receiving, expiry, pass } = await scene();
  expiry.begin();
  await expiry.used();
  await leave(receiving);
  expiry.left();
  expect(timers.counts).toEqual({ count: 1, keepingAlive: 0 });
  pass(HOUR_MS - 1000);
  expect(await readdir(dir)).toEqual([".netconduit"]);
  pass(2000);
  await isEmpty(dir);
});

test("an unfinished file goes in its time, also if others are left meanwhile", async () => {
  const { dir, receiving, expiry, pass } = await scene();
  expiry.begin();
  await expiry.used();
  await leave(receiving);
  expiry.left();
  pass(HOUR_MS / 2);
  expiry.left();
  pass(HOUR_MS / 2 + 1000);
  await isEmpty(dir);
});

test("what an earlier process left goes when the folder is first served, or when it is old enough", async () => {
  for (const [ageMs, passes] of [
    [HOUR_MS, 0],
    [HOUR_MS / 2, 1],
  ] as const) {
    const { dir, timers, expiry, pass } = await scene();
    await leaveOld(dir, ageMs);
    expiry.begin();
    if (passes > 0) {
      await vi.waitFor(() => expect(timers.counts.count).toBe(1), { timeout: 60_000 });
      expect(await readdir(dir)).toEqual([".netconduit"]);
      pass(HOUR_MS);
    }
    await isEmpty(dir);
  }
});

test("a folder without unfinished files, and one that isn't served any more, has no timer", async () => {
  const { timers, expiry } = await scene();
  expiry.begin();
  await expiry.used();
  expect(timers.counts.count).toBe(0);
  expiry.end();
  expiry.left();
  expect(timers.counts.count).toBe(0);
});

test("use waits for a search under way, and begins one after a minute", async () => {
  let searches = 0;
  const { dir, expiry, pass } = await scene({
    names: async () => {
      searches += 1;
      return [];
    },
  });
  const searched = async (): Promise<number> => {
    await mkdir(join(dir, ".netconduit"), { recursive: true });
    await expiry.used();
    return searches;
  };
  await mkdir(join(dir, ".netconduit"));
  expiry.begin();
  await expiry.used();
  expect(searches).toBe(1);
  expect(await searched()).toBe(1);
  pass(60_000);
  expect(await searched()).toBe(2);
});

test("a search that fails is reported to this side's application, or to the peer that uses the folder", async () => {
  const { dir, expiry, failed } = await scene({ names: () => Promise.reject(systemError("EACCES")) });
  await mkdir(join(dir, ".netconduit"));
  expiry.begin();
  await vi.waitFor(() => expect(failed).toHaveBeenCalledOnce(), { timeout: 60_000 });
  expect(failed).toHaveBeenCalledWith(
    expect.objectContaining({
      codeName: "PERMISSION_DENIED",
      message: "Cannot clean up 'box': the system doesn't let this program (EACCES)",
    }),
  );
  const again = await scene({ names: () => Promise.reject(systemError("EACCES")) });
  await mkdir(join(again.dir, ".netconduit"));
  await expect(again.expiry.used()).rejects.toMatchObject({ codeName: "PERMISSION_DENIED" });
});
