import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { decodeMulti, encode } from "@msgpack/msgpack";
import type { RawPeer } from "../../../packages/core/src/test-support/raw-peer.ts";
import { frame, type ReceivedFrame, rawFrame, Type } from "../../../packages/core/src/testing/raw-frames.ts";
import { answerTo, type Check, isAlive, Skipped } from "../check.ts";
import type { ServerUnderTest } from "../server-under-test.ts";

const INPUT = 0x0120;
const OUTPUT = 0x0121;
const INPUT_END = 0x0122;
const BINARY = 0x0040;
const MIB = 1024 * 1024;
const CREDIT = { credit: { frames: 1000, bytes: 16 * MIB } };
const STREAM = { streams: 10, overdraft: 32 * MIB };
const FOLDER = "wire";
const CONTENT = new TextEncoder().encode("0123456789");
const FILE = { bytes: CONTENT.length, modified: 5 };

type Params = Readonly<Record<string, unknown>>;

let lastId = 0n;
/** Used for unique names, because files of earlier checks still exist. */
let lastName = 0;

function newName(): string {
  lastName += 1;
  return `wire-${Date.now()}-${lastName}.bin`;
}

function sha256Of(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

function mark(bytes: Uint8Array, other: Params = {}): Params {
  return { at: bytes.length, sha256: sha256Of(bytes), ...other };
}

/** The item after the bytes of {@link CONTENT}, which ends the upload. */
const END: Params = mark(CONTENT, { end: true });

/** Logs in a raw client at a server that serves the checks' folder. */
async function login(server: ServerUnderTest): Promise<RawPeer> {
  await server.needsExtension("stream", STREAM, CREDIT);
  const peer = await server.login({ close: true, cancel: true, ...CREDIT, stream: STREAM });
  const { code } = await ask(peer, "files:offset", { name: newName(), ...FILE, resume: true });
  if (code !== undefined) throw new Skipped(`the server has no folder '${FOLDER}' for uploads`);
  return peer;
}

/** Calls a method and returns the answer's payload. */
async function ask(peer: RawPeer, method: string, params: Params): Promise<Params> {
  lastId += 1n;
  peer.call(method, { folder: FOLDER, ...params }, lastId);
  return (await answerTo(peer, lastId)).payload ?? {};
}

function isReply({ type }: ReceivedFrame): boolean {
  return type === Type.RPC_RESPONSE || type === Type.RPC_ERROR;
}

/** Calls files:upload, and sends these items if it accepts them. Returns the id, and the answer if it has arrived. */
async function begin(peer: RawPeer, params: Params, items: readonly unknown[]): Promise<[bigint, ReceivedFrame]> {
  lastId += 1n;
  const id = lastId;
  const all = { folder: FOLDER, ...FILE, resume: false, offset: 0, ...params };
  peer.write(frame(Type.RPC_REQUEST, { method: "files:upload", input: true, params: all }, { id }));
  const first = await answerTo(peer, id);
  if (isReply(first)) return [id, first];
  for (const item of items) {
    if (item instanceof Uint8Array) peer.write(rawFrame(INPUT, item, { id, flags: BINARY }));
    else peer.write(rawFrame(INPUT, encode(item), { id }));
  }
  return [id, first];
}

/** Uploads these items and returns the answer's payload. */
async function upload(peer: RawPeer, params: Params, items: readonly unknown[]): Promise<Params> {
  const [id, first] = await begin(peer, params, items);
  peer.write(frame(INPUT_END, undefined, { id }));
  let answer = first;
  while (!isReply(answer)) answer = await answerTo(peer, id);
  return answer.payload ?? {};
}

/** Uploads a file and returns its name. */
async function uploaded(peer: RawPeer, params: Params = {}): Promise<string> {
  const name = newName();
  const { result } = await upload(peer, { name, ...params }, [CONTENT, END]);
  assert.deepEqual(result, { name, bytes: CONTENT.length, sha256: sha256Of(CONTENT) });
  return name;
}

/** Returns the items of an output. */
async function outputOf(peer: RawPeer, method: string, params: Params): Promise<readonly unknown[]> {
  lastId += 1n;
  const id = lastId;
  const all = { method, output: 1_000_000, params: { folder: FOLDER, ...params } };
  peer.write(frame(Type.RPC_REQUEST, all, { id }));
  const items: unknown[] = [];
  for (;;) {
    const received = await answerTo(peer, id);
    if (received.type === OUTPUT) {
      const { flags, payloadBytes } = received;
      items.push(...((flags & BINARY) === 0 ? decodeMulti(payloadBytes) : [payloadBytes]));
    } else if (isReply(received)) {
      assert.equal(received.payload?.["success"], true, `${method} was refused`);
      return items;
    }
  }
}

/** Returns the bytes among a file's items. */
function bytesOf(items: readonly unknown[]): string {
  return Buffer.concat(items.filter((item) => item instanceof Uint8Array)).toString();
}

/** Returns the result of `files:stat`. */
async function factsOf(peer: RawPeer, name: string): Promise<Params> {
  return (await ask(peer, "files:stat", { name }))["result"] as Params;
}

async function refusesName(peer: RawPeer, name: unknown): Promise<void> {
  for (const method of ["files:stat", "files:remove"]) {
    assert.equal((await ask(peer, method, { name }))["code"], 4100, `${method} took ${JSON.stringify(name)}`);
  }
  const { code } = await upload(peer, { name }, [CONTENT, END]);
  assert.equal(code, 4100, `files:upload took ${JSON.stringify(name)}`);
}

export const fileChecks: readonly Check<ServerUnderTest>[] = [
  {
    section: "Files",
    sentence:
      "The serving side takes it in Unicode's form NFC and judges it; a name that a system could take for a path, a device or another file is answered with `INVALID_FILE_NAME` (4100).",
    async run(server) {
      const peer = await login(server);
      for (const name of ["../a", "a/b", "a\\b", "C:a", "a\0b", "a／b", "nul.txt", "COM1", ".NetConduit"]) {
        await refusesName(peer, name);
      }
      await isAlive(peer);
    },
  },
  {
    section: "Files",
    sentence: "is `.` or `..`, or ends with a dot or a space;",
    async run(server) {
      const peer = await login(server);
      for (const name of [".", "..", "a.", "a "]) await refusesName(peer, name);
    },
  },
  {
    section: "Files",
    sentence: "A name is one part of a path, of 1 to 240 bytes.",
    async run(server) {
      const peer = await login(server);
      for (const name of ["", "x".repeat(241), "é".repeat(121), 7]) await refusesName(peer, name);
    },
  },
  {
    section: "Files",
    sentence: "A folder that isn't served, and a file that isn't there, is `NOT_FOUND` (4010).",
    async run(server) {
      const peer = await login(server);
      const name = await uploaded(peer);
      assert.equal((await ask(peer, "files:stat", { folder: "no such folder", name }))["code"], 4010);
      assert.equal((await ask(peer, "files:stat", { name: newName() }))["code"], 4010);
      assert.equal((await ask(peer, "files:remove", { name: newName() }))["code"], 4010);
    },
  },
  {
    section: "Files",
    sentence: "| `files:list` | none | an output, whose items are arrays of `{name, bytes, modified}` |",
    async run(server) {
      const peer = await login(server);
      const name = await uploaded(peer);
      const files = (await outputOf(peer, "files:list", {})).flat() as Params[];
      const { modified } = await factsOf(peer, name);
      assert.deepEqual(
        files.find((file) => file["name"] === name),
        { name, bytes: CONTENT.length, modified },
      );
    },
  },
  {
    section: "Files",
    sentence: "| `files:remove` | `{name}` | `{removed: true}` |",
    async run(server) {
      const peer = await login(server);
      const name = await uploaded(peer);
      assert.deepEqual((await ask(peer, "files:remove", { name }))["result"], { removed: true });
      assert.equal((await ask(peer, "files:stat", { name }))["code"], 4010);
    },
  },
  {
    section: "Items of a file",
    sentence:
      "A difference, a stream without a last mark, another size than was announced, is `CHECKSUM_MISMATCH` (4106).",
    async run(server) {
      const peer = await login(server);
      const short = CONTENT.subarray(1);
      for (const items of [
        [CONTENT, { ...END, sha256: "0".repeat(64) }],
        [CONTENT, { ...END, at: 9 }],
        [CONTENT, { ...END, file: "0".repeat(64) }],
        [CONTENT, mark(CONTENT)],
        [CONTENT],
        [short, mark(short, { end: true })],
      ]) {
        const name = newName();
        assert.equal((await upload(peer, { name }, items))["code"], 4106);
        assert.equal((await ask(peer, "files:stat", { name }))["code"], 4010);
      }
    },
  },
  {
    section: "Uploads",
    sentence: "`files:offset` asks for how much that is: 0 for another file.",
    async run(server) {
      const peer = await login(server);
      const file = { name: newName(), ...FILE, resume: true };
      const part = CONTENT.subarray(0, 4);
      const [id] = await begin(peer, file, [part, mark(part)]);
      // Frames are handled in order, so the mark has been received when this ends the upload.
      peer.write(frame(Type.CANCEL, undefined, { id }), frame(INPUT_END, undefined, { id }));
      while (!isReply(await answerTo(peer, id)));
      const { result } = await ask(peer, "files:offset", file);
      const { offset, sha256 } = result as Params;
      assert.ok(offset === 0 || offset === 4, `The offset is ${String(offset)}`);
      if (offset === 4) assert.ok(sha256 === null || sha256 === sha256Of(part));
      for (const other of [{ bytes: 11 }, { modified: 6 }, { name: newName() }]) {
        const answer = (await ask(peer, "files:offset", { ...file, ...other }))["result"];
        assert.equal((answer as Params)["offset"], 0);
      }
    },
  },
  {
    section: "Uploads",
    sentence:
      "`offset` of `files:upload` is 0 or what `files:offset` has answered; else the call fails with `WRONG_OFFSET` (4104), and `details.offset` is right.",
    async run(server) {
      const peer = await login(server);
      const { code, details } = await upload(peer, { name: newName(), resume: true, offset: 4 }, []);
      assert.deepEqual([code, (details as Params | undefined)?.["offset"]], [4104, 0]);
    },
  },
  {
    section: "Uploads",
    sentence:
      "If the answer to one was lost, the next attempt, by the same peer for the same file, isn't `FILE_EXISTS`: as long as the file stands there unchanged, `files:offset` answers with its size, and `files:upload` at this offset with the same answer as before, whatever its input.",
    async run(server) {
      const peer = await login(server);
      const transfer = `wire ${newName()}`;
      const name = await uploaded(peer, { resume: true, transfer });
      const file = { name, ...FILE, resume: true };
      const sha256 = sha256Of(CONTENT);
      const { result } = await ask(peer, "files:offset", { ...file, transfer });
      assert.deepEqual(result, { offset: CONTENT.length, sha256 });
      const again = await upload(peer, { ...file, transfer, offset: CONTENT.length }, []);
      assert.deepEqual(again["result"], { name, bytes: CONTENT.length, sha256 });
      assert.equal((await ask(peer, "files:offset", { ...file, transfer: "another" }))["code"], 4101);
    },
  },
  {
    section: "Downloads",
    sentence:
      "The offset is the one asked for if `bytes` and `modified` of the call are those of the file, and else 0.",
    async run(server) {
      const peer = await login(server);
      const name = await uploaded(peer);
      const { bytes, modified } = await factsOf(peer, name);
      for (const [asked, offset] of [
        [{ offset: 4, bytes, modified }, 4],
        [{ offset: 4, bytes: 11, modified }, 0],
        [{ offset: 4, bytes, modified: Number(modified) + 1 }, 0],
        [{ offset: 0, bytes: null, modified: null }, 0],
      ] as const) {
        const [header, ...items] = await outputOf(peer, "files:download", { name, ...asked });
        const { sha256, ...begins } = header as Params;
        assert.deepEqual(begins, { bytes, modified, offset });
        assert.ok(sha256 === null || sha256 === sha256Of(CONTENT.subarray(0, offset)));
        const rest = CONTENT.subarray(offset);
        assert.equal(bytesOf(items), new TextDecoder().decode(rest));
        const { at, sha256: carried, end } = items.at(-1) as Params;
        assert.deepEqual([at, carried, end], [bytes, sha256Of(rest), true]);
      }
    },
  },
  {
    section: "Uploads",
    sentence: "With `resume: true`, the receiving side keeps what was verified if the transfer is interrupted.",
    async run(server) {
      const first = await login(server);
      const file = { name: newName(), ...FILE, resume: true };
      const [part, rest] = [CONTENT.subarray(0, 4), CONTENT.subarray(4)];
      await begin(first, file, [part, mark(part)]);
      // There is no event for the comparison of a mark.
      await sleep(200);
      await first.dispose();
      const peer = await login(server);
      const { offset } = (await ask(peer, "files:offset", file))["result"] as Params;
      assert.equal(offset, 4);
      const last = { at: CONTENT.length, sha256: sha256Of(rest), end: true, file: sha256Of(CONTENT) };
      const { result } = await upload(peer, { ...file, offset }, [rest, last]);
      assert.deepEqual(result, { name: file.name, bytes: CONTENT.length, sha256: sha256Of(CONTENT) });
    },
  },
  {
    section: "Uploads",
    sentence:
      "The answer comes when the file is complete, on the disk, and has its name, which may be another than the one asked for.",
    async run(server) {
      const peer = await login(server);
      const { result } = await upload(peer, { name: newName() }, [CONTENT, END]);
      const { name } = result as { readonly name: string };
      assert.equal((await factsOf(peer, name))["bytes"], CONTENT.length);
      const items = await outputOf(peer, "files:download", { name, offset: 0, bytes: null, modified: null });
      assert.equal(bytesOf(items), new TextDecoder().decode(CONTENT));
    },
  },
  {
    section: "Uploads",
    sentence: "A receiving side that doesn't know `transfer` ignores it.",
    async run(server) {
      await uploaded(await login(server), { transfer: "wire" });
    },
  },
];
