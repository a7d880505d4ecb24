import assert from "node:assert/strict";
import { frame, Type, typeName } from "../../../packages/core/src/testing/raw-frames.ts";
import { answerTo, type Check, frameOf, isAlive } from "../check.ts";
import type { Login } from "./login.ts";

const COMPRESSED = 0x0001;
const EXTENSIONS = { close: true, call: true };
const ECHO = { method: "echo", params: { a: 1 } };

/** Checks of frames that the other side must reject or ignore, for servers and clients. */
export const unaskedChecks = <Target>(login: Login<Target>): readonly Check<Target>[] => [
  {
    section: "Compression",
    sentence:
      "Both sides must have agreed on the extension `compression`: otherwise the payload is refused with `UNSUPPORTED_FLAG` (7016), like any invalid payload.",
    async run(target) {
      const { peer } = await login(target, EXTENSIONS);
      peer.write(frame(Type.RPC_REQUEST, ECHO, { id: 900n, flags: COMPRESSED }));
      const { type, payload } = await answerTo(peer, 900n);
      assert.deepEqual([type, payload?.["code"]], [Type.RPC_ERROR, 7016]);
      await isAlive(peer);
    },
  },
  {
    section: "Closing",
    sentence: "The side that sent `CLOSE` ignores everything after it and need not wait for `CLOSE_ACK`.",
    async run(target) {
      const { peer } = await login(target, EXTENSIONS);
      // A message of an unknown type.
      peer.write(frame(0x7000));
      await frameOf(peer, Type.CLOSE);
      const before = peer.frames.all.length;
      peer.write(frame(Type.RPC_REQUEST, ECHO, { id: 901n }));
      await peer.over;
      assert.deepEqual(peer.frames.all.slice(before).map(typeName), [], "A frame came behind CLOSE");
    },
  },
];
