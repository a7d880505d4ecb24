import assert from "node:assert/strict";
import type { RawPeer } from "../../../packages/core/src/test-support/raw-peer.ts";
import { Type } from "../../../packages/core/src/testing/raw-frames.ts";
import { freshKey, ONCE, ONCE_EXTENSIONS, once } from "../both/once.ts";
import { type Check, Skipped } from "../check.ts";
import { loggedIn, type ServerUnderTest } from "../server-under-test.ts";

/** Delivers a message whose handler fails. Resolves with how often the handler has run for this key. */
async function deliver(peer: RawPeer, key: string, delivery?: number, deliveries?: number): Promise<unknown> {
  const counts = {
    ...(delivery === undefined ? {} : { delivery }),
    ...(deliveries === undefined ? {} : { deliveries }),
  };
  const { type, payload } = await once(peer, { key, type: "wire_fail", data: { key }, ...counts });
  assert.equal(type, Type.RPC_ERROR);
  const { runs } = (payload?.["details"] ?? {}) as { readonly runs?: unknown };
  if (runs === undefined) throw new Skipped("the server has no message type 'wire_fail'");
  return runs;
}

/** Checks of messages that are delivered again. */
export const redeliveryChecks: readonly Check<ServerUnderTest>[] = [
  {
    section: ONCE,
    sentence:
      "A receiver that knows the answer of delivery *n*, an error, runs the handlers again if `delivery` is greater than *n*, as delivery *n* + 1; otherwise it gives that answer.",
    async run(server) {
      const { peer } = await loggedIn(server, ONCE_EXTENSIONS);
      const key = freshKey();
      const runs: unknown[] = [];
      for (const delivery of [1, 1, 2, 2, 1, 3]) runs.push(await deliver(peer, key, delivery, 5));
      assert.deepEqual(runs, [1, 1, 2, 2, 2, 3]);
    },
  },
  {
    section: ONCE,
    sentence:
      "`delivery` is the number of the delivery that it asks for, from 1, and `deliveries` the greatest that it will ask for, at most 1,000; both are 1 if missing.",
    async run(server) {
      const { peer } = await loggedIn(server, ONCE_EXTENSIONS);
      const key = freshKey();
      assert.deepEqual([await deliver(peer, key), await deliver(peer, key, 1, 1)], [1, 1]);
      for (const [delivery, deliveries] of [
        [0, 2],
        [1, 1001],
      ]) {
        const { type } = await once(peer, { key: freshKey(), type: "wire_fail", data: {}, delivery, deliveries });
        assert.equal(type, Type.RPC_ERROR);
      }
    },
  },
];
