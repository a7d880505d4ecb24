import { expect, test } from "vitest";
import { diskFiles } from "../../test-support/file-scene.ts";
import { gate } from "../../test-support/gate.ts";
import type { FileAccess } from "../../util/file-access.ts";
import { MIN_FILE_BYTES, Quota } from "./quota.ts";

const BLOCK = MIN_FILE_BYTES;

/** Returns an in-memory folder whose look-ups pause before the unfinished files until the test continues them. */
function folder(sizes: Record<string, number>) {
  let isOpen = gate();
  let lookUps = 0;
  const files = {
    ...diskFiles,
    facts: async (path: string) => {
      if (path in sizes) return { kind: "file", bytes: sizes[path] };
      return { kind: "folder", bytes: 0 };
    },
    names: async (path: string) => {
      lookUps += 1;
      if (path === "box/.netconduit") await isOpen.promise;
      return Object.keys(sizes).flatMap((one) => (diskFiles.folderOf(one) === path ? [diskFiles.nameOf(one)] : []));
    },
  } as unknown as FileAccess;
  return {
    sizes,
    get lookUps() {
      return lookUps / 2;
    },
    goOn: () => isOpen.open(),
    stop: () => {
      isOpen = gate();
    },
    begin: (quota: Quota, file: object, bytes: number, isActive: (path: string) => boolean = () => false) =>
      quota.begin(file, bytes, files, ["box", "box/.netconduit"], isActive),
  };
}

async function turns(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
}

test("a file that is complete while the folder is looked up for another one counts", async () => {
  const box = folder({});
  const quota = new Quota(10 * BLOCK);
  const [a, b] = [{}, {}];
  box.goOn();
  await box.begin(quota, a, 8 * BLOCK);
  box.stop();
  const begun = box.begin(quota, b, 8 * BLOCK).catch((error: unknown) => error);
  await turns();
  // The folder was already read; now the file is no longer in the other folder either.
  quota.end(a, true, true);
  box.goOn();
  expect(await begun).toMatchObject({ codeName: "QUOTA_EXCEEDED", details: { used: 8 * BLOCK } });
});

test("a part that stays counts, too, and one that doesn't leaves its room", async () => {
  for (const mayRemain of [true, false]) {
    const box = folder({});
    const quota = new Quota(10 * BLOCK);
    const a = {};
    box.goOn();
    await box.begin(quota, a, 8 * BLOCK);
    box.stop();
    const begun = box.begin(quota, {}, 8 * BLOCK).then(
      () => "begun",
      () => "refused",
    );
    await turns();
    quota.end(a, false, mayRemain);
    box.goOn();
    expect(await begun).toBe(mayRemain ? "refused" : "begun");
  }
});

test("files that begin together share a look-up, which begins no sooner than they do", async () => {
  const box = folder({ "box/a": 5 * BLOCK, "box/.netconduit/b.part": 4 * BLOCK });
  const quota = new Quota(20 * BLOCK);
  const first = box.begin(quota, {}, BLOCK);
  await turns();
  // Continues a partial file that the running look-up considers inactive.
  const isActive = (path: string): boolean => path === "box/.netconduit/b.part";
  const others = Array.from({ length: 10 }, (_, index) =>
    box.begin(quota, {}, index === 0 ? 5 * BLOCK : BLOCK, isActive),
  );
  box.goOn();
  await Promise.all([first, ...others]);
  expect(box.lookUps).toBe(2);
  await expect(box.begin(quota, {}, BLOCK, isActive)).rejects.toMatchObject({ codeName: "QUOTA_EXCEEDED" });
});

test("a look-up that fails is the error of those that wait for it alone", async () => {
  const box = folder({});
  const quota = new Quota(10 * BLOCK);
  const failing = quota
    .begin({}, 1, { ...diskFiles, facts: async () => Promise.reject(new Error("EIO")) }, ["box"], () => false)
    .catch((error: Error) => error.message);
  const next = box.begin(quota, {}, 10 * BLOCK);
  box.goOn();
  expect(await failing).toBe("EIO");
  await next;
});

test("empty files are bounded, those that are there as well as those that arrive", async () => {
  const box = folder({ "box/a": 0, "box/.netconduit/b.part": 0 });
  box.goOn();
  const quota = new Quota(4 * BLOCK);
  await box.begin(quota, {}, 0);
  await box.begin(quota, {}, 1);
  await expect(box.begin(quota, {}, 0)).rejects.toMatchObject({
    codeName: "QUOTA_EXCEEDED",
    details: { quota: 4 * BLOCK, used: 4 * BLOCK },
  });
});
