import { appendFile, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { diskFiles, opening, systemError, temporaryFolder } from "../../test-support/file-scene.ts";
import { type FileSource, openFile, openSource } from "./file-source.ts";

const noFiles = (): never => {
  throw new Error("needs no disk");
};

async function contentOf(source: FileSource, offset = 0): Promise<string> {
  let text = "";
  for await (const chunk of source.chunks(offset)) text += new TextDecoder().decode(chunk);
  return text;
}

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

test("an ArrayBuffer can be sent, from any place on", async () => {
  const source = await openSource(bytes("012345").slice().buffer as ArrayBuffer, noFiles);
  expect(source).toMatchObject({ name: undefined, bytes: 6, modifiedMs: null });
  expect(await contentOf(source, 2)).toBe("2345");
});

test("an async iterable of bytes can be sent, without a size", async () => {
  async function* parts() {
    yield bytes("01");
    yield bytes("");
    yield bytes("2");
  }
  const source = await openSource(parts(), noFiles);
  expect(source.bytes).toBeNull();
  expect(await contentOf(source)).toBe("012");
});

test.each<[string, unknown]>([
  ["a number", 7],
  ["null", null],
  ["an object", {}],
  ["a list of numbers", [1, 2, 3]],
])("%s is nothing to send: INVALID_CONFIG says what is", async (_, source) => {
  await expect(openSource(source as never, noFiles)).rejects.toMatchObject({
    codeName: "INVALID_CONFIG",
    message: expect.stringContaining("must be a path, bytes, a Blob, a ReadableStream or an async iterable of bytes"),
  });
});

test("a stream of text is INVALID_TYPE, and is cancelled", async () => {
  const cancelled: unknown[] = [];
  const stream = new ReadableStream({
    pull: (controller) => controller.enqueue("text"),
    cancel: () => void cancelled.push("cancelled"),
  });
  const source = await openSource(stream, noFiles);
  await expect(contentOf(source)).rejects.toMatchObject({
    codeName: "INVALID_TYPE",
    message: "A stream to upload must have chunks of type Uint8Array",
  });
  expect(cancelled).toEqual(["cancelled"]);
});

test("a Blob of which less arrives than its size has changed", async () => {
  const source = await openSource(new Blob(["0123"]), noFiles);
  await source.mustBeUnchanged(4);
  await expect(source.mustBeUnchanged(3)).rejects.toMatchObject({ codeName: "FILE_CHANGED" });
});

test("a File whose time of change is known can be told from others, and a Blob can't", async () => {
  const file = await openSource(new File(["0"], "a.bin", { lastModified: 5 }), noFiles);
  expect([file.name, file.modifiedMs, file.key]).toEqual(["a.bin", 5, "blob/a.bin/1/5"]);
  expect((await openSource(new Blob(["0"]), noFiles)).key).toBeNull();
});

test("a file that can't be looked at after it was opened is closed", async () => {
  const dir = await temporaryFolder();
  const path = join(dir, "a");
  await writeFile(path, "0123");
  let closed = 0;
  const files = {
    ...diskFiles,
    ...opening((file) => {
      const close = file.close.bind(file);
      return {
        facts: () => Promise.reject(systemError("EIO")),
        close: async () => {
          closed += 1;
          await close();
        },
      };
    }),
  };
  await expect(openFile(files, path, "a")).rejects.toMatchObject({
    codeName: "FILE_ERROR",
    message: "Cannot read 'a': EIO",
  });
  expect(closed).toBe(1);
});

test("a file that has changed is noticed, also if it has its size of before", async () => {
  const path = join(await temporaryFolder(), "a");
  await writeFile(path, "0123");
  const source = await openFile(diskFiles, path, "a");
  await source.mustBeUnchanged(4);
  await writeFile(path, "4567");
  await utimes(path, 1, 1);
  await expect(source.mustBeUnchanged(4)).rejects.toMatchObject({ codeName: "FILE_CHANGED" });
  await source.close();
});

test("a file that grows is read up to the size that it had", async () => {
  const path = join(await temporaryFolder(), "a");
  await writeFile(path, "0123");
  const source = await openFile(diskFiles, path, "a");
  await appendFile(path, "4567");
  expect(await contentOf(source)).toBe("0123");
  await source.close();
});

test("a read that fails ends the file with the system's error, without the path", async () => {
  const dir = await temporaryFolder();
  const path = join(dir, "a");
  await writeFile(path, "0123");
  const files = { ...diskFiles, ...opening(() => ({ read: () => Promise.reject(systemError("EIO")) })) };
  const source = await openFile(files, path, "a");
  await expect(contentOf(source)).rejects.toMatchObject({ codeName: "FILE_ERROR", message: "Cannot read 'a': EIO" });
  await source.close();
});
