import assert from "node:assert/strict";
import type { RawPeer } from "../../../packages/core/src/test-support/raw-peer.ts";
import { type ReceivedFrame, Type } from "../../../packages/core/src/testing/raw-frames.ts";
import { answerTo, type Check, frameOf, Skipped } from "../check.ts";
import type { Login } from "./login.ts";

export const ONCE = "Once";
export const ONCE_EXTENSIONS = { close: true, call: true };

let lastId = 1000n;

/** Returns a key that no other check or run uses. */
export function freshKey(): string {
  return crypto.randomUUID();
}

/** Logs in. Skips the check if the peer under test doesn't support `$once`. */
async function loggedIn<Target>(login: Login<Target>, target: Target): Promise<RawPeer> {
  const { peer } = await login(target, ONCE_EXTENSIONS);
  const { payload } = await once(peer, { key: freshKey(), method: "echo", params: {} });
  if (payload?.["code"] === 4000) throw new Skipped("the peer has no method '$once'");
  return peer;
}

/** Calls `$once` with these parameters. */
export function once(peer: RawPeer, params: Readonly<Record<string, unknown>>): Promise<ReceivedFrame> {
  lastId += 1n;
  peer.send(Type.RPC_REQUEST, { method: "$once", params }, { id: lastId });
  return answerTo(peer, lastId);
}

/** Returns the code of an error answer. */
export function codeOf({ type, payload }: ReceivedFrame): unknown {
  assert.equal(type, Type.RPC_ERROR);
  return payload?.["code"];
}

/** Checks of calls with a key, for servers and clients. */
export const onceChecks = <Target>(login: Login<Target>): readonly Check<Target>[] => [
  {
    section: ONCE,
    sentence:
      "Its parameters are `{key: str, method: str, params}` for a call, and `{key: str, type: str, data, delivery?: int, deliveries?: int}` for a message; keys have 1 to 256 UTF-16 units, and names of methods and types at most 1,024.",
    async run(target) {
      const peer = await loggedIn(login, target);
      const echo = { method: "echo", params: { a: 1 } };
      for (const key of ["", "k".repeat(257), 5]) codeOf(await once(peer, { key, ...echo }));
      const { payload } = await once(peer, { key: freshKey().padEnd(256, "k"), ...echo });
      assert.deepEqual(payload?.["result"], { a: 1 });
      const named = async (method: string): Promise<unknown> =>
        codeOf(await once(peer, { key: freshKey(), method, params: {} }));
      assert.deepEqual([await named("m".repeat(1024)), await named("m".repeat(1025))], [4000, 4001]);
    },
  },
  {
    section: ONCE,
    sentence: "With both `method` and `type`, it is a call.",
    async run(target) {
      const peer = await loggedIn(login, target);
      const both = { key: freshKey(), method: "echo", params: { a: 1 }, type: "nobody_has_this", data: 2 };
      const { payload } = await once(peer, both);
      assert.deepEqual(payload?.["result"], { a: 1 });
    },
  },
  {
    section: ONCE,
    sentence: "Its answer is that of the method, or of a `MESSAGE` with an id.",
    async run(target) {
      const peer = await loggedIn(login, target);
      const { payload } = await once(peer, { key: freshKey(), method: "echo", params: { a: 1 } });
      assert.deepEqual(payload?.["result"], { a: 1 });
      assert.equal(codeOf(await once(peer, { key: freshKey(), method: "nobody_has_this", params: {} })), 4000);
    },
  },
  {
    section: ONCE,
    sentence:
      "Every other call with the same key, method or type, and identity (the user, and how it logged in) gets the same answer, also an error, and also while the first one runs.",
    async run(target) {
      const peer = await loggedIn(login, target);
      const [key, wrong] = [freshKey(), freshKey()];
      const ids = [1n, 2n];
      for (const id of ids) {
        peer.send(
          Type.RPC_REQUEST,
          { method: "$once", params: { key, method: "echo", params: { n: Number(id) } } },
          { id },
        );
      }
      // The answers may arrive in any order.
      const answers: ReceivedFrame[] = [];
      while (answers.length < 2) {
        const answer = await frameOf(peer);
        if (ids.includes(answer.id)) answers.push(answer);
      }
      answers.push(await once(peer, { key, method: "echo", params: { n: 3 } }));
      assert.deepEqual(
        answers.map(({ payload }) => payload?.["result"]),
        [{ n: 1 }, { n: 1 }, { n: 1 }],
      );
      const failing = { key: wrong, method: "nobody_has_this", params: {} };
      assert.deepEqual([codeOf(await once(peer, failing)), codeOf(await once(peer, failing))], [4000, 4000]);
    },
  },
];
