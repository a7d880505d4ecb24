import { expect, test } from "vitest";
import { FinishedUploads } from "./finished-uploads.ts";
import { TransferIds } from "./transfer-ids.ts";

const UPLOAD = { name: "a", bytes: 1, sha256: "", version: "" };

test("the last 1,000 complete uploads are remembered", async () => {
  const uploads = new FinishedUploads(() => 0);
  for (let i = 0; i <= 1000; i += 1) await uploads.add(`${i}`, Promise.resolve(UPLOAD));
  expect(await Promise.all(["0", "1", "1000"].map((id) => uploads.find(id)))).toEqual([null, UPLOAD, UPLOAD]);
});

test("a look-up waits for the attempt under way, and finds nothing if that fails", async () => {
  const uploads = new FinishedUploads(() => 0);
  const [good, bad] = [Promise.withResolvers<typeof UPLOAD>(), Promise.withResolvers<typeof UPLOAD>()];
  const added = [uploads.add("good", good.promise), uploads.add("bad", bad.promise)];
  const found = Promise.all([uploads.find("good"), uploads.find("bad")]);
  good.resolve(UPLOAD);
  bad.reject(new Error("the disk is full"));
  expect(await found).toEqual([UPLOAD, null]);
  await expect(added[1]).rejects.toThrow("the disk is full");
  expect(await uploads.find("bad")).toBeNull();
});

test("the next attempt of an upload that failed has its id, and only one at a time", () => {
  const fresh = ["id 1", "id 2", "id 3"].values();
  const ids = new TransferIds(() => String(fresh.next().value));
  const id = ids.take("a");
  ids.leave("a", id);
  expect([ids.take("a"), ids.take("a"), ids.take("b")]).toEqual(["id 1", "id 2", "id 3"]);
});

test("the ids of the last 1,000 uploads that failed are kept", () => {
  const ids = new TransferIds(() => "new");
  for (let i = 0; i <= 1000; i += 1) ids.leave(`${i}`, `id ${i}`);
  expect(["0", "1", "1000"].map((upload) => ids.take(upload))).toEqual(["new", "id 1", "id 1000"]);
});
