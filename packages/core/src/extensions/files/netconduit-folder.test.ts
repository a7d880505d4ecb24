import { describe, expect, test } from "vitest";
import { sha256Of, transfersWith } from "../../test-support/file-scene.ts";
import { FileMethod } from "../../wire/called-as.ts";
import type { FileCaller } from "./file-caller.ts";
import { ProgressReporter } from "./file-progress.ts";
import { type FileSource, openSource, type UploadSource } from "./file-source.ts";
import { NetconduitFolder } from "./netconduit-folder.ts";

/** Three netconduit chunks, the last one short. */
const CONTENT = Uint8Array.from({ length: 150_001 }, (_, index) => (index * 31 + (index >> 8)) & 0xff);
const SHA256 = sha256Of(CONTENT);
const CHUNK = 65_536;
const PARTS = [0, 1, 2].map((index) => CONTENT.subarray(index * CHUNK, (index + 1) * CHUNK));
const INVALID = { codeName: "INVALID_RESULT" };

type Params = Readonly<Record<string, unknown>>;
type Answers = Readonly<Record<string, unknown>>;

const base64 = (bytes: Uint8Array | undefined): string => Buffer.from(bytes ?? []).toString("base64");
const chunk = (transfer_id: unknown, index: number): Params => ({
  transfer_id,
  chunk_index: index,
  data_b64: base64(PARTS[index]),
});

/** Returns a netconduit peer with these answers, and a log of what it received. */
function peerWith(answers: Answers, netconduit: "calls" | "messages" = "calls") {
  const sent: [name: string, params: Params][] = [];
  const take = async (name: string, params: Params): Promise<unknown> => {
    sent.push([name, params]);
    const answer = answers[name];
    return typeof answer === "function" ? answer(params) : answer;
  };
  const peer: Partial<FileCaller> = {
    netconduit,
    call: take,
    request: take,
    send: async (type, data) => {
      await take(type, data);
    },
  };
  const folder = new NetconduitFolder(peer as FileCaller, transfersWith());
  return { folder, sent };
}

function sourceOf(from: UploadSource): Promise<FileSource> {
  return openSource(from, () => {
    throw new Error("needs no disk");
  });
}

const progress = (): ProgressReporter => new ProgressReporter(undefined, () => 0);

async function itemsOf(items: AsyncIterable<unknown>): Promise<unknown[]> {
  const all: unknown[] = [];
  for await (const item of items) all.push(item);
  return all;
}

describe("sending to a netconduit server", () => {
  const start = { transfer_id: "t", chunk_size: CHUNK };

  test.each<[string, unknown, string]>([
    ["the last part of its path, by slashes", "files/a (1).bin", "a (1).bin"],
    ["the last part of its path, by backslashes", "C:\\files\\b.bin", "b.bin"],
    ["the name that was asked for, if the path is none", null, "a.bin"],
    ["the name that was asked for, if that at the end of the path isn't safe", "files/..", "a.bin"],
  ])("goes by calls, each with a chunk, and the file's name is %s", async (_what, path, name) => {
    const { folder, sent } = peerWith({ file_upload_start: start, file_upload_complete: { path } });
    const result = await folder.send(await sourceOf(CONTENT), "a.bin", {}, progress());
    expect(result).toEqual({ name, bytes: CONTENT.length, sha256: SHA256 });
    expect(sent).toEqual([
      ["file_upload_start", { filename: "a.bin", size: CONTENT.length, checksum: SHA256 }],
      ...PARTS.map((_part, index) => ["file_upload_chunk", chunk("t", index)]),
      ["file_upload_complete", { transfer_id: "t" }],
    ]);
  });

  test("fails with INVALID_RESULT if it wants chunks of another size", async () => {
    const { folder } = peerWith({ file_upload_start: { ...start, chunk_size: 1000 } });
    await expect(folder.send(await sourceOf(CONTENT), "a.bin", {}, progress())).rejects.toMatchObject(INVALID);
  });

  test("fails with PEER_UNSUPPORTED if the size isn't known", async () => {
    const { folder, sent } = peerWith({});
    const source = await sourceOf(new Blob([CONTENT]).stream());
    await expect(folder.send(source, "a.bin", {}, progress())).rejects.toMatchObject({ codeName: "PEER_UNSUPPORTED" });
    expect(sent).toEqual([]);
  });

  test.each([
    ["while the file is hashed", 0],
    ["between two chunks", 2],
  ])("ends with CANCELLED %s", async (_when, afterCalls) => {
    const abort = new AbortController();
    const answer = (): Params => {
      if (sent.length === afterCalls) abort.abort();
      return start;
    };
    const { folder, sent } = peerWith({ file_upload_start: answer, file_upload_chunk: answer });
    if (afterCalls === 0) abort.abort();
    const sending = folder.send(await sourceOf(CONTENT), "a.bin", { signal: abort.signal }, progress());
    await expect(sending).rejects.toMatchObject({ codeName: "CANCELLED" });
    expect(sent.length).toBe(afterCalls);
  });
});

test("a netconduit client is sent messages, of which it acknowledges the first", async () => {
  const { folder, sent } = peerWith({}, "messages");
  const result = await folder.send(await sourceOf(CONTENT), "a.bin", {}, progress());
  expect(result).toEqual({ name: "a.bin", bytes: CONTENT.length, sha256: SHA256 });
  const [[, { transfer_id } = {}] = []] = sent;
  const file = { transfer_id, filename: "a.bin", size: CONTENT.length, checksum: SHA256, total_chunks: 3 };
  expect(sent).toEqual([
    ["file_incoming", file],
    ...PARTS.map((_part, index) => ["file_chunk", chunk(transfer_id, index)]),
    ["file_complete", { transfer_id, checksum: SHA256 }],
  ]);
});

describe("fetching from a netconduit server", () => {
  const start = { transfer_id: "t", size: CONTENT.length, chunk_size: CHUNK };
  const chunkAt = ({ chunk_index }: Params): Params => chunk("t", chunk_index as number);
  const download = (answers: Answers) =>
    itemsOf(peerWith(answers).folder.items(FileMethod.DOWNLOAD, { name: "a.bin" }, {}));

  test("gives the size, the chunks, and the hash of what came", async () => {
    const items = await download({ file_download_start: start, file_download_chunk: chunkAt });
    const [first, last] = [items.shift(), items.pop()];
    expect(first).toEqual({ bytes: CONTENT.length, modified: 0, offset: 0, sha256: null });
    expect(Buffer.concat(items as Uint8Array[]).equals(CONTENT)).toBe(true);
    expect(last).toEqual({ at: CONTENT.length, sha256: SHA256, file: SHA256, end: true });
  });

  test.each<[string, Answers]>([
    ["no size", { file_download_start: { ...start, size: -1 } }],
    ["chunks of another size", { file_download_start: { ...start, chunk_size: 1 } }],
    ["nothing", { file_download_start: null }],
    ["a chunk at another place", { file_download_start: start, file_download_chunk: chunk("t", 1) }],
    ["a chunk without data", { file_download_start: start, file_download_chunk: { chunk_index: 0 } }],
    ["a short chunk", { file_download_start: start, file_download_chunk: { chunk_index: 0, data_b64: "AAAA" } }],
    ["data that isn't base64", { file_download_start: start, file_download_chunk: { chunk_index: 0, data_b64: "%" } }],
  ])("fails with INVALID_RESULT if it answers with %s", async (_what, answers) => {
    await expect(download(answers)).rejects.toMatchObject(INVALID);
  });

  test.each([
    ["File not found", "NOT_FOUND"],
    ["Transfer not found", "NOT_FOUND"],
    ["Checksum mismatch", "CHECKSUM_MISMATCH"],
    ["Out of luck", "UNKNOWN"],
  ])("fails with its error '%s' as %s", async (error, codeName) => {
    await expect(download({ file_download_start: { error } })).rejects.toMatchObject({ codeName, message: error });
  });
});

describe("the list of a netconduit server", () => {
  const files = [{ name: "a.bin", size: 7 }, { name: "../b.bin", size: 8 }, null, { name: "c.bin", size: 9 }];
  const listed = [
    { name: "a.bin", bytes: 7, modified: null },
    { name: "c.bin", bytes: 9, modified: null },
  ];

  test("has no names that aren't safe", async () => {
    const { folder } = peerWith({ file_list: { files } });
    expect(await itemsOf(folder.items(FileMethod.LIST, {}, {}))).toEqual([listed]);
  });

  test("tells the size of one file, or that there is none", async () => {
    const { folder } = peerWith({ file_list: { files } });
    expect(await folder.call(FileMethod.STAT, { name: "c.bin" }, {})).toEqual(listed[1]);
    const missing = folder.call(FileMethod.STAT, { name: "d.bin" }, {});
    await expect(missing).rejects.toMatchObject({ codeName: "NOT_FOUND" });
  });

  test("is INVALID_RESULT if it is none", async () => {
    const { folder } = peerWith({ file_list: { files: "a.bin" } });
    await expect(folder.call(FileMethod.STAT, { name: "a.bin" }, {})).rejects.toMatchObject(INVALID);
  });
});

test("what a netconduit peer doesn't offer is PEER_UNSUPPORTED", async () => {
  const { folder } = peerWith({});
  const removing = folder.call(FileMethod.REMOVE, { name: "a.bin" }, {});
  await expect(removing).rejects.toMatchObject({ codeName: "PEER_UNSUPPORTED" });
});
