import assert from "node:assert/strict";
import { ScramClient } from "../../../packages/core/src/test-support/scram-by-rfc.ts";
import { frame, message, type ReceivedFrame, rawFrame, Type } from "../../../packages/core/src/testing/raw-frames.ts";
import { answerTo, type Check, frameOf, isAlive, isClosedWith } from "../check.ts";
import type { ServerUnderTest } from "../server-under-test.ts";

const bytes = (...parts: readonly (number | string | Uint8Array)[]): Uint8Array =>
  Buffer.concat(parts.map((part) => (typeof part === "number" ? Uint8Array.of(part) : Buffer.from(part))));

/** `{method: "echo", params: …}` with these bytes as the value of `params`. */
const echo = (params: Uint8Array): Uint8Array => bytes(0x82, 0xa6, "method", 0xa4, "echo", 0xa6, "params", params);
/** `{v: …}` with these bytes as the value. */
const holding = (...value: readonly (number | string | Uint8Array)[]): Uint8Array => bytes(0x81, 0xa1, "v", ...value);

function isError(answer: ReceivedFrame, code: number): void {
  assert.equal(answer.type, Type.RPC_ERROR);
  assert.equal(answer.payload?.["success"], false);
  assert.equal(typeof answer.payload?.["error"], "string");
  assert.equal(answer.payload?.["code"], code, `RPC_ERROR has ${JSON.stringify(answer.payload)}, not code ${code}`);
}

/** A check that an RPC_REQUEST with each of these payloads is answered with this code, and the connection stays open. */
function answered(section: string, sentence: string, code: number, ...payloads: Uint8Array[]): Check<ServerUnderTest> {
  return {
    section,
    sentence,
    async run(server) {
      const peer = await server.login(["close"]);
      for (const [index, payload] of payloads.entries()) {
        const id = BigInt(index + 1);
        peer.write(rawFrame(Type.RPC_REQUEST, payload, { id }));
        isError(await answerTo(peer, id), code);
      }
      await isAlive(peer);
    },
  };
}

export const rpcChecks: readonly Check<ServerUnderTest>[] = [
  {
    section: "Payloads",
    sentence: "Map keys may come in any order, and receivers ignore unknown keys.",
    async run(server) {
      const peer = await server.loginFor("echo");
      peer.send(Type.RPC_REQUEST, { x: 1, params: { a: 1 }, "y\n": [], method: "echo" }, { id: 1n });
      assert.deepEqual((await answerTo(peer, 1n)).payload?.["result"], { a: 1 });
    },
  },
  answered(
    "Payloads",
    "The keys `__proto__`, `constructor` and `prototype` are rejected (`FORBIDDEN_KEY`).",
    7011,
    echo(bytes(0x81, 0xa9, "__proto__", 0x80)),
    echo(bytes(0x81, 0xab, "constructor", 0x80)),
    echo(bytes(0x81, 0xa9, "prototype", 0x80)),
  ),
  answered("Payloads", "Receivers check that strings are valid UTF-8.", 7012, echo(holding(0xa2, 0xc3, 0x28))),
  {
    section: "Payloads",
    sentence: "Values nest at most 128 deep, including the payload's own map.",
    async run(server) {
      const peer = await server.loginFor("echo");
      // The payload's map and `params` are two levels.
      peer.write(rawFrame(Type.RPC_REQUEST, echo(holding(new Uint8Array(125).fill(0x91), 0x90)), { id: 1n }));
      assert.equal((await answerTo(peer, 1n)).type, Type.RPC_RESPONSE);
      peer.write(rawFrame(Type.RPC_REQUEST, echo(holding(new Uint8Array(126).fill(0x91), 0x90)), { id: 2n }));
      isError(await answerTo(peer, 2n), 7008);
    },
  },
  answered("Invalid payloads", "| 7004 | `MALFORMED_PAYLOAD` | not valid MessagePack |", 7004, bytes(0xc1)),
  answered(
    "Invalid payloads",
    "| 7005 | `TRAILING_BYTES` | bytes after the value |",
    7005,
    bytes(echo(bytes(0x80)), 1),
  ),
  answered(
    "Invalid payloads",
    "| 7006 | `TRUNCATED_PAYLOAD` | payload ends inside the value |",
    7006,
    echo(holding(0xa5, "xy")),
    echo(holding(0xdb, 0xff, 0xff, 0xff, 0xff)),
  ),
  answered(
    "Invalid payloads",
    "| 7007 | `COUNT_EXCEEDS_PAYLOAD` | declared element count exceeds the remaining bytes |",
    7007,
    echo(holding(0xdd, 0xff, 0xff, 0xff, 0xff)),
  ),
  answered(
    "Invalid payloads",
    "| 7008 | `TOO_DEEP` | nested too deeply |",
    7008,
    echo(holding(new Uint8Array(1000).fill(0x91), 0xc0)),
  ),
  answered(
    "Invalid payloads",
    "| 7011 | `FORBIDDEN_KEY` | map key that isn't a string, or is one of the three rejected names |",
    7011,
    echo(bytes(0x81, 0x01, 0x02)),
  ),
  answered(
    "Invalid payloads",
    "| 7013 | `INVALID_PAYLOAD_SHAPE` | no payload, missing key, or value of the wrong type |",
    7013,
    bytes(),
    bytes(0xc0),
    bytes(0x91, 0x01),
    bytes(0x80),
    bytes(0x81, 0xa6, "method", 0x07),
  ),
  answered(
    "Invalid payloads",
    "| 4001 | `INVALID_PARAMS` | `params` isn't a map |",
    4001,
    echo(bytes(0x91, 0x01)),
    echo(bytes(0xa1, "x")),
    echo(bytes(0x00)),
  ),
  {
    section: "Invalid payloads",
    sentence: "If a complete frame has an invalid payload, only that frame is lost; the connection continues.",
    async run(server) {
      const peer = await server.login();
      for (const type of [Type.MESSAGE, Type.RPC_REQUEST, Type.RPC_RESPONSE, Type.RPC_ERROR, Type.CLOSE]) {
        peer.write(rawFrame(type, bytes(0xc1)));
      }
      assert.deepEqual(await isAlive(peer), [], "Frames without an id were answered");
    },
  },
  {
    section: "MESSAGE",
    sentence:
      "A reply is always sent: `result` is nil if the handler returned nothing, and code 4011 says that the type has no handler.",
    async run(server) {
      await server.needsExtension("reply");
      const peer = await server.login();
      peer.write(message("no such type", null, 3n));
      isError(await answerTo(peer, 3n), 4011);
    },
  },
  {
    section: "RPC_REQUEST",
    sentence: "`params` is a map; if it is missing or nil, it counts as empty.",
    async run(server) {
      const peer = await server.login();
      for (const payload of [
        { method: "listall" },
        { method: "listall", params: null },
        { method: "listall", params: {} },
      ]) {
        peer.send(Type.RPC_REQUEST, payload, { id: 4n });
        assert.equal((await answerTo(peer, 4n)).type, Type.RPC_RESPONSE);
      }
    },
  },
  {
    section: "RPC_REQUEST",
    sentence: "The reply is `RPC_RESPONSE` or `RPC_ERROR` with the same id.",
    async run(server) {
      const peer = await server.loginFor("echo");
      const id = 0xffff_ffff_ffff_fffen;
      const reply = await server.callOn(peer, "echo", { text: "hello" }, id);
      assert.equal(reply.type, Type.RPC_RESPONSE);
      assert.deepEqual(reply.payload, { success: true, result: { text: "hello" } });
      isError(await server.callOn(peer, "no such method", {}, id), 4000);
    },
  },
  {
    section: "RPC_REQUEST",
    sentence: "Id 0 means that the caller wants no reply; none is sent, not even an error.",
    async run(server) {
      const peer = await server.login();
      peer.call("listall", {}, 0n);
      peer.call("no such method", {}, 0n);
      peer.write(rawFrame(Type.RPC_REQUEST, bytes(0xc1)));
      peer.call("listall", {}, 5n);
      assert.equal((await frameOf(peer)).id, 5n);
    },
  },
  {
    section: "RPC_ERROR",
    sentence: "| 4000 | `METHOD_NOT_FOUND` | the method doesn't exist |",
    async run(server) {
      const peer = await server.login();
      for (const method of ["no such method", "", "__proto__", "constructor"]) {
        isError(await server.callOn(peer, method, {}, 6n), 4000);
      }
    },
  },
  {
    section: "Correlation ids",
    sentence:
      "Until then its id is in use, and another request with that id ends the connection with `DUPLICATE_ID` (7018), because an answer to it would be ambiguous.",
    async run(server) {
      const peer = await server.loginFor("wait");
      peer.call("wait", {}, 7n);
      peer.call("listall", {}, 7n);
      await isClosedWith(peer, 7018);
    },
  },
  {
    section: "Correlation ids",
    sentence: "Each request with an id is answered exactly once, also after `CANCEL`.",
    async run(server) {
      const peer = await server.loginFor("wait");
      peer.call("wait", {}, 8n);
      peer.send(Type.CANCEL, undefined, { id: 8n });
      await answerTo(peer, 8n);
      assert.deepEqual(
        (await isAlive(peer)).map(({ id }) => id),
        [],
      );
    },
  },
  {
    section: "Correlation ids",
    sentence: "An answer whose id matches no pending request is ignored.",
    async run(server) {
      const peer = await server.login();
      for (const id of [0n, 1n, 0xffff_ffff_ffff_ffffn]) {
        peer.send(Type.RPC_RESPONSE, { success: true, result: 1 }, { id });
        peer.send(Type.RPC_ERROR, { success: false, error: "no" }, { id });
      }
      assert.deepEqual(await isAlive(peer), []);
    },
  },
  {
    section: "Extensions",
    sentence: "A `CANCEL` whose id matches no request is ignored, because it may arrive late or twice.",
    async run(server) {
      await server.needsExtension("cancel");
      const peer = await server.login();
      peer.send(Type.CANCEL, undefined, { id: 1n });
      peer.send(Type.CANCEL);
      assert.deepEqual(await isAlive(peer), []);
    },
  },
  {
    section: "Discovery",
    sentence:
      "A frame `RPC_LIST` without a payload requests the same list; the reply is an `RPC_LIST` with the same correlation id and `{methods}` as above.",
    async run(server) {
      const peer = await server.login();
      const { payload } = await server.callOn(peer, "listall", {}, 9n);
      peer.send(Type.RPC_LIST, undefined, { id: 10n });
      const list = await answerTo(peer, 10n);
      assert.equal(list.type, Type.RPC_LIST);
      const result = payload?.["result"] as Record<string, unknown>;
      assert.deepEqual(list.payload?.["methods"], result["methods"]);
    },
  },
  {
    section: "Deadlines",
    sentence:
      "With `deadline`, an `RPC_REQUEST` or `MESSAGE` may say in `timeout_ms` how many more milliseconds its sender waits: an integer from 0 to 4,294,967,295, or else the request is answered with `INVALID_PAYLOAD_SHAPE`.",
    async run(server) {
      await server.needsExtension("deadline");
      const peer = await server.login();
      const ask = (timeout_ms: unknown): Promise<ReceivedFrame> => {
        peer.send(Type.RPC_REQUEST, { method: "listall", params: {}, timeout_ms }, { id: 11n });
        return answerTo(peer, 11n);
      };
      for (const timeout of [null, 0, 60_000, 0xffff_ffff]) {
        assert.equal((await ask(timeout)).type, Type.RPC_RESPONSE);
      }
      for (const timeout of [-1, 1.5, 0x1_0000_0000, "5", true, []]) isError(await ask(timeout), 7013);
    },
  },
  {
    section: "Deadlines",
    sentence:
      "Without `deadline`, a request with a `timeout_ms` above 0 is answered with `INVALID_PAYLOAD_SHAPE`; that of a plain peer is ignored.",
    async run(server) {
      const peer = await server.login(["close"]);
      peer.write(frame(Type.RPC_REQUEST, { method: "listall", params: {}, timeout_ms: 60_000 }, { id: 12n }));
      isError(await answerTo(peer, 12n), 7013);
      for (const value of [60_000, -1, "5", []]) await ignoresOfPlainPeer(server, "timeout_ms", value);
    },
  },
  {
    section: "Metadata",
    sentence:
      "With `meta`, an `RPC_REQUEST` or `MESSAGE` may have a map of strings, `meta`, beside its other keys: at most 64 entries, whose keys and values have at most 4,096 UTF-16 code units together, or else the request is answered with `INVALID_PAYLOAD_SHAPE`.",
    async run(server) {
      await server.needsExtension("meta");
      const peer = await server.login(["meta"]);
      const ask = (meta: unknown): Promise<ReceivedFrame> => {
        peer.send(Type.RPC_REQUEST, { method: "listall", params: {}, meta }, { id: 11n });
        return answerTo(peer, 11n);
      };
      const entries = (count: number): Record<string, string> =>
        Object.fromEntries(Array.from({ length: count }, (_, index) => [`k${index}`, "v"]));
      for (const meta of [null, {}, { traceparent: "00-0af7-b7ad-01" }, entries(64), { key: "v".repeat(4093) }]) {
        assert.equal((await ask(meta)).type, Type.RPC_RESPONSE);
      }
      for (const meta of ["text", [], { key: 1 }, { key: null }, entries(65), { key: "v".repeat(4094) }]) {
        isError(await ask(meta), 7013);
      }
    },
  },
  {
    section: "Metadata",
    sentence:
      "Without `meta`, a request with this key is answered with `INVALID_PAYLOAD_SHAPE`; that of a plain peer is ignored.",
    async run(server) {
      await server.needsExtension("meta");
      const peer = await server.login(["close"]);
      peer.write(frame(Type.RPC_REQUEST, { method: "listall", params: {}, meta: { key: "v" } }, { id: 12n }));
      isError(await answerTo(peer, 12n), 7013);
      for (const value of [{ key: "v" }, "text", [], { key: 1 }]) await ignoresOfPlainPeer(server, "meta", value);
    },
  },
];

/** Checks a plain peer that uses an extension's key for its own purpose. */
async function ignoresOfPlainPeer(server: ServerUnderTest, key: string, value: unknown): Promise<void> {
  const peer = await server.dial();
  await server.logInAs(peer, new ScramClient(server.password), {});
  peer.write(frame(Type.RPC_REQUEST, { method: "listall", params: {}, [key]: value }, { id: 13n }));
  assert.equal((await answerTo(peer, 13n)).type, Type.RPC_RESPONSE);
}
