import assert from "node:assert/strict";
import type { RawPeer } from "../../../packages/core/src/test-support/raw-peer.ts";
import { frame, type ReceivedFrame, Type } from "../../../packages/core/src/testing/raw-frames.ts";
import { freshKey, ONCE, ONCE_EXTENSIONS, once } from "../both/once.ts";
import { type Check, isAlive, Skipped } from "../check.ts";
import { loggedIn, type ServerUnderTest } from "../server-under-test.ts";

const MIB = 1024 * 1024;

/** Delivers a message whose handler fails. Resolves with the number of times the handler has run for this key. */
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

/** Checks of redelivered messages. */
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
  {
    section: ONCE,
    sentence:
      "The first such call runs the method, or the handlers of the message, to their end, even if it is cancelled or its connection is lost.",
    async run(server) {
      await (await server.loginFor("wire_slow")).dispose();
      const { peer } = await loggedIn(server, { ...ONCE_EXTENSIONS, cancel: true });
      const [cancelled, lost] = [freshKey(), freshKey()];
      const slow = (key: string, id: bigint): Uint8Array =>
        frame(
          Type.RPC_REQUEST,
          { method: "$once", params: { key, method: "wire_slow", params: { key, ms: 300 } } },
          { id },
        );
      peer.write(slow(cancelled, 1n), slow(lost, 2n), frame(Type.CANCEL, undefined, { id: 1n }));
      await isAlive(peer);
      peer.reset();
      const other = (await loggedIn(server, ONCE_EXTENSIONS)).peer;
      for (const key of [cancelled, lost]) {
        const { payload } = await once(other, { key, method: "wire_slow", params: { key, ms: 0 } });
        assert.deepEqual(payload?.["result"], { runs: 1 });
        // If the first call had been aborted, the second call's answer would be used.
        const { payload: third } = await server.callOn(other, "wire_slow", { key, ms: 0 }, 99n);
        assert.deepEqual(third?.["result"], { runs: 2 });
      }
    },
  },
  {
    section: ONCE,
    sentence:
      "When delivery number `deliveries` fails, or fails in a way that another would as well, the receiver keeps the message as a *dead letter*, if `deliveries` is more than 1.",
    async run(server) {
      await (await server.loginFor("wire_dead_letters")).dispose();
      const { peer } = await loggedIn(server, ONCE_EXTENSIONS);
      const letters = async (key: string): Promise<readonly unknown[]> => {
        const { payload } = await server.callOn(peer, "wire_dead_letters", { key }, 99n);
        const all = payload?.["result"] as readonly Readonly<Record<string, unknown>>[];
        return all.map(({ type, data, deliveries }) => [type, data, deliveries]);
      };
      const [key, single, unknown] = [freshKey(), freshKey(), freshKey()];
      for (const delivery of [1, 2]) await deliver(peer, key, delivery, 3);
      assert.deepEqual(await letters(key), [], "It was given up before its last delivery");
      await deliver(peer, key, 3, 3);
      assert.deepEqual(await letters(key), [["wire_fail", { key }, 3]]);
      await deliver(peer, key, 3, 3);
      assert.equal((await letters(key)).length, 1, "The same answer made another dead letter");
      await deliver(peer, single, 1, 1);
      assert.deepEqual(await letters(single), []);
      // There is no handler for it, so another delivery would also fail.
      await once(peer, { key: unknown, type: "nobody has this type", data: 5, delivery: 1, deliveries: 3 });
      assert.deepEqual(await letters(unknown), [["nobody has this type", 5, 1]]);
    },
  },
];

/** Checks that fill the server and must run last. */
export const fullOnceChecks: readonly Check<ServerUnderTest>[] = [
  {
    section: ONCE,
    sentence:
      "A server that remembers 200,000 keys, or 64 MiB of answers, or half of that for one identity, refuses new ones with `RATE_LIMITED`; it removes none early. If there is no room left for the answer of a call that was running by then, others with its key get `MESSAGE_TOO_LARGE`.",
    patienceMs: 60_000,
    async run(server) {
      const { peer } = await loggedIn(server, ONCE_EXTENSIONS);
      const [first, text] = [freshKey(), "x".repeat(MIB)];
      const echo = (key: string, params: object): Promise<ReceivedFrame> => once(peer, { key, method: "echo", params });
      await echo(first, { n: 1 });
      let refused: ReceivedFrame | null = null;
      let last = first;
      for (let count = 0; count < 70 && refused === null; count += 1) {
        const key = freshKey();
        const answer = await echo(key, { text });
        if (answer.type === Type.RPC_ERROR) refused = answer;
        else last = key;
      }
      assert.equal(refused?.payload?.["code"], 6000, "It remembers 70 MiB");
      assert.deepEqual((await echo(first, { n: 2 })).payload?.["result"], { n: 1 });
      const again = await echo(last, { n: 2 });
      if (again.type === Type.RPC_ERROR) assert.equal(again.payload?.["code"], 7003);
      else assert.deepEqual(again.payload?.["result"], { text });
      assert.equal((await echo(freshKey(), { text })).payload?.["code"], 6000);
    },
  },
  {
    section: ONCE,
    sentence:
      "It refuses new ones as well while 10,000 such calls, or 64 MiB of them, continue although their callers have cancelled or disconnected, or half of that for one identity.",
    patienceMs: 60_000,
    async run(server) {
      await (await server.loginFor("wire_slow")).dispose();
      // More than half of 10,000, with no more per connection than run concurrently.
      for (let count = 0; count < 24; count += 1) {
        const { peer } = await loggedIn(server, ONCE_EXTENSIONS);
        const slow = Array.from({ length: 250 }, (_, index) => {
          const key = freshKey();
          const params = { key, method: "wire_slow", params: { key, ms: 10_000 } };
          return frame(Type.RPC_REQUEST, { method: "$once", params }, { id: index + 1 });
        });
        peer.write(...slow);
        await isAlive(peer);
        peer.reset();
        await peer.over;
      }
      const { peer } = await loggedIn(server, ONCE_EXTENSIONS);
      let code: unknown;
      // The server may not have detected yet that the last connections have ended.
      for (let count = 0; count < 200 && code === undefined; count += 1) {
        code = (await once(peer, { key: freshKey(), method: "echo", params: {} })).payload?.["code"];
      }
      assert.equal(code, 6000, "6,000 calls run on, and it takes more");
    },
  },
];
