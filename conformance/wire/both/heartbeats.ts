import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { call, chunksOf, Type, typeName } from "../../../packages/core/src/testing/raw-frames.ts";
import { type Check, frameOf } from "../check.ts";
import { CHUNK, echo } from "./chunks.ts";
import { GRANT } from "./credit.ts";
import type { Login } from "./login.ts";

const SECTION = "Heartbeats";
const EXTENSIONS = { close: true, call: true };
/** Longer than the default timeouts of peers. */
const PATIENT = { patienceMs: 200_000, options: { heartbeatIntervalMs: 100, heartbeatTimeoutMs: 500 } };

/** Checks of silent peers, for servers and clients. They take minutes with a peer's defaults. */
export const heartbeatChecks = <Target>(login: Login<Target>): readonly Check<Target>[] => [
  {
    ...PATIENT,
    section: SECTION,
    sentence: "Each side sends `HEARTBEAT_PING` at an interval of its choice (30 seconds by default).",
    async run(target) {
      const { peer } = await login(target, EXTENSIONS);
      for (let count = 0; count < 2; count += 1) {
        const { id } = await frameOf(peer, Type.HEARTBEAT_PING);
        peer.send(Type.HEARTBEAT_PONG, undefined, { id });
      }
    },
  },
  {
    ...PATIENT,
    section: SECTION,
    sentence:
      "A side that receives nothing for its timeout (90 seconds by default) ends the connection; any byte counts as a sign of life.",
    async run(target) {
      const { peer } = await login(target, EXTENSIONS);
      const before = peer.frames.all.length;
      await peer.over;
      const came = peer.frames.all.slice(before).map(typeName);
      assert.deepEqual([...new Set(came)], ["HEARTBEAT_PING"]);
    },
  },
  {
    ...PATIENT,
    section: SECTION,
    sentence:
      "While a frame, or one that is sent in chunks, is incomplete, at least 1,024 bytes per second must arrive, averaged over each period of the heartbeat's timeout (90 KiB in 90 seconds by default).",
    async run(target) {
      const { peer } = await login(target, { ...EXTENSIONS, credit: GRANT, chunk: CHUNK });
      let isOver = false;
      void peer.over.then(() => {
        isOver = true;
      });
      // The chunks are complete, but their frame isn't.
      const chunks = chunksOf(echo(5n, 60_000), 1n, 10);
      while (!isOver) {
        peer.write(chunks.shift() as Uint8Array);
        await Promise.race([peer.over, sleep(50)]);
      }
      const closing = peer.frames.all.find(({ type }) => type === Type.CLOSE);
      assert.equal(closing?.payload?.["code"], 5022);
    },
  },
  {
    ...PATIENT,
    section: SECTION,
    sentence:
      "A frame that arrives more slowly ends the connection with `FRAME_TIMEOUT` (5022); if the connection has a session, only its stream, since the path may have become silent.",
    async run(target) {
      const { peer } = await login(target, EXTENSIONS);
      let isOver = false;
      void peer.over.then(() => {
        isOver = true;
      });
      const bytes = call(5n, "echo", { text: "x".repeat(10_000) });
      for (let at = 0; !isOver; at += 1) {
        peer.write(bytes.subarray(at, at + 1));
        await Promise.race([peer.over, sleep(50)]);
      }
      const closing = peer.frames.all.find(({ type }) => type === Type.CLOSE);
      assert.equal(closing?.payload?.["code"], 5022);
    },
  },
];
