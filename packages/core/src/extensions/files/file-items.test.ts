import { expect, test } from "vitest";
import { diskFiles, sha256Of } from "../../test-support/file-scene.ts";
import { fileItems, ItemVerifier } from "./file-items.ts";
import { openSource, type UploadSource } from "./file-source.ts";

const CONTENT = new TextEncoder().encode("0123456789");
const DIGEST = sha256Of(CONTENT);

/** Creates a verifier that has received all bytes. */
function filled(offset = 0): ItemVerifier {
  const verifier = new ItemVerifier(diskFiles, "a.bin", offset, null);
  verifier.accept(CONTENT);
  return verifier;
}

/** Returns a file's items from `offset`, sent without a known hash of the preceding bytes. */
async function itemsFrom(
  offset: number,
  from: UploadSource = CONTENT,
  now = (): number => 0,
): Promise<{ items: unknown[]; ended: (string | null)[] }> {
  const source = await openSource(from, () => diskFiles);
  const ended: (string | null)[] = [];
  const items: unknown[] = [];
  for await (const item of fileItems({
    files: diskFiles,
    source,
    offset,
    whole: null,
    now,
    hashed: () => undefined,
    sent: () => undefined,
    ended: (sha256) => ended.push(sha256),
  }))
    items.push(item);
  return { items, ended };
}

test("a stream from the middle of a file names no SHA-256 of the whole if its sender doesn't know the beginning", async () => {
  const { items, ended } = await itemsFrom(4);
  const rest = CONTENT.subarray(4);
  expect(items).toEqual([rest, { at: 10, sha256: sha256Of(rest), file: null, end: true }]);
  expect(ended).toEqual([null]);
});

test("a mark follows a second after the last one, however few bytes have left", async () => {
  let ms = 0;
  const [first, second, third] = [CONTENT.subarray(0, 3), CONTENT.subarray(3, 5), CONTENT.subarray(5)];
  async function* slowly() {
    yield first;
    ms += 1000;
    yield second;
    ms += 999;
    yield third;
  }
  const { items } = await itemsFrom(0, slowly(), () => ms);
  const mark = { at: 5, sha256: sha256Of(CONTENT.subarray(0, 5)) };
  expect(items).toEqual([first, second, mark, third, { at: 10, sha256: DIGEST, file: DIGEST, end: true }]);
});

test("a receiver that hasn't hashed the beginning takes the SHA-256 of the file from the sender", () => {
  const verifier = filled(5);
  const file = "a".repeat(64);
  expect(verifier.accept({ at: 15, sha256: DIGEST, file, end: true })).toEqual({ kind: "end", at: 15, sha256: file });
  expect(verifier.whole).toBeNull();
});

test("the SHA-256 of a file whose beginning neither side has hashed is unknown", () => {
  expect(filled(5).accept({ at: 15, sha256: DIGEST, end: true })).toEqual({ kind: "end", at: 15, sha256: null });
});

test.each<[string, unknown, string, RegExp]>([
  ["an item of more than 1 MiB", new Uint8Array(1024 * 1024 + 1), "INVALID_PARAMS", /has an item of 1048577 bytes/],
  ["text", "bytes", "INVALID_PARAMS", /has an item that is neither bytes nor a mark/],
  ["a mark without a SHA-256", { at: 10 }, "INVALID_PARAMS", /has a mark without a SHA-256/],
  ["a SHA-256 of a file that is none", { at: 10, sha256: DIGEST, file: "x" }, "INVALID_PARAMS", /without a SHA-256/],
  ["a mark at another place", { at: 9, sha256: DIGEST }, "CHECKSUM_MISMATCH", /of the first 10 bytes differs/],
  ["another SHA-256", { at: 10, sha256: "0".repeat(64) }, "CHECKSUM_MISMATCH", /didn't arrive as it was sent/],
  [
    "another SHA-256 of the file",
    { at: 10, sha256: DIGEST, file: "0".repeat(64), end: true },
    "CHECKSUM_MISMATCH",
    /didn't arrive as it was sent/,
  ],
])("%s in a file's stream is refused", (_, item, codeName, message) => {
  expect(() => filled().accept(item)).toThrow(
    expect.objectContaining({ codeName, message: expect.stringMatching(message) }),
  );
});

test("items after the end of a file are refused, and a stream without an end is no file", () => {
  const verifier = filled();
  expect(() => verifier.mustHaveEnded()).toThrow(
    expect.objectContaining({
      codeName: "CHECKSUM_MISMATCH",
      message: expect.stringContaining("ended early, after 10"),
    }),
  );
  verifier.accept({ at: 10, sha256: DIGEST, end: true });
  verifier.mustHaveEnded();
  expect(() => verifier.accept(CONTENT)).toThrow(expect.objectContaining({ codeName: "INVALID_PARAMS" }));
});
