import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { ConduitError, ErrorCode, RpcError } from "../../errors.ts";
import { sha256Of, temporaryFolder, transfersWith } from "../../test-support/file-scene.ts";
import { FileMethod } from "../../wire/called-as.ts";
import type { FileCaller } from "./file-caller.ts";
import type { FileProgress } from "./file-progress.ts";
import type { FileTransfers } from "./file-transfers.ts";
import { RemoteFiles } from "./remote-files.ts";

const CONTENT = new TextEncoder().encode("0123456789");
const HEADER = { bytes: 10, modified: 5, offset: 0, sha256: null };
const SENT = { name: "a.bin", bytes: 10, sha256: sha256Of(CONTENT) };
const END = { at: 10, sha256: sha256Of(CONTENT), file: sha256Of(CONTENT), end: true };

type Params = Record<string, unknown>;

interface Script {
  /** Items of each requested stream, in turn; an error ends it. */
  readonly streams?: readonly (readonly unknown[])[];
  /** Answers of calls, sent after reading the input. */
  readonly answers?: Readonly<Record<string, unknown>>;
  /** Error answer of all calls, sent without reading the input. */
  readonly refused?: Error;
  /** Creates the progress values that the peer reports. */
  readonly progress?: readonly (() => unknown)[];
}

/** Returns the folder of a peer that answers according to the script, with the requests that it received. */
function peer(
  { streams = [], answers = {}, progress = [], refused }: Script,
  transfers: FileTransfers = transfersWith(),
) {
  const asked: Params[] = [];
  const inputs: unknown[][] = [];
  const left = [...streams];
  const failures: unknown[] = [];
  let open = 0;
  const caller: FileCaller = {
    callbackFailed: (...failure) => failures.push(failure),
    netconduit: null,
    request: async () => undefined,
    send: async () => undefined,
    hasEnded: () => false,
    connected: async () => undefined,
    async call(method, params, { input, onProgress }) {
      asked.push(params);
      if (refused !== undefined) throw refused;
      const items: unknown[] = [];
      for await (const item of input ?? []) items.push(item instanceof Uint8Array ? item.slice() : item);
      if (input !== undefined) inputs.push(items);
      for (const next of progress) onProgress?.(next());
      const answer = answers[method];
      if (answer instanceof Error) throw answer;
      return answer;
    },
    async *stream(_method, params) {
      asked.push(params);
      open += 1;
      try {
        for (const item of left.shift() ?? []) {
          if (item instanceof Error) throw item;
          yield item;
        }
      } finally {
        open -= 1;
      }
    },
  };
  const box = new RemoteFiles(caller, () => transfers, "box");
  return { box, asked, inputs, failures, openStreams: () => open };
}

const answering = (answers: NonNullable<Script["answers"]>) => peer({ answers });
const sending = (...streams: unknown[][]) => peer({ streams });
const notServed = () => new RpcError(ErrorCode.METHOD_NOT_FOUND, "There is no method");

const BROKEN = new Error("can't show it");
function raise(): never {
  throw BROKEN;
}

const invalid = (what: string) => ({ codeName: "INVALID_RESULT", message: `The peer's answer is not ${what}` });

test("a peer that serves no files is PEER_UNSUPPORTED, whatever it is asked for", async () => {
  const dir = await temporaryFolder();
  const { box } = peer({
    streams: [[notServed()], [notServed()], [notServed()]],
    answers: { [FileMethod.STAT]: notServed(), [FileMethod.UPLOAD]: notServed() },
  });
  const unsupported = {
    codeName: "PEER_UNSUPPORTED",
    message: "The peer serves no files; it shares a folder by files(name, { dir })",
  };
  await expect(box.list()).rejects.toMatchObject(unsupported);
  await expect(box.bytes("a.bin")).rejects.toMatchObject(unsupported);
  await expect(box.download("a.bin", dir)).rejects.toMatchObject(unsupported);
  await expect(box.stat("a.bin")).rejects.toMatchObject(unsupported);
  await expect(box.upload(CONTENT, { name: "a.bin" })).rejects.toMatchObject(unsupported);
  expect(await readdir(dir)).toEqual([]);
});

test("bytes without a name are INVALID_CONFIG, before the peer is asked", async () => {
  const { box, asked } = answering({});
  await expect(box.upload(CONTENT)).rejects.toMatchObject({
    codeName: "INVALID_CONFIG",
    message: expect.stringContaining("needs the option name: upload(source, "),
  });
  expect(asked).toEqual([]);
});

/** Sources that are never read. They record when they are closed. */
const unreadSources: readonly [string, (closed: string[]) => never][] = [
  [
    "ReadableStream",
    (closed) => new ReadableStream({ cancel: () => void closed.push("closed") }, { highWaterMark: 0 }) as never,
  ],
  [
    "async iterable",
    (closed) => {
      const next = (): never => {
        throw new Error("isn't asked for");
      };
      const items = { next, return: async () => void closed.push("closed"), [Symbol.asyncIterator]: () => items };
      return items as never;
    },
  ],
];

test.each(unreadSources)("a %s of an upload that is refused before it is read is closed", async (_, source) => {
  const { box } = peer({ refused: new RpcError(ErrorCode.NOT_FOUND, "There is no folder") });
  const closed: string[] = [];
  await expect(box.upload(source(closed), { name: "a.bin" })).rejects.toMatchObject({ codeName: "NOT_FOUND" });
  expect(closed).toEqual(["closed"]);
  await expect(box.upload(source(closed), { name: "../a.bin" })).rejects.toMatchObject({
    codeName: "INVALID_FILE_NAME",
  });
  expect(closed).toEqual(["closed", "closed"]);
});

test("a name that can't be encoded is INVALID_FILE_NAME, as others that are refused", async () => {
  const { box, asked } = answering({});
  for (const refused of [box.stat("\ud800"), box.remove("\ud800")]) {
    await expect(refused).rejects.toMatchObject({ codeName: "INVALID_FILE_NAME" });
  }
  expect(asked).toEqual([]);
});

test.each([
  ["nothing", undefined],
  ["text", "done"],
  ["no name", { bytes: 10, sha256: "0".repeat(64) }],
  ["a name that leads out of a folder", { name: "../a.bin", bytes: 10, sha256: "0".repeat(64) }],
  ["a negative size", { name: "a.bin", bytes: -1, sha256: "0".repeat(64) }],
  ["no SHA-256", { name: "a.bin", bytes: 10, sha256: "0" }],
])("an upload that is answered with %s is INVALID_RESULT", async (_, answer) => {
  const { box } = answering({ [FileMethod.UPLOAD]: answer });
  await expect(box.upload(CONTENT, { name: "a.bin" })).rejects.toMatchObject(invalid("a received file"));
});

test("an upload of which the peer has another SHA-256 is CHECKSUM_MISMATCH", async () => {
  const { box } = answering({ [FileMethod.UPLOAD]: { ...SENT, sha256: "0".repeat(64) } });
  await expect(box.upload(CONTENT, { name: "a.bin" })).rejects.toMatchObject({
    codeName: "CHECKSUM_MISMATCH",
    message: "The peer has another SHA-256 for 'a.bin' than this side",
  });
});

test.each([
  ["nothing", undefined],
  ["a negative offset", { offset: -1, sha256: null }],
  ["an offset beyond the file", { offset: 11, sha256: null }],
  ["a SHA-256 that is none", { offset: 1, sha256: "0" }],
])("an upload that continues at what the peer answers with %s is INVALID_RESULT", async (_, answer) => {
  const dir = await temporaryFolder();
  await writeFile(join(dir, "a.bin"), CONTENT);
  const { box } = answering({ [FileMethod.OFFSET]: answer });
  const upload = box.upload(join(dir, "a.bin"), { resume: true });
  await expect(upload).rejects.toMatchObject(invalid("an offset"));
});

test("an upload restarts if the peer has other bytes at its offset than this side sent", async () => {
  const transfers = transfersWith();
  const file = new File([CONTENT as never], "a.bin", { lastModified: 5 });
  const head = transfers.files.sha256();
  head.update(CONTENT.subarray(0, 4));
  transfers.memory.remember("blob/a.bin/10/5", 4, head);
  const answers = { [FileMethod.OFFSET]: { offset: 4, sha256: "0".repeat(64) }, [FileMethod.UPLOAD]: SENT };
  const { box, asked, inputs } = peer({ answers }, transfers);
  expect(await box.upload(file, { resume: true })).toEqual({ ...SENT, resumedFrom: 0 });
  expect(asked[1]).toMatchObject({ offset: 0 });
  expect(inputs).toEqual([[CONTENT, END]]);
});

test("an upload continues where the peer is, and sends only the rest", async () => {
  const transfers = transfersWith();
  const file = new File([CONTENT as never], "a.bin", { lastModified: 5 });
  const answers = { [FileMethod.OFFSET]: { offset: 4, sha256: null }, [FileMethod.UPLOAD]: SENT };
  const { box, inputs } = peer({ answers }, transfers);
  expect(await box.upload(file, { resume: true })).toEqual({ ...SENT, resumedFrom: 4 });
  expect(inputs[0]?.[0]).toEqual(CONTENT.subarray(4));
});

test.each([
  ["throws", () => raise()],
  ["rejects with", async () => raise()],
])("what onProgress %s is reported, and the transfer goes on", async (_, onProgress) => {
  const { box, failures } = peer({ answers: { [FileMethod.UPLOAD]: SENT } });
  expect(await box.upload(CONTENT, { name: "a.bin", onProgress })).toEqual({ ...SENT, resumedFrom: 0 });
  await new Promise((resolve) => setImmediate(resolve));
  expect(failures[0]).toEqual(["onProgress", BROKEN]);
});

test("onProgress that isn't a function is INVALID_CONFIG", async () => {
  const { box } = peer({ answers: { [FileMethod.UPLOAD]: SENT } });
  const upload = box.upload(CONTENT, { name: "a.bin", onProgress: "loud" as never });
  await expect(upload).rejects.toMatchObject({ codeName: "INVALID_CONFIG" });
});

test("a peer that reports its check as anything but a number of bytes has checked none", async () => {
  const clock = { ms: 0 };
  const heard: FileProgress[] = [];
  const progress = ["half", {}, { checked: -1 }, { checked: 4 }].map((value) => () => {
    clock.ms += 100;
    return value;
  });
  const { box } = peer({ answers: { [FileMethod.UPLOAD]: SENT }, progress }, transfersWith({}, clock));
  await box.upload(CONTENT, { name: "a.bin", onProgress: (value) => heard.push(value) });
  const checked = heard.filter(({ phase }) => phase === "checking");
  expect(checked.map(({ bytes }) => bytes)).toEqual([0, 0, 4, 10]);
});

test.each([
  ["nothing at all", []],
  ["text", ["header"]],
  ["no size", [{ ...HEADER, bytes: null }]],
  ["a time that is none", [{ ...HEADER, modified: "now" }]],
  ["an offset beyond the file", [{ ...HEADER, offset: 11 }]],
  ["a SHA-256 that is none", [{ ...HEADER, sha256: "0" }]],
])("a download that begins with %s is INVALID_RESULT, and leaves nothing", async (_, items) => {
  const dir = await temporaryFolder();
  const { box, openStreams } = sending(items, items);
  await expect(box.download("a.bin", dir)).rejects.toMatchObject(invalid("the start of a download"));
  await expect(box.bytes("a.bin")).rejects.toMatchObject(invalid("the start of a download"));
  expect(await readdir(dir)).toEqual([]);
  expect(openStreams()).toBe(0);
});

test("a download that doesn't begin at the start of the file, though that was asked for, is INVALID_RESULT", async () => {
  const dir = await temporaryFolder();
  const later = [{ ...HEADER, offset: 4 }];
  const { box, openStreams } = sending(later, later, later);
  await expect(box.bytes("a.bin")).rejects.toMatchObject(invalid("a download from its start"));
  await expect(box.download("a.bin", dir)).rejects.toMatchObject(invalid("a download from its start"));
  expect(await readdir(dir)).toEqual([]);
  expect(openStreams()).toBe(0);
});

test("a download that a peer continues at an offset this side doesn't have restarts", async () => {
  const dir = await temporaryFolder();
  const { box, asked } = sending([{ ...HEADER, offset: 4 }], [HEADER, CONTENT, END]);
  expect(await box.download("a.bin", dir)).toEqual({ ...SENT, resumedFrom: 0 });
  expect(asked.map(({ offset }) => offset)).toEqual([0, 0]);
  expect(await readFile(join(dir, "a.bin"))).toEqual(Buffer.from(CONTENT));
  expect(await readdir(dir)).toEqual(["a.bin"]);
});

/** Leaves four verified bytes of `a.bin` in a folder. */
async function leavePart(dir: string, transfers: FileTransfers): Promise<void> {
  const head = CONTENT.subarray(0, 4);
  const lost = new RpcError(ErrorCode.CANCELLED, "Cancelled");
  const { box } = peer({ streams: [[HEADER, head, { at: 4, sha256: sha256Of(head) }, lost]] }, transfers);
  await expect(box.download("a.bin", dir, { resume: true })).rejects.toMatchObject({ codeName: "CANCELLED" });
}

test("a download continues what is here", async () => {
  const dir = await temporaryFolder();
  const transfers = transfersWith();
  await leavePart(dir, transfers);
  const rest = CONTENT.subarray(4);
  const end = { at: 10, sha256: sha256Of(rest), end: true };
  const { box, asked } = peer({ streams: [[{ ...HEADER, offset: 4 }, rest, end]] }, transfers);
  expect(await box.download("a.bin", dir, { resume: true })).toEqual({ ...SENT, resumedFrom: 4 });
  expect(asked).toEqual([{ folder: "box", name: "a.bin", offset: 4, bytes: 10, modified: 5 }]);
  expect(await readdir(dir)).toEqual(["a.bin"]);
});

test.each([
  ["another place", { offset: 3 }],
  ["another size", { offset: 4, bytes: 11 }],
  ["another time of change", { offset: 4, modified: 6 }],
  ["another SHA-256 of what is here", { offset: 4, sha256: "0".repeat(64) }],
])("a download that a peer continues with %s begins anew", async (_, change) => {
  const dir = await temporaryFolder();
  const transfers = transfersWith();
  await leavePart(dir, transfers);
  const { box, asked } = peer({ streams: [[{ ...HEADER, ...change }], [HEADER, CONTENT, END]] }, transfers);
  expect(await box.download("a.bin", dir, { resume: true })).toEqual({ ...SENT, resumedFrom: 0 });
  expect(asked.map(({ offset }) => offset)).toEqual([4, 0]);
  expect(await readdir(dir)).toEqual(["a.bin"]);
});

test("a download to a name that is taken here is FILE_EXISTS, before the peer is asked", async () => {
  const dir = await temporaryFolder();
  await writeFile(join(dir, "a.bin"), "mine");
  const { box, asked } = sending([HEADER, CONTENT, END]);
  await expect(box.download("a.bin", dir)).rejects.toMatchObject({ codeName: "FILE_EXISTS" });
  expect(asked).toEqual([]);
  expect(await readFile(join(dir, "a.bin"), "utf8")).toBe("mine");
});

test("a file that exceeds maxBytes isn't fetched to the disk or into a stream, whatever a server sends", async () => {
  const dir = await temporaryFolder();
  const { box, openStreams } = sending([HEADER, CONTENT, END], [HEADER, CONTENT, END], [HEADER, CONTENT, END]);
  const tooLarge = { codeName: "FILE_TOO_LARGE", details: { limit: 9 } };
  await expect(box.download("a.bin", dir, { maxBytes: 9 })).rejects.toMatchObject(tooLarge);
  const written: unknown[] = [];
  const target = new WritableStream<Uint8Array>({ write: (chunk) => void written.push(chunk) });
  await expect(box.download("a.bin", target, { maxBytes: 9 })).rejects.toMatchObject(tooLarge);
  expect([await readdir(dir), written, openStreams()]).toEqual([[], [], 0]);
  await expect(box.download("a.bin", dir, { maxBytes: 10 })).resolves.toMatchObject({ bytes: 10 });
});

test("a file that exceeds maxBytes isn't fetched into memory", async () => {
  const { box, openStreams } = sending([HEADER, CONTENT, END]);
  await expect(box.bytes("a.bin", { maxBytes: 9 })).rejects.toMatchObject({
    codeName: "FILE_TOO_LARGE",
    message: "'a.bin' has 10 bytes, more than maxBytes 9; download() writes it to a file",
  });
  expect(openStreams()).toBe(0);
});

test("a file in memory takes memory as it arrives, however much was announced", async () => {
  const used: number[] = [process.memoryUsage().arrayBuffers];
  function* items() {
    yield { ...HEADER, bytes: 64 * 1024 * 1024 };
    for (let n = 0; n < 3; n += 1) {
      yield CONTENT;
      used.push(process.memoryUsage().arrayBuffers);
    }
    throw new RpcError(ErrorCode.CANCELLED, "Cancelled");
  }
  const { box } = sending(items() as Iterable<unknown> as unknown[]);
  await expect(box.bytes("a.bin")).rejects.toMatchObject({ codeName: "CANCELLED" });
  expect(used).toHaveLength(4);
  expect(Math.max(...used) - (used[0] as number)).toBeLessThan(1024 * 1024);
});

test("a file in memory that arrives in many parts is as it was sent", async () => {
  const content = Uint8Array.from({ length: 300_001 }, (_, at) => at % 251);
  const parts = [1, 2, 65_536, 65_540, 200_000, 300_001].map((end, n, ends) => content.subarray(ends[n - 1] ?? 0, end));
  const end = { at: content.length, sha256: sha256Of(content), end: true };
  const { box } = sending([{ ...HEADER, bytes: content.length }, ...parts, end]);
  const received = await box.bytes("a.bin");
  expect(Buffer.from(received).equals(content)).toBe(true);
  expect(received.buffer.byteLength).toBe(content.length);
});

test.each([
  ["more", CONTENT],
  ["fewer", CONTENT.subarray(0, 8)],
])("a file of which %s bytes arrive than were announced is CHECKSUM_MISMATCH in memory", async (_, content) => {
  const bytes = 9;
  const end = { at: content.length, sha256: sha256Of(content), end: true };
  const { box } = sending([{ ...HEADER, bytes }, content, end]);
  await expect(box.bytes("a.bin")).rejects.toMatchObject({
    codeName: "CHECKSUM_MISMATCH",
    message: "'a.bin' doesn't have the announced 9 bytes",
  });
});

test("a WritableStream gets no bytes of a file that is larger than was announced", async () => {
  const chunks: number[] = [];
  const target = new WritableStream<Uint8Array>({ write: (chunk) => void chunks.push(...chunk) });
  const { box } = sending([HEADER, CONTENT.subarray(0, 8), CONTENT.subarray(0, 3), CONTENT, END]);
  await expect(box.download("a.bin", target)).rejects.toMatchObject({
    codeName: "CHECKSUM_MISMATCH",
    message: "'a.bin' doesn't have the announced 10 bytes",
  });
  expect(chunks).toEqual([...CONTENT.subarray(0, 8)]);
});

test("a stream that a download can't be written to is aborted with the error", async () => {
  const aborted: unknown[] = [];
  const target = new WritableStream<Uint8Array>({ abort: (reason) => void aborted.push(reason) });
  const { box } = sending([HEADER, CONTENT, { ...END, sha256: "0".repeat(64) }]);
  const error = await box.download("a.bin", target).catch((reason: unknown) => reason);
  expect(error).toMatchObject({ codeName: "CHECKSUM_MISMATCH" });
  expect(aborted).toEqual([error]);
});

test.each([
  ["text", "a.bin", "INVALID_RESULT"],
  ["a file instead of a list", { name: "a.bin", bytes: 1, modified: 1 }, "INVALID_RESULT"],
  ["a list of text", ["a.bin"], "INVALID_RESULT"],
  ["a file without a size", [{ name: "a.bin", modified: 1 }], "INVALID_RESULT"],
  ["a file without a time", [{ name: "a.bin", bytes: 1 }], "INVALID_RESULT"],
  ["a name that leads elsewhere", [{ name: "../a.bin", bytes: 1, modified: 1 }], "INVALID_FILE_NAME"],
])("%s in a list of files is refused", async (_, item, codeName) => {
  await expect(sending([item]).box.list()).rejects.toMatchObject({ codeName });
});

test("a size that a peer doesn't answer with is INVALID_RESULT", async () => {
  await expect(answering({ [FileMethod.STAT]: null }).box.stat("a.bin")).rejects.toMatchObject(
    invalid("a file's size"),
  );
});

test("a list that doesn't end is given up, and its stream is closed", async () => {
  const entry = { name: "x".repeat(200), bytes: 1, modified: 1 };
  const item = Array.from({ length: 256 }, () => entry);
  const { box, openStreams } = peer({ streams: [Array.from({ length: 1000 }, () => item)] });
  await expect(box.list()).rejects.toMatchObject({ code: ErrorCode.MESSAGE_TOO_LARGE });
  expect(openStreams()).toBe(0);
});

test.each([[undefined], [null], [5], [{}]])(
  "%o as the target of a download is INVALID_CONFIG, and says what it takes",
  async (target) => {
    const { box, asked } = peer({});
    await expect(box.download("a.bin", target as never)).rejects.toMatchObject({
      codeName: "INVALID_CONFIG",
      message: expect.stringContaining('The target of download "a.bin" must be the path of a folder or of a new file'),
    });
    expect(asked).toEqual([]);
  },
);

test("a target of a download that ends with a separator is a folder, which must exist", async () => {
  const folder = await temporaryFolder();
  const { box, asked } = peer({ streams: [[HEADER, CONTENT, END]] });
  for (const target of [`${folder}/missing/`, `${folder}/missing\\`]) {
    await expect(box.download("a.bin", target)).rejects.toMatchObject({
      code: ErrorCode.NOT_FOUND,
      message: `Cannot download "a.bin" to '${target}': there is no folder '${target}'`,
    });
  }
  expect(asked).toEqual([]);
  expect(await box.download("a.bin", `${folder}/`)).toMatchObject({ name: "a.bin" });
});

test("a signal that is none is INVALID_CONFIG", async () => {
  const { box } = peer({});
  await expect(box.download("a.bin", "/tmp", { signal: 5 as never })).rejects.toThrow(
    'signal of download "a.bin" must be an AbortSignal, got 5',
  );
});

/** Like `peer`, with a clock that advances half a second on each read, so that the next attempt starts immediately. */
function hasty(script: Script) {
  let nowMs = 0;
  const clock = {
    get ms() {
      nowMs += 500;
      return nowMs;
    },
  };
  return peer(script, transfersWith({}, clock));
}

test("a download to a stream, which broke off, continues behind the bytes that the stream took", async () => {
  const { box, asked, openStreams } = hasty({
    streams: [
      [HEADER, CONTENT.subarray(0, 4), new ConduitError(ErrorCode.CONNECTION_CLOSED, "lost")],
      [{ ...HEADER, offset: 4 }, CONTENT.subarray(4), { at: 10, sha256: sha256Of(CONTENT.subarray(4)), end: true }],
    ],
  });
  const chunks: number[] = [];
  const target = new WritableStream<Uint8Array>({ write: (chunk) => void chunks.push(...chunk) });
  const result = await box.download("a.bin", target, { resume: true });
  expect(result).toEqual({ name: "a.bin", bytes: 10, sha256: sha256Of(CONTENT), resumedFrom: 4 });
  expect(Uint8Array.from(chunks)).toEqual(CONTENT);
  expect(asked.map(({ offset, bytes, modified }) => [offset, bytes, modified])).toEqual([
    [0, null, null],
    [4, 10, 5],
  ]);
  expect(openStreams()).toBe(0);
});

test("a stream that fails ends a download, also with an error that is temporary elsewhere", async () => {
  const { box, asked } = hasty({
    streams: [
      [HEADER, CONTENT, END],
      [HEADER, CONTENT, END],
    ],
  });
  const target = new WritableStream<Uint8Array>({
    write: () => Promise.reject(new ConduitError(ErrorCode.CONNECTION_CLOSED, "The target is gone")),
  });
  await expect(box.download("a.bin", target, { resume: true })).rejects.toThrow("The target is gone");
  expect(asked).toHaveLength(1);
});

test.each([
  ["another version", { ...HEADER, modified: 6, offset: 0 }],
  ["other bytes before it", { ...HEADER, offset: 4, sha256: sha256Of(new Uint8Array(4)) }],
])("a download to a stream ends with FILE_CHANGED if the peer goes on with %s", async (_, second) => {
  const lost = new ConduitError(ErrorCode.CONNECTION_CLOSED, "lost");
  const { box } = hasty({ streams: [[HEADER, CONTENT.subarray(0, 4), lost], [second]] });
  const download = box.download("a.bin", new WritableStream(), { resume: true });
  await expect(download).rejects.toMatchObject({ codeName: "FILE_CHANGED" });
});
