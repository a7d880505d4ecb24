import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { deflateSync, inflateSync } from "node:zlib";
import { decode, encode } from "@msgpack/msgpack";
import type { RawPeer } from "../../../packages/core/src/test-support/raw-peer.ts";
import {
  COMPRESSED,
  type ReceivedFrame,
  rawFrame,
  Type,
  typeName,
} from "../../../packages/core/src/testing/raw-frames.ts";
import { answerTo, type Check, frameOf, isAlive } from "../check.ts";
import { GRANT } from "./credit.ts";
import type { Login } from "./login.ts";

const SECTION = "Compression";
const EXTENSIONS = { reply: true, close: true, call: true, compression: true };
/** Text that compresses to a tenth of its size. */
const WORDS = Array.from({ length: 400 }, (_, index) => `word ${index * 7919}`).join(" ");

function payloadOf(text: string): Uint8Array {
  return encode({ method: "echo", params: { text } });
}

/** Sends a call of `echo` with exactly this payload and returns the answer. */
async function answerOf(peer: RawPeer, payload: Uint8Array, flags: number): Promise<ReceivedFrame> {
  peer.write(rawFrame(Type.RPC_REQUEST, payload, { id: 5n, flags }));
  return answerTo(peer, 5n);
}

function echoed({ type, flags, payloadBytes }: ReceivedFrame): unknown {
  assert.equal(typeName({ type }), "RPC_RESPONSE");
  const bytes = (flags & COMPRESSED) === 0 ? payloadBytes : inflateSync(payloadBytes);
  return (decode(bytes) as { result?: { text?: unknown } }).result?.text;
}

/** Checks of compressed payloads, for servers and clients. */
export function compressionChecks<Target>(login: Login<Target>): readonly Check<Target>[] {
  const options = { enableCompression: true };
  return [
    {
      section: SECTION,
      sentence: "A payload may be compressed as a whole.",
      options,
      async run(target) {
        const { peer } = await login(target, EXTENSIONS);
        for (const text of ["short", WORDS]) {
          assert.equal(echoed(await answerOf(peer, deflateSync(payloadOf(text)), COMPRESSED)), text);
        }
      },
    },
    {
      section: SECTION,
      sentence:
        "It is then a zlib stream (RFC 1950) that ends exactly where the payload ends, and the frame has the flag `COMPRESSED`.",
      options,
      async run(target) {
        const { peer } = await login(target, EXTENSIONS);
        const whole = deflateSync(payloadOf(WORDS));
        for (const payload of [Buffer.concat([whole, Buffer.alloc(1)]), whole.subarray(0, -1), payloadOf(WORDS)]) {
          const answer = await answerOf(peer, payload, COMPRESSED);
          assert.deepEqual([typeName(answer), answer.payload?.["code"]], ["RPC_ERROR", 7009]);
        }
        assert.equal(echoed(await answerOf(peer, whole, COMPRESSED)), WORDS);
      },
    },
    {
      section: SECTION,
      sentence:
        "A sender compresses a payload if it is larger than 1,024 bytes and becomes smaller, except for requests that had to wait.",
      options,
      async run(target) {
        const { peer } = await login(target, EXTENSIONS);
        const noise = randomBytes(3000);
        for (const [text, isCompressed] of [
          ["x".repeat(900), false],
          [WORDS, true],
        ] as const) {
          const answer = await answerOf(peer, payloadOf(text), 0);
          assert.equal((answer.flags & COMPRESSED) !== 0, isCompressed, `${text.length} characters`);
          assert.equal(echoed(answer), text);
        }
        const answer = await answerOf(peer, encode({ method: "echo", params: { text: noise } }), 0);
        assert.equal(answer.flags & COMPRESSED, 0, "It compressed what doesn't become smaller");
        assert.deepEqual(echoed(answer), new Uint8Array(noise));
      },
    },
    {
      section: SECTION,
      sentence:
        "It also refuses a payload that inflates to more than 65,536 bytes and more than 100 times its compressed size (`INFLATED_TOO_LARGE`), so senders don't compress such payloads.",
      options,
      async run(target) {
        const { peer } = await login(target, EXTENSIONS);
        const [bomb, small] = ["x".repeat(70_000), "x".repeat(60_000)];
        const answer = await answerOf(peer, deflateSync(payloadOf(bomb)), COMPRESSED);
        assert.deepEqual([typeName(answer), answer.payload?.["code"]], ["RPC_ERROR", 7010]);
        assert.equal(echoed(await answerOf(peer, deflateSync(payloadOf(small)), COMPRESSED)), small);
        const back = await answerOf(peer, payloadOf(bomb), 0);
        assert.equal(back.flags & COMPRESSED, 0, "It compressed a payload that it would refuse");
      },
    },
    {
      section: SECTION,
      sentence: "A receiver applies the size limit to the inflated payload.",
      options: { ...options, maxMessageBytes: 100_000 },
      async run(target) {
        const { peer, theirs } = await login(target, { ...EXTENSIONS, limits: { message_bytes: 10_485_760 } });
        const bytes = (theirs["limits"] as { readonly message_bytes: number }).message_bytes;
        // Compresses to a few percent of its size.
        const text = WORDS.repeat(Math.ceil(bytes / WORDS.length) + 1);
        const payload = deflateSync(payloadOf(text), { level: 1 });
        assert.ok(payload.length > text.length / 100, "The test's text compresses too well");
        const answer = await answerOf(peer, payload, COMPRESSED);
        assert.equal(answer.payload?.["code"], 7010);
      },
    },
    {
      section: SECTION,
      sentence: "Limits on rates count inflated bytes; credit counts frames as sent.",
      options,
      async run(target) {
        const { peer, theirs } = await login(target, { ...EXTENSIONS, credit: GRANT });
        const { frames } = theirs["credit"] as { readonly frames: number };
        const request = rawFrame(Type.RPC_REQUEST, deflateSync(payloadOf(WORDS)), { flags: COMPRESSED });
        const count = Math.min(frames, 20_000);
        peer.write(...new Array<Uint8Array>(count).fill(request));
        if (frames <= count) await frameOf(peer, Type.CREDIT);
        await isAlive(peer);
        const back = peer.frames.all.filter(({ type }) => type === Type.CREDIT).map(({ payload }) => payload ?? {});
        const sum = (key: string): number => back.reduce((total, payload) => total + Number(payload[key]), 0);
        assert.equal(sum("bytes"), sum("frames") * request.length);
      },
    },
  ];
}
