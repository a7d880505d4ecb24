import assert from "node:assert/strict";
import type { RawPeer } from "../../packages/core/src/test-support/raw-peer.ts";
import { type ReceivedFrame, Type, typeName } from "../../packages/core/src/testing/raw-frames.ts";
import { type Check, frameOf, isAlive, Skipped } from "./check.ts";
import { type ClientUnderTest, SUCCESS, TOKEN } from "./client-under-test.ts";

const METHODS = "Other login methods";

/** Starts a client that logs in by token. Resolves with its AUTH_REQUEST. Skips the check if it doesn't support tokens. */
async function request(client: ClientUnderTest): Promise<{ peer: RawPeer; first: ReceivedFrame }> {
  const peer = await client.connect({ token: true });
  const first = await frameOf(peer);
  assert.equal(first.type, Type.AUTH_REQUEST);
  if (!Array.isArray(first.payload?.["methods"])) throw new Skipped("the client has no tokens");
  return { peer, first };
}

/** Resolves with the client's answer to the challenge. */
async function challenged(peer: RawPeer): Promise<unknown> {
  peer.send(Type.AUTH_CHALLENGE, { methods: ["scram", "token"] });
  const response = await frameOf(peer);
  assert.equal(response.type, Type.AUTH_RESPONSE);
  return response.payload?.["token"];
}

/** Starts a client that logs in by token, makes its call and renews the token. Skips the check if it doesn't renew it. */
async function renewing(client: ClientUnderTest): Promise<RawPeer> {
  const { peer, first } = await request(client);
  const offer = (first.payload?.["extensions"] ?? {}) as object;
  if (!Object.hasOwn(offer, "renewal")) throw new Skipped("the client has no extension 'renewal'");
  await challenged(peer);
  peer.send(Type.AUTH_SUCCESS, { ...SUCCESS, extensions: { close: true, call: true, renewal: true } });
  await frameOf(peer, Type.RPC_REQUEST);
  return peer;
}

/** Checks of logins by token. Skipped if the client doesn't support tokens. */
export const clientTokenChecks: readonly Check<ClientUnderTest>[] = [
  {
    section: METHODS,
    sentence:
      "Instead of `scram`, `AUTH_REQUEST` may have `methods`, an array of the names of other methods by which the client can log in: `token`, `certificate`.",
    async run(client) {
      const { methods, scram } = (await request(client)).first.payload ?? {};
      assert.deepEqual([methods, scram], [["token"], undefined]);
    },
  },
  {
    section: METHODS,
    sentence: "It has no secret yet.",
    async run(client) {
      const { first } = await request(client);
      assert.ok(!JSON.stringify(first.payload).includes(TOKEN), "The token is in AUTH_REQUEST");
    },
  },
  {
    section: METHODS,
    sentence:
      "The client answers with `AUTH_RESPONSE` `{token}`, if `token` is among them, and `AUTH_SUCCESS` or `AUTH_FAILURE` with `AUTH_FAILED` follows.",
    async run(client) {
      assert.equal(await challenged((await request(client)).peer), TOKEN);
      const { peer } = await request(client);
      peer.send(Type.AUTH_CHALLENGE, { methods: ["scram"] });
      await peer.over;
      const sent = peer.frames.all.filter(({ type }) => type === Type.AUTH_RESPONSE);
      assert.deepEqual(sent.map(typeName), [], "The client answered although it can't log in by a token");
    },
  },
  {
    section: METHODS,
    sentence:
      "`AUTH_SUCCESS` has no `scram` after these methods: TLS has verified the server, or it is on the same machine.",
    async run(client) {
      const { peer } = await request(client);
      await challenged(peer);
      peer.send(Type.AUTH_SUCCESS, { ...SUCCESS, extensions: { close: true, call: true } });
      await frameOf(peer, Type.RPC_REQUEST);
    },
  },
  {
    section: METHODS,
    sentence:
      "A server supports `token` over TLS, Unix sockets and the loopback address alone, and a client sends no token over anything else.",
    outside: true,
    async run(client) {
      await (await request(client)).peer.dispose();
      const peer = await client.connectOutside({ token: true });
      const ended = peer.over.then(() => null);
      const first = await Promise.race([peer.next(), ended]);
      if (first !== null) peer.send(Type.AUTH_CHALLENGE, { methods: ["scram", "token"] });
      // A client without the token sends nothing.
      const second = first === null ? null : await Promise.race([peer.next(), ended]);
      assert.ok(
        !JSON.stringify([first?.payload, second?.payload]).includes(TOKEN),
        "It sends its token over plain TCP",
      );
    },
  },
  {
    section: "Renewal",
    sentence:
      "Servers ignore a `CREDENTIALS` that arrives while they check another one, or within a second after the one before, and clients a `CREDENTIALS_EXPIRING` while they get a new token, or within a second after the one before.",
    async run(client) {
      const peer = await renewing(client);
      for (let asked = 0; asked < 3; asked += 1) peer.send(Type.CREDENTIALS_EXPIRING, { expires_in_ms: 5000 });
      await frameOf(peer, Type.CREDENTIALS);
      const later = await isAlive(peer);
      assert.ok(!later.some(({ type }) => type === Type.CREDENTIALS), "It sent its token again");
    },
  },
  {
    section: "Renewal",
    sentence:
      "With the extension `renewal`, it sends `CREDENTIALS_EXPIRING` before that, with the milliseconds that are left, and the client may answer with `CREDENTIALS` and a new token.",
    async run(client) {
      const peer = await renewing(client);
      peer.send(Type.CREDENTIALS_EXPIRING, { expires_in_ms: 5000 });
      assert.equal((await frameOf(peer, Type.CREDENTIALS)).payload?.["token"], TOKEN);
    },
  },
];
