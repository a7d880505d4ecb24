import assert from "node:assert/strict";
import { typeName } from "../../../packages/core/src/testing/raw-frames.ts";
import { CHUNK, chunkChecks, echo } from "../both/chunks.ts";
import { GRANT } from "../both/credit.ts";
import { answerTo, type Check } from "../check.ts";
import { loggedIn, type ServerUnderTest } from "../server-under-test.ts";

export const serverChunkChecks: readonly Check<ServerUnderTest>[] = [
  {
    section: "Extensions",
    sentence: "In force only together with `credit`: its acknowledgements must always be read",
    async run(server) {
      await server.needsExtension("chunk", CHUNK, { credit: GRANT });
      const peer = await server.login({ chunk: CHUNK });
      peer.write(echo(5n));
      assert.equal(typeName(await answerTo(peer, 5n)), "RPC_RESPONSE");
    },
  },
  ...chunkChecks(loggedIn),
];
