import { createHash, createHmac, pbkdf2Sync } from "node:crypto";
import { describe, expect, test } from "vitest";
import { ScramClient, ScramServer } from "../packages/core/src/auth/scram.ts";
import { deriveServerKeys } from "../packages/core/src/auth/scram-keys.ts";
import type { ConnectionSettings } from "../packages/core/src/connection/connection-settings.ts";
import { ExtensionRegistry } from "../packages/core/src/connection/extension-registry.ts";
import { CANCEL_FRAME } from "../packages/core/src/extensions/cancel.ts";
import { CHUNK_ACK_FRAME } from "../packages/core/src/extensions/chunk.ts";
import { CREDIT_FRAME } from "../packages/core/src/extensions/credit.ts";
import { DRAIN_FRAME, DRAINED_FRAME } from "../packages/core/src/extensions/drain.ts";
import { builtInExtensions } from "../packages/core/src/extensions/index.ts";
import { READY_FRAME } from "../packages/core/src/extensions/ready.ts";
import { REFUSED_FRAME } from "../packages/core/src/extensions/refusal.ts";
import { CREDENTIALS_EXPIRING_FRAME, CREDENTIALS_FRAME } from "../packages/core/src/extensions/renewal.ts";
import { SESSION_ACK_FRAME } from "../packages/core/src/extensions/resume/resume.ts";
import { StreamFlag, StreamFrame } from "../packages/core/src/extensions/streams/stream-frames.ts";
import {
  TOPIC_DATA_FRAME,
  TOPIC_END_FRAME,
  TOPIC_PRESENCE_FRAME,
  TOPIC_START_FRAME,
} from "../packages/core/src/extensions/topics/topic.ts";
import { decodeBase64 } from "../packages/core/src/util/base64.ts";
import { Flag, FrameType } from "../packages/core/src/wire/constants.ts";
import { FrameDecoder } from "../packages/core/src/wire/frame-decoder.ts";
import { anyFrameType } from "../packages/core/src/wire/frame-types.ts";
import { FrameWriter } from "../packages/core/src/wire/frame-writer.ts";
import { PayloadReader } from "../packages/core/src/wire/payload-reader.ts";
import { nodeRuntime } from "../packages/node/src/runtime.ts";
import { codeBlocks, codeIn, readText, tableRows } from "./lib/markdown.ts";
import { annotation } from "./lib/programs.ts";

const FILE = "PROTOCOL.md";
const text = readText(FILE);

/** The block with the comment `<!-- name: value -->`. */
function blockWith(name: string, value: string): string {
  const block = codeBlocks(FILE).find((one) => annotation(one, name) === value);
  if (block === undefined) throw new Error(`${FILE} has no block with <!-- ${name}: ${value} -->`);
  return block.code;
}

/** The bytes of a dump: pairs of hex digits at the start of each line, followed by remarks. */
function dumpedBytes(dump: string): string {
  return dump
    .split("\n")
    .map((line) => /^(?:[0-9a-f]{2} {1,2})*[0-9a-f]{2}(?= |$)/.exec(line)?.[0].replaceAll(" ", "") ?? "")
    .join("");
}

function tableOf(heading: string, column: string): string[] {
  return tableRows(text, heading, column).map((row) => `${codeIn(row[column] ?? "")} ${codeIn(row["Name"] ?? "")}`);
}

function inHex(numbers: Readonly<Record<string, number>>): string[] {
  return Object.entries(numbers).map(([name, number]) => `0x${number.toString(16).padStart(4, "0")} ${name}`);
}

describe("frames in PROTOCOL.md", () => {
  test("the table of types matches the code", () => {
    const ofExtensions = {
      CANCEL: CANCEL_FRAME,
      CREDIT: CREDIT_FRAME,
      CHUNK_ACK: CHUNK_ACK_FRAME,
      DRAIN: DRAIN_FRAME,
      DRAINED: DRAINED_FRAME,
      READY: READY_FRAME,
      REFUSED: REFUSED_FRAME,
      CREDENTIALS_EXPIRING: CREDENTIALS_EXPIRING_FRAME,
      CREDENTIALS: CREDENTIALS_FRAME,
      ...StreamFrame,
      SESSION_ACK: SESSION_ACK_FRAME,
      TOPIC_START: TOPIC_START_FRAME,
      TOPIC_DATA: TOPIC_DATA_FRAME,
      TOPIC_PRESENCE: TOPIC_PRESENCE_FRAME,
      TOPIC_END: TOPIC_END_FRAME,
    };
    expect(tableOf("Frame types", "Type")).toEqual(inHex({ ...FrameType, ...ofExtensions }).sort());
  });

  test("the table of flags matches the code", () => {
    const { MORE, BLOCKED } = StreamFlag;
    expect(tableOf("Flags", "Flag")).toEqual(inHex({ ...Flag, MORE, BLOCKED }).sort());
  });

  const writer = new FrameWriter({ wallClock: () => 1_702_500_000_123, maxMessageBytes: 1024, compress: null });
  const written = (): string => Buffer.from(writer.bytes.subarray(writer.start, writer.end)).toString("hex");

  test("the dump of a request is what the encoder writes", () => {
    writer.rpcRequest(1, 0, "add", { a: 1, b: 2.5 }, 30_000);
    expect(dumpedBytes(blockWith("frame", "request"))).toBe(written());
  });

  test("the dump of a response is what the encoder writes", () => {
    writer.rpcResponse(1, 0, 3.5);
    expect(dumpedBytes(blockWith("frame", "response"))).toBe(written());
  });

  test("the dump of a request matches its description", () => {
    const decoder = new FrameDecoder(1024, anyFrameType);
    decoder.push(new Uint8Array(Buffer.from(dumpedBytes(blockWith("frame", "request")), "hex")));
    expect(decoder.next()).toBe(true);
    const reader = new PayloadReader(nodeRuntime.inflate, 1024);
    reader.readRpcRequest(decoder);
    const { type, timestampMs, correlationHi, correlationLo } = decoder;
    expect({ type, timestampMs, id: correlationHi * 2 ** 32 + correlationLo }).toEqual({
      type: FrameType.RPC_REQUEST,
      timestampMs: Date.parse("2023-12-13T20:40:00.123Z"),
      id: 4_294_967_296,
    });
    expect([reader.name, reader.value, reader.timeoutMs]).toEqual(["add", { a: 1, b: 2.5 }, 30_000]);
  });
});

describe("SCRAM in PROTOCOL.md", () => {
  const shown = (block: string): Map<string, string> =>
    new Map(block.split("\n").map((line) => line.split(/ {2,}/) as [string, string]));
  const messages = shown(blockWith("scram", "messages"));
  const message = (name: string): string => messages.get(`${name}-message`) ?? "";
  const attribute = (from: string, name: string): string =>
    message(from)
      .split(",")
      .find((part) => part.startsWith(`${name}=`))
      ?.slice(2) ?? "";

  const { crypto } = nodeRuntime;
  const username = attribute("client-first", "n");
  const clientNonce = attribute("client-first", "r");
  const serverNonce = attribute("server-first", "r").slice(clientNonce.length);
  const salt = decodeBase64(attribute("server-first", "s")) as Uint8Array;
  const iterations = Number(attribute("server-first", "i"));
  const password = "pencil";

  test("the client of this library sends the example's messages", async () => {
    const client = new ScramClient(password, crypto, { username, nonce: clientNonce });
    expect(client.clientFirst).toBe(message("client-first"));
    expect(await client.challenge(message("server-first"))).toBe(message("client-final"));
    client.verify(message("server-final"));
  });

  test("the server of this library sends the example's messages", async () => {
    const keys = await deriveServerKeys(password, iterations, crypto, salt);
    const server = new ScramServer(keys, crypto, serverNonce);
    expect(server.first(message("client-first"))).toBe(message("server-first"));
    expect(await server.final(message("client-final"))).toBe(message("server-final"));
  });

  test("the intermediate values follow from the formulas", () => {
    const hmac = (key: Buffer, data: string): Buffer => createHmac("sha256", key).update(data).digest();
    const salted = pbkdf2Sync(password, salt, iterations, 32, "sha256");
    const clientKey = hmac(salted, "Client Key");
    const storedKey = createHash("sha256").update(clientKey).digest();
    const bare = message("client-first").slice(3);
    const authMessage = `${bare},${message("server-first")},c=biws,r=${attribute("server-first", "r")}`;
    const values = { SaltedPassword: salted, ClientKey: clientKey, StoredKey: storedKey };
    const others = { ClientSignature: hmac(storedKey, authMessage), ServerKey: hmac(salted, "Server Key") };
    const expected = Object.entries({ ...values, ...others }).map(([name, value]) => [name, value.toString("hex")]);
    expect([...shown(blockWith("scram", "values"))]).toEqual(expected);
  });
});

describe("extensions in PROTOCOL.md", () => {
  test("the table matches the code", () => {
    const described = tableRows(text, "Extensions", "Extension").map((row) => codeIn(row["Extension"] ?? ""));
    const settings = {
      enableBackpressure: true,
      enableCompression: true,
      renewsCredentials: true,
      resume: { windowMs: 1, maxBytes: 65_536 },
    } as ConnectionSettings;
    const offered = new ExtensionRegistry(builtInExtensions, settings).offer;
    expect(described.toSorted()).toEqual(Object.keys(offered).toSorted());
  });
});
