import { expect, test } from "vitest";
import type { FileHash } from "../../util/file-access.ts";
import { HashMemory } from "./hash-memory.ts";

function hashOf(text: string): FileHash {
  return { update: () => undefined, copy: () => hashOf(text), digest: () => text };
}

test("the last 256 hashes of each of the last 64 files are remembered, and no more", () => {
  const memory = new HashMemory();
  for (let file = 0; file < 65; file += 1) memory.remember(`file ${file}`, 1, hashOf("first"));
  for (let bytes = 2; bytes <= 300; bytes += 1) memory.remember("file 7", bytes, hashOf(`${bytes}`));
  const recalled = (file: string, bytes: number): string | undefined => memory.recall(file, bytes)?.digest();
  expect([recalled("file 0", 1), recalled("file 1", 1), recalled("file 64", 1)]).toEqual([undefined, "first", "first"]);
  expect([recalled("file 7", 44), recalled("file 7", 45), recalled("file 7", 300)]).toEqual([undefined, "45", "300"]);
  memory.forget("file 7");
  expect(recalled("file 7", 300)).toBe(undefined);
});
