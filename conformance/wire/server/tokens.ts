import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import type { RawPeer } from "../../../packages/core/src/test-support/raw-peer.ts";
import { ScramClient } from "../../../packages/core/src/test-support/scram-by-rfc.ts";
import { type ReceivedFrame, Type, typeName } from "../../../packages/core/src/testing/raw-frames.ts";
import { type Check, frameOf, isAlive, isClosedWith, Skipped } from "../check.ts";
import { isRefused, type ServerUnderTest } from "../server-under-test.ts";

const METHODS = "Other login methods";
/** Longer than the duration of a check. */
const LONG_MS = 600_000;
/** Long enough for a login on a busy machine. */
const SHORT_MS = 1000;
/** The server asks for a new token when a third of this time is left. */
const ASKED_MS = 3000;

/** A user whose identity expires a second after a password login, as set by the check's options. */
const EXPIRING = { name: "wire", password: "of the user" };
const VERIFIER =
  "SCRAM-SHA-256$4096:VHwyY9tBwg6oWpWdAlPAcQ==$QZUmivZkPm3vTq5j3gT22/DirdN+m/8ER9XlSAX4iCk=:gldiOqTF6ulbfUnCeq2N4LPFeRqU2ElQ+3fq5HIMG9c=";
const expiring = (name: string) =>
  name === EXPIRING.name ? { verifier: VERIFIER, expiresAt: Date.now() + SHORT_MS } : null;

/** Logs in as this user. Resolves with the frames up to CLOSE. Skips the check if the user doesn't exist. */
async function untilExpired(server: ServerUnderTest, peer: RawPeer): Promise<readonly ReceivedFrame[]> {
  const scram = new ScramClient(EXPIRING.password, undefined, EXPIRING.name);
  peer.send(Type.AUTH_REQUEST, { scram: scram.clientFirst, extensions: { close: true, renewal: true } });
  peer.write(await server.answered(peer, scram));
  const success = await frameOf(peer);
  if (success.payload?.["code"] === 3001) throw new Skipped("the server has no user whose identity expires");
  const received = [success];
  while (received.at(-1)?.type !== Type.CLOSE) received.push(await frameOf(peer));
  return received;
}

/** Sends AUTH_REQUEST with these methods. */
async function request(server: ServerUnderTest, methods: readonly string[], dialled?: RawPeer): Promise<RawPeer> {
  const peer = dialled ?? (await server.dial());
  const extensions = {};
  peer.send(Type.AUTH_REQUEST, { methods, extensions });
  return peer;
}

/** Resolves with the challenge of a token login. Skips the check if the server doesn't support tokens. */
async function challengeOf(peer: RawPeer): Promise<ReceivedFrame> {
  const challenge = await frameOf(peer);
  if (challenge.payload?.["code"] === 3014) throw new Skipped("the server takes no tokens");
  assert.equal(challenge.type, Type.AUTH_CHALLENGE);
  return challenge;
}

/** Logs in a peer with a token. */
export async function withToken(
  server: ServerUnderTest,
  token: string,
  extensions: object = { close: true, renewal: true },
  keys: object = {},
): Promise<{ readonly peer: RawPeer; readonly success: Readonly<Record<string, unknown>> }> {
  const peer = await server.dial();
  peer.send(Type.AUTH_REQUEST, { methods: ["token"], extensions, ...keys });
  await challengeOf(peer);
  peer.send(Type.AUTH_RESPONSE, { token });
  const success = await frameOf(peer);
  assert.equal(success.type, Type.AUTH_SUCCESS, `The login was refused: ${JSON.stringify(success.payload)}`);
  return { peer, success: success.payload ?? {} };
}

export const tokenChecks: readonly Check<ServerUnderTest>[] = [
  {
    section: METHODS,
    sentence:
      "The server takes the first method of this list that the client has and that it supports over this connection:",
    async run(server) {
      const peer = await request(server, ["unknown", "token"]);
      assert.ok(Array.isArray((await challengeOf(peer)).payload?.["methods"]), "The challenge isn't that of tokens");
    },
  },
  {
    section: METHODS,
    sentence:
      "the server sends `AUTH_CHALLENGE` with `methods`, the names of all methods that it supports over this connection, `scram` included.",
    async run(server) {
      const { payload } = await challengeOf(await request(server, ["token"]));
      const methods = payload?.["methods"] as readonly string[];
      assert.ok(methods.includes("token") && methods.includes("scram"), `methods is ${methods.join()}`);
    },
  },
  {
    section: METHODS,
    sentence:
      "The client answers with `AUTH_RESPONSE` `{token}`, if `token` is among them, and `AUTH_SUCCESS` or `AUTH_FAILURE` with `AUTH_FAILED` follows.",
    async run(server) {
      await isAlive((await withToken(server, `wire:${LONG_MS}`)).peer);
      const peer = await request(server, ["token"]);
      await challengeOf(peer);
      peer.send(Type.AUTH_RESPONSE, { token: "not a token of wire" });
      await isRefused(peer, 3001);
    },
  },
  {
    section: METHODS,
    sentence:
      "If it supports none of them, the server answers with `AUTH_FAILURE` and `LOGIN_METHOD_REFUSED`, and so it does with `scram` if it has neither a shared password nor users.",
    async run(server) {
      await isRefused(await request(server, ["unknown"]), 3014);
    },
  },
  {
    section: METHODS,
    sentence: "Such an `AUTH_FAILURE` has `methods` as well.",
    async run(server) {
      const { type, payload } = await frameOf(await request(server, ["unknown"]));
      assert.equal(type, Type.AUTH_FAILURE);
      assert.ok(((payload?.["methods"] ?? []) as readonly string[]).includes("scram"));
    },
  },
  {
    section: METHODS,
    sentence:
      "`AUTH_SUCCESS` has no `scram` after these methods: TLS has verified the server, or it is on the same machine.",
    async run(server) {
      const { success } = await withToken(server, `wire:${LONG_MS}`);
      assert.ok(!Object.hasOwn(success, "scram"));
    },
  },
  {
    section: METHODS,
    sentence:
      "A server supports `token` over TLS, Unix sockets and the loopback address alone, and a client sends no token over anything else.",
    outside: true,
    async run(server) {
      const peer = await request(server, ["token"], await server.dialOutside());
      const { type, payload } = await frameOf(peer);
      assert.deepEqual([typeName({ type }), payload?.["code"]], ["AUTH_FAILURE", 3014]);
      assert.ok(!((payload?.["methods"] ?? []) as readonly string[]).includes("token"), "It lists token");
    },
  },
  {
    section: "Renewal",
    sentence: "As at the login, neither is sent over plain TCP to another machine.",
    outside: true,
    options: { authenticate: { token: () => null, scram: expiring } },
    async run(server) {
      const types = async (peer: RawPeer): Promise<string[]> => (await untilExpired(server, peer)).map(typeName);
      const peer = await server.dialOutside();
      assert.deepEqual(await types(await server.dial()), ["AUTH_SUCCESS", "CREDENTIALS_EXPIRING", "CLOSE"]);
      assert.deepEqual(await types(peer), ["AUTH_SUCCESS", "CLOSE"]);
    },
  },
  {
    section: "Renewal",
    sentence:
      "An identity may expire; then the server closes the connection with `IDENTITY_EXPIRED` and `reconnect` true.",
    async run(server) {
      const { peer } = await withToken(server, `wire:${SHORT_MS}`);
      const { payload } = await frameOf(peer, Type.CLOSE);
      assert.deepEqual([payload?.["code"], payload?.["reconnect"]], [3016, true]);
    },
  },
  {
    section: "Renewal",
    sentence:
      "With the extension `renewal`, it sends `CREDENTIALS_EXPIRING` before that, with the milliseconds that are left, and the client may answer with `CREDENTIALS` and a new token.",
    async run(server) {
      const { peer } = await withToken(server, `wire:${ASKED_MS}`);
      const left = (await frameOf(peer, Type.CREDENTIALS_EXPIRING)).payload?.["expires_in_ms"];
      assert.ok(Number.isSafeInteger(left) && Number(left) >= 0 && Number(left) <= ASKED_MS, `It has ${String(left)}`);
      const without = await withToken(server, `wire:${SHORT_MS}`, { close: true });
      assert.equal((await frameOf(without.peer)).type, Type.CLOSE);
    },
  },
  {
    section: "Renewal",
    sentence:
      "There is no reply: if the token is valid and stands for the same name, its identity replaces the former one.",
    async run(server) {
      const { peer } = await withToken(server, `wire:${LONG_MS}`);
      // The new token expires sooner, which reveals that it has replaced the old one.
      peer.send(Type.CREDENTIALS, { token: `wire:${SHORT_MS}` });
      await isClosedWith(peer, 3016);
    },
  },
  {
    section: "Renewal",
    sentence:
      "Servers ignore a `CREDENTIALS` that arrives while they check another one, or within a second after the one before, and clients a `CREDENTIALS_EXPIRING` while they get a new token, or within a second after the one before.",
    async run(server) {
      const { peer } = await withToken(server, `wire:${LONG_MS}`);
      for (const ms of [LONG_MS, 1, 1]) peer.send(Type.CREDENTIALS, { token: `wire:${ms}` });
      await sleep(100);
      await isAlive(peer);
    },
  },
];
