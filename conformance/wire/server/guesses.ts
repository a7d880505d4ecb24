import assert from "node:assert/strict";
import type { RawPeer } from "../../../packages/core/src/test-support/raw-peer.ts";
import { ScramClient } from "../../../packages/core/src/test-support/scram-by-rfc.ts";
import { type ReceivedFrame, Type, typeName } from "../../../packages/core/src/testing/raw-frames.ts";
import { type Check, frameOf, Skipped } from "../check.ts";
import { isRefused, type ServerUnderTest } from "../server-under-test.ts";

const SECTION = "AUTH_FAILURE";
const NONCE = "0123456789abcdefghijkl";
/** Twice the number of guesses that an address may make in a burst. */
const MANY = 40;
/** Maximum number of pending connections of servers that this is checked on. */
const MAX_PENDING = 500;
const LATE = { section: "Login", options: { authTimeoutMs: 300 }, patienceMs: 30_000 } as const;

/** Requests a challenge and returns the means to answer it. */
async function challenged(
  server: ServerUnderTest,
  scram: ScramClient,
): Promise<{ readonly peer: RawPeer; readonly answer: Uint8Array }> {
  const peer = await server.dial();
  peer.send(Type.AUTH_REQUEST, { scram: scram.clientFirst, extensions: {} });
  return { peer, answer: await server.answered(peer, scram) };
}

/** Sends `count` proofs at once and returns the answers. */
async function answersTo(server: ServerUnderTest, count: number, scram: () => ScramClient): Promise<ReceivedFrame[]> {
  const logins = await Promise.all(Array.from({ length: count }, () => challenged(server, scram())));
  for (const { peer, answer } of logins) peer.write(answer);
  return Promise.all(logins.map(({ peer }) => frameOf(peer)));
}

function codesOf(answers: readonly ReceivedFrame[]): unknown[] {
  return answers.map(({ payload }) => payload?.["code"]);
}

/** Checks of wrong passwords. They run last, because they use up this address's guesses. */
export const guessChecks: readonly Check<ServerUnderTest>[] = [
  {
    ...LATE,
    sentence: "A server ends the connection if the login takes too long (10 seconds by default).",
    async run(server) {
      await endsAtLast(await server.dial());
      await endsAtLast((await challenged(server, new ScramClient(server.password))).peer);
    },
  },
  {
    section: SECTION,
    sentence: "The server then closes the connection.",
    async run(server) {
      const peer = await server.dial();
      peer.send(Type.AUTH_REQUEST, { extensions: {} });
      await isRefused(peer, 3000);
    },
  },
  {
    section: SECTION,
    sentence: "A server never reports what was wrong with a proof, and a client must not tell users more than this.",
    async run(server) {
      const reports: unknown[] = [];
      const first = new ScramClient(`not ${server.password}`, NONCE);
      const { peer, answer } = await challenged(server, first);
      peer.write(answer);
      reports.push((await frameOf(peer)).payload);
      for (const data of ["", "hello", `c=biws,r=${NONCE},p=${"A".repeat(43)}=`]) {
        const other = (await challenged(server, new ScramClient(server.password))).peer;
        other.send(Type.AUTH_RESPONSE, { data });
        reports.push((await frameOf(other)).payload);
      }
      for (const report of reports) assert.deepEqual(report, reports[0]);
    },
  },
  {
    section: SECTION,
    sentence:
      "A frame with a proof takes one from the budget before it is checked, and a right password gives it back.",
    async run(server) {
      for (let round = 0; round < 2; round += 1) {
        const answers = await answersTo(server, MANY / 2, () => new ScramClient(server.password));
        assert.deepEqual([...new Set(answers.map(typeName))], ["AUTH_SUCCESS"]);
      }
    },
  },
  {
    section: SECTION,
    sentence:
      "A proof for which none is left waits while others of its address are being checked, since they may give theirs back.",
    async run(server) {
      const answers = await answersTo(server, MANY, () => new ScramClient(server.password));
      assert.deepEqual([...new Set(answers.map(typeName))], ["AUTH_SUCCESS"]);
    },
  },
  {
    section: SECTION,
    sentence:
      "While the server has its maximum of pending logins, the next connection ends the oldest pending one of the address that has most.",
    options: { maxPendingLogins: 20 },
    async run(server) {
      const first = await server.dial();
      const ended: number[] = [];
      void first.over.then(() => ended.push(0));
      for (let count = 1; count <= MAX_PENDING && ended.length === 0; count += 1) {
        const peer = await server.dial();
        void peer.over.then(() => ended.push(count));
      }
      if (ended.length === 0) throw new Skipped(`more than ${MAX_PENDING} logins may be pending`);
      assert.equal(ended[0], 0, `The pending login number ${ended[0]} was ended, and not the oldest`);
    },
  },
  {
    section: SECTION,
    sentence:
      "If the budget is used up then, it is rejected unchecked with `RATE_LIMITED` (6000) and `retry_after`, in seconds.",
    async run(server) {
      const answers = await answersTo(server, MANY, () => new ScramClient(`not ${server.password}`, undefined));
      const refused = answers.filter(({ payload }) => payload?.["code"] === 6000);
      const codes = codesOf(answers);
      assert.ok(
        codes.every((code) => code === 3001 || code === 6000),
        `The codes are ${[...new Set(codes)].join()}`,
      );
      assert.ok(refused.length > 0, `${MANY} wrong passwords were checked at once`);
      assert.ok(codes.includes(3001), "None was checked");
      for (const { payload } of refused) assert.ok(Number(payload?.["retry_after"]) > 0, "There is no retry_after");
    },
  },
  {
    section: SECTION,
    sentence:
      "A proof for a user, whether the name exists or not, first takes from a reserve that the name has at this address: three wrong passwords, and one more every five minutes.",
    options: { users: { wire: { password: "of the user" } } },
    async run(server) {
      // A name that no other run of this check has used.
      const name = `nobody ${Date.now()}`;
      const wrong = (): ScramClient => new ScramClient("wrong", undefined, name);
      const [right] = await answersTo(server, 1, () => new ScramClient(server.password, undefined, name));
      if (right?.type === Type.AUTH_SUCCESS) throw new Skipped("the server has no users");
      // A server without users charges every name's proof to the budget, which earlier checks have used up.
      if (right?.payload?.["code"] === 6000) throw new Skipped("the server has no users, or the name has no reserve");
      const first = await answersTo(server, MANY, () => new ScramClient(`not ${server.password}`));
      if (!codesOf(first).includes(6000)) throw new Skipped("the budget of this address isn't used up");
      const [answer] = await answersTo(server, 1, wrong);
      assert.equal(answer?.payload?.["code"], 3001, "The name has no reserve of its own");
    },
  },
];

/** Checks that the connection ends with at most an AUTH_FAILURE. */
async function endsAtLast(peer: RawPeer): Promise<void> {
  const before = peer.frames.all.length;
  await peer.over;
  const came = peer.frames.all.slice(before);
  assert.ok(
    came.every(({ type, payload }) => type === Type.AUTH_FAILURE && payload?.["code"] === 3011),
    `Got ${came.map(typeName).join()}`,
  );
}
