import assert from "node:assert/strict";
import type { RawPeer } from "../../packages/core/src/test-support/raw-peer.ts";
import { Type } from "../../packages/core/src/testing/raw-frames.ts";
import { CODES } from "./both/plain.ts";
import { type Check, frameOf, Skipped } from "./check.ts";
import { type ClientUnderTest, challenged, requestOn, SUCCESS } from "./client-under-test.ts";

/** Sends a plain server's result and returns what the client program receives. */
async function madeOf(client: ClientUnderTest, result: unknown): Promise<unknown> {
  const { peer, id } = await called(client);
  peer.send(Type.RPC_RESPONSE, { success: true, result }, { id });
  return (await frameOf(peer, Type.MESSAGE)).payload;
}

/** Resolves with the client's call to a plain server. Skips the check if the client rejects plain servers. */
async function called(client: ClientUnderTest): Promise<{ readonly peer: RawPeer; readonly id: bigint }> {
  const login = await requestOn(await client.connect());
  const { peer } = login;
  peer.send(Type.AUTH_SUCCESS, { ...SUCCESS, scram: await challenged(login) });
  const ended = peer.over.then(() => {
    throw new Skipped("the client refuses plain servers");
  });
  const { id, payload } = await Promise.race([frameOf(peer, Type.RPC_REQUEST), ended]);
  assert.deepEqual(Object.keys(payload ?? {}).sort(), ["method", "params"]);
  return { peer, id };
}

/** Checks of a client of a plain server. */
export const clientPlainChecks: readonly Check<ClientUnderTest>[] = [
  {
    section: "Plain peers",
    sentence: "A client unwraps the first if it has exactly these two keys, and treats the second as an error.",
    async run(client) {
      assert.deepEqual(await madeOf(client, { success: true, data: [5] }), { type: "result", data: [5] });
      const more = { success: true, data: [5], message: "more" };
      assert.deepEqual(await madeOf(client, more), { type: "result", data: more });
      const error = { success: false, error: "no", code: 9123 };
      assert.deepEqual(await madeOf(client, error), { type: "error", data: { code: 9123 } });
    },
  },
  {
    section: "Error numbers of plain peers",
    sentence: "Where a number is in several rows, the first of them counts.",
    async run(client) {
      for (const [ours, theirs] of [...CODES, [3000, 3002], [9001, 9001]] as const) {
        const made = await madeOf(client, { success: false, error: "no", code: theirs });
        assert.deepEqual(made, { type: "error", data: { code: ours } });
      }
    },
  },
];
