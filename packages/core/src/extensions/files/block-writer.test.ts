import { expect, test } from "vitest";
import type { OpenFile } from "../../util/file-access.ts";
import { BlockWriter } from "./block-writer.ts";

const KIB = 1024;

interface Write {
  readonly bytes: Uint8Array;
  readonly position: number;
  end(error?: Error): void;
}

/** Returns a file whose writes are completed by the test. */
function slowFile() {
  const writes: Write[] = [];
  const file = {
    write: (bytes: Uint8Array, position: number) =>
      new Promise<void>((resolve, reject) => {
        const end = (error?: Error): void => (error === undefined ? resolve() : reject(error));
        writes.push({ bytes, position, end });
      }),
  } as unknown as OpenFile;
  return { file, writes };
}

/** Returns a file of `bytes` bytes whose writes complete immediately. */
function fastFile(bytes: number) {
  const sizes: number[] = [];
  const content = new Uint8Array(bytes);
  const file = {
    async write(block: Uint8Array, position: number) {
      sizes.push(block.length);
      content.set(block, position);
    },
  } as unknown as OpenFile;
  return { file, sizes, content };
}

test("bytes are written in order, in blocks that double up to 256 KiB", async () => {
  const { file, sizes, content } = fastFile(800 * KIB);
  const writer = new BlockWriter(file, 0);
  const all = Uint8Array.from({ length: 800 * KIB }, (_, i) => i >>> 10);
  for (let at = 0; at < all.length; at += 60_000) await writer.write(all.subarray(at, at + 60_000));
  await writer.flush();
  expect(sizes).toEqual([...[4, 8, 16, 32, 64, 128, 256, 256].map((kib) => kib * KIB), 36 * KIB]);
  expect(content).toEqual(all);
});

test("bytes may change once they are taken, and the next block fills while one is written", async () => {
  const { file, writes } = slowFile();
  const writer = new BlockWriter(file, 7);
  const bytes = new Uint8Array(4 * KIB).fill(1);
  await writer.write(bytes);
  bytes.fill(2);
  await writer.write(bytes);
  expect(writes.map(({ position }) => position)).toEqual([7]);
  expect(writes[0]?.bytes).toEqual(new Uint8Array(4 * KIB).fill(1));
  const flushed = writer.flush();
  writes[0]?.end();
  while (writes.length < 2) await Promise.resolve();
  expect(writes[1]).toMatchObject({ position: 7 + 4 * KIB, bytes });
  writes[1]?.end();
  await flushed;
});

test("one block at a time is written, so that none is filled again while it is", async () => {
  const { file, writes } = slowFile();
  const writer = new BlockWriter(file, 0);
  const all = Uint8Array.from({ length: 1024 * KIB }, (_, i) => i >>> 12);
  const content = new Uint8Array(all.length);
  const written = writer.write(all).then(() => writer.flush());
  for (let done = 0; done * 128 * KIB < all.length || done < writes.length; ) {
    await Promise.resolve();
    if (writes.length === done) continue;
    expect(writes.length).toBe(done + 1);
    const { bytes, position, end } = writes[done] as Write;
    // The next block has started to fill.
    for (let n = 0; n < 10; n += 1) await Promise.resolve();
    content.set(bytes, position);
    done += 1;
    end();
    for (let n = 0; n < 10; n += 1) await Promise.resolve();
  }
  await written;
  expect(content).toEqual(all);
});

test("a failed write rejects the flush, and the end waits for it without an error", async () => {
  const { file, writes } = slowFile();
  const writer = new BlockWriter(file, 0);
  await writer.write(new Uint8Array(4 * KIB));
  writes[0]?.end(new Error("no space"));
  await expect(writer.flush()).rejects.toThrow("no space");
  await writer.idle();
});
