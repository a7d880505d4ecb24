import { expect, test } from "vitest";
import { ChunkAssembler, chunksOf } from "./chunks.ts";

const payload = Uint8Array.from({ length: 1000 }, (_, index) => index % 251);
const chunks = [...chunksOf("link:7", payload, 556)];

function assembler(maxBytes = 10_000): { readonly all: ChunkAssembler; readonly lost: () => number } {
  let lost = 0;
  return { all: new ChunkAssembler(maxBytes, () => lost++), lost: () => lost };
}

test("chunks leave space for headers within the limit and are reassembled to the message", () => {
  expect(chunks.map(({ bytes }) => bytes.length)).toEqual([300, 300, 300, 100]);
  const { all, lost } = assembler();
  const results = chunks.map(({ header, bytes }) => all.add(header, bytes));
  expect(results).toEqual([null, null, null, payload]);
  expect(lost()).toBe(0);
});

test("chunks of several links are reassembled separately", () => {
  const { all } = assembler();
  const others = [...chunksOf("other:1", payload.subarray(1), 556)];
  const results = chunks.flatMap((chunk, index) =>
    [chunk, others[index]!].map(({ header, bytes }) => all.add(header, bytes)),
  );
  expect(results.slice(-2)).toEqual([payload, payload.subarray(1)]);
});

test("a message with a missing chunk is lost and counted once", () => {
  const { all, lost } = assembler();
  for (const index of [0, 2, 3]) {
    const { header, bytes } = chunks[index]!;
    expect(all.add(header, bytes)).toBeNull();
  }
  expect(lost()).toBe(1);
});

test("an unfinished message is lost when its link's next message starts", () => {
  const { all, lost } = assembler();
  all.add(chunks[0]!.header, chunks[0]!.bytes);
  const results = [...chunksOf("link:8", payload, 556)].map(({ header, bytes }) => all.add(header, bytes));
  expect(results.at(-1)).toEqual(payload);
  expect(lost()).toBe(1);
});

test("a node that subscribes in the middle of a message drops the rest without counting a loss", () => {
  const { all, lost } = assembler();
  for (const { header, bytes } of chunks.slice(1)) expect(all.add(header, bytes)).toBeNull();
  expect(lost()).toBe(0);
});

test("a message above the limit takes no memory and is counted as lost", () => {
  const { all, lost } = assembler(999);
  for (const { header, bytes } of chunks) expect(all.add(header, bytes)).toBeNull();
  expect(lost()).toBe(1);
});

test("a first chunk that announces a large message takes memory only for its own bytes", () => {
  const { all } = assembler(16 * 1024 ** 2);
  const before = process.memoryUsage().arrayBuffers;
  for (let link = 0; link < 100; link++) {
    expect(all.add(`link${link}:0 0 1000 ${16 * 1024 ** 2}`, Uint8Array.of(1))).toBeNull();
  }
  expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(16 * 1024 ** 2);
});

test("unfinished messages take at most the memory of eight largest messages; those without progress are dropped first", () => {
  const { all, lost } = assembler(1000);
  const begun = Array.from({ length: 10 }, (_, link) => [...chunksOf(`link${link}:0`, payload, 756)]);
  const add = (link: number, index: number): Uint8Array | null => {
    const { header, bytes } = begun[link]![index]!;
    return all.add(header, bytes);
  };
  for (let link = 0; link < 8; link++) add(link, 0);
  expect(lost()).toBe(0);
  expect(add(0, 1)).toEqual(payload);
  for (let link = 8; link < 10; link++) add(link, 0);
  expect(lost()).toBe(1);
  expect(Array.from(begun, (_, link) => (link === 0 ? null : add(link, 1)))).toEqual([
    null,
    null,
    ...Array.from({ length: 8 }, () => payload),
  ]);
});

test.each(["", "link:1 0", "link 0 1 5", "a:1 -1 2 3"])("a malformed header (%j) is counted as a loss", (header) => {
  const { all, lost } = assembler();
  expect(all.add(header, payload)).toBeNull();
  expect(lost()).toBe(1);
});
