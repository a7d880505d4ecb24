import assert from "node:assert/strict";
import type { RawPeer } from "../../../packages/core/src/test-support/raw-peer.ts";
import { call, frame, type ReceivedFrame, Type, typeName } from "../../../packages/core/src/testing/raw-frames.ts";
import { answerTo, type Check, frameOf } from "../check.ts";
import type { Login } from "./login.ts";

const SECTION = "Closing";
const EXTENSIONS = { close: true, call: true };
/** A frame of an unknown type ends the connection. */
const FATAL = frame(0x7000);

function since(peer: RawPeer, before: number): readonly ReceivedFrame[] {
  return peer.frames.all.slice(before);
}

/** Checks of the end of a connection, for servers and clients. */
export const closingChecks = <Target>(login: Login<Target>): readonly Check<Target>[] => [
  {
    section: SECTION,
    sentence: "With `close`, a side that ends the connection sends a `CLOSE` frame after everything in its queue.",
    async run(target) {
      const { peer } = await login(target, EXTENSIONS);
      const ids = [1n, 2n, 3n, 4n, 5n];
      peer.write(...ids.map((id) => call(id, "echo", { id: Number(id) })), FATAL);
      const before = peer.frames.all.length;
      await peer.over;
      const names = since(peer, before).map(typeName);
      assert.equal(names.at(-1), "CLOSE", `Got ${names.join()}`);
      // Lists the requests that were started but not answered.
      const { started = [] } = (since(peer, before).at(-1)?.payload ?? {}) as { readonly started?: readonly number[] };
      assert.equal(names.filter((name) => name === "RPC_RESPONSE").length + started.length, ids.length);
    },
  },
  {
    section: SECTION,
    sentence: "It then ends its direction of the stream (FIN).",
    async run(target) {
      const { peer } = await login(target, EXTENSIONS);
      peer.write(FATAL);
      await frameOf(peer, Type.CLOSE);
      // Without CLOSE_ACK.
      assert.equal(await peer.over, "end");
    },
  },
  {
    section: SECTION,
    sentence:
      "`code` is an error code, 5010 for a normal close; a value other than an integer up to ±(2⁵³ - 1) counts as 5010.",
    async run(target) {
      for (const code of ["5010", 1.5, null, 2 ** 60, [5010], 123_456]) {
        const { peer } = await login(target, EXTENSIONS);
        peer.send(Type.CLOSE, { reason: "done", code, reconnect: false }, { id: 3n });
        assert.equal((await answerTo(peer, 3n)).type, Type.CLOSE_ACK);
        assert.equal(await peer.over, "end");
      }
    },
  },
  {
    section: SECTION,
    sentence: "A second `CLOSE` is ignored.",
    async run(target) {
      const { peer } = await login(target, EXTENSIONS);
      const close = { reason: "done", code: 5010, reconnect: false };
      const before = peer.frames.all.length;
      peer.write(frame(Type.CLOSE, close, { id: 3n }), frame(Type.CLOSE, close, { id: 4n }));
      assert.equal(await peer.over, "end");
      assert.deepEqual(
        since(peer, before)
          .filter(({ type }) => type === Type.CLOSE_ACK)
          .map(({ id }) => id),
        [3n],
      );
    },
  },
  {
    section: SECTION,
    sentence: "Without `close`, a side just ends the stream.",
    async run(target) {
      const { peer } = await login(target, { call: true });
      const before = peer.frames.all.length;
      peer.write(FATAL);
      await peer.over;
      assert.deepEqual(since(peer, before).map(typeName), []);
    },
  },
  {
    section: "Fatal errors",
    sentence: "These errors end the connection.",
    async run(target) {
      const { peer } = await login(target, EXTENSIONS);
      const before = peer.frames.all.length;
      peer.write(FATAL, call(5n, "echo", { late: true }));
      assert.equal((await frameOf(peer, Type.CLOSE)).payload?.["code"], 7002);
      await peer.over;
      assert.deepEqual(since(peer, before).map(typeName), ["CLOSE"], "What came behind it was handled");
    },
  },
];
