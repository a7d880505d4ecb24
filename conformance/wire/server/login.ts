import assert from "node:assert/strict";
import { extensionsOf } from "../../../packages/core/src/test-support/raw-peer.ts";
import { passwordHash, ScramClient } from "../../../packages/core/src/test-support/scram-by-rfc.ts";
import { call, frame, rawFrame, Type, typeName } from "../../../packages/core/src/testing/raw-frames.ts";
import { type Check, endsSilently, frameOf, isAlive, Skipped } from "../check.ts";
import { isRefused, loggedIn, type ServerUnderTest } from "../server-under-test.ts";

const SCRAM = "SCRAM step by step";
const NONCE = "0123456789abcdefghijkl";

/** Sends AUTH_REQUEST with these keys and expects a rejection with this code. */
async function refuses(server: ServerUnderTest, code: number, keys: Record<string, unknown>): Promise<void> {
  const peer = await server.dial();
  peer.send(Type.AUTH_REQUEST, { extensions: {}, ...keys });
  await isRefused(peer, code);
}

/** Attempts a login with a wrong password. */
async function guess(
  server: ServerUnderTest,
): Promise<{ readonly answer: Uint8Array; readonly send: () => Promise<void> }> {
  const peer = await server.dial();
  const scram = new ScramClient(`not ${server.password}`);
  peer.send(Type.AUTH_REQUEST, { scram: scram.clientFirst, extensions: {} });
  const answer = await server.answered(peer, scram);
  return {
    answer,
    async send() {
      peer.write(answer, answer, answer);
      await isRefused(peer, 3001);
      assert.equal(peer.frames.all.length, 2, "More than one answer was judged");
    },
  };
}

/** Whether this name logs in with the server's password. */
async function isTaken(server: ServerUnderTest, name: string): Promise<boolean> {
  const peer = await server.dial();
  const scram = new ScramClient(server.password, undefined, name);
  peer.send(Type.AUTH_REQUEST, { scram: scram.clientFirst, extensions: {} });
  peer.write(await server.answered(peer, scram));
  return (await frameOf(peer)).type === Type.AUTH_SUCCESS;
}

export const loginChecks: readonly Check<ServerUnderTest>[] = [
  {
    section: "READY",
    sentence:
      "With `ready`, the server sends `READY` when the client has been accepted, or else `CLOSE` with the reason; a client counts as connected when `READY` has arrived.",
    async run(server) {
      const { peer } = await loggedIn(server, { ready: true, close: true });
      const first = await frameOf(peer);
      assert.ok(
        [Type.READY, Type.CLOSE].some((type) => type === first.type),
        `${typeName(first)} came first`,
      );
    },
  },
  {
    section: "READY",
    sentence:
      "Until then both sides may send messages and calls; the server handles those of the client after `READY`.",
    async run(server) {
      await loggedIn(server, { ready: true });
      await (await server.loginFor("echo")).dispose();
      const peer = await server.dial();
      const scram = new ScramClient(server.password);
      peer.send(Type.AUTH_REQUEST, { scram: scram.clientFirst, extensions: { ready: true } });
      peer.write(await server.answered(peer, scram), call(5n, "echo", { a: 1 }));
      const came = [await frameOf(peer), await frameOf(peer), await frameOf(peer)].map(typeName);
      assert.deepEqual(came, ["AUTH_SUCCESS", "READY", "RPC_RESPONSE"]);
    },
  },
  {
    section: "Login",
    sentence:
      "The login uses SCRAM-SHA-256 (RFC 5802, RFC 7677) without channel binding: the password never crosses the wire, the messages can't be replayed, and the client verifies that the server knows the password too.",
    async run(server) {
      const peer = await server.login();
      const [request, response] = peer.sent as [Uint8Array, Uint8Array];
      const replay = await server.dial();
      replay.write(request);
      assert.equal((await frameOf(replay)).type, Type.AUTH_CHALLENGE);
      replay.write(response);
      await isRefused(replay, 3001);
    },
  },
  {
    section: "Login",
    sentence:
      "Before the login has succeeded, frames have at most 16,384 bytes of payload, and only the frames above are allowed.",
    async run(server) {
      const large = await server.dial();
      large.write(frame(Type.AUTH_REQUEST, undefined, { length: 16_385 }));
      await endsSilently(large);
      const early = await server.dial();
      early.call("listall");
      await isRefused(early, 7014);
    },
  },
  {
    section: "Login",
    sentence:
      "A server handles frames that arrive behind `AUTH_RESPONSE` nevertheless, once the login has succeeded; if it fails, they are dropped.",
    async run(server) {
      const peer = await server.dial();
      const scram = new ScramClient(server.password);
      peer.send(Type.AUTH_REQUEST, { scram: scram.clientFirst, extensions: {} });
      peer.write(await server.answered(peer, scram), frame(Type.HEARTBEAT_PING, undefined, { id: 8n }));
      assert.equal((await frameOf(peer)).type, Type.AUTH_SUCCESS);
      assert.equal((await frameOf(peer, Type.HEARTBEAT_PONG)).id, 8n);
    },
  },
  {
    section: "AUTH_REQUEST",
    sentence: "In `scram` and `password_hash`, nil counts as missing.",
    async run(server) {
      await refuses(server, 3000, { scram: null, password_hash: null });
      const peer = await server.dial();
      await server.logInAs(peer, new ScramClient(server.password), { password_hash: null, extensions: {} });
    },
  },
  {
    section: "AUTH_REQUEST",
    sentence:
      "An `AUTH_REQUEST` or `AUTH_RESPONSE` whose payload isn't a valid map (empty, nil, an array, not MessagePack) is answered with `AUTH_FAILURE` and `INVALID_PAYLOAD_SHAPE`.",
    async run(server) {
      for (const payload of [[], [0xc0], [0x90], [0xc1], [0x81]]) {
        const peer = await server.dial();
        peer.write(rawFrame(Type.AUTH_REQUEST, Uint8Array.from(payload)));
        await isRefused(peer, 7013);
        const challenged = await server.dial();
        challenged.send(Type.AUTH_REQUEST, { scram: new ScramClient("any").clientFirst, extensions: {} });
        assert.equal((await frameOf(challenged)).type, Type.AUTH_CHALLENGE);
        challenged.write(rawFrame(Type.AUTH_RESPONSE, Uint8Array.from(payload)));
        await isRefused(challenged, 7013);
      }
    },
  },
  {
    section: SCRAM,
    sentence: "The name `netconduit`, or an empty one, stands for the shared password.",
    async run(server) {
      for (const name of ["", "netconduit"]) {
        await server.logInAs(await server.dial(), new ScramClient(server.password, NONCE, name));
      }
    },
  },
  {
    section: SCRAM,
    sentence: "It can't contain a comma or NUL: a comma is escaped as `=2C`, and an equals sign as `=3D`.",
    async run(server) {
      await refuses(server, 7013, { scram: `n,,n=a\0b,r=${NONCE}` });
      const peer = await server.dial();
      peer.send(Type.AUTH_REQUEST, { scram: `n,,n=a=2Cb=3Dc,r=${NONCE}`, extensions: {} });
      assert.equal((await frameOf(peer)).type, Type.AUTH_CHALLENGE);
    },
  },
  {
    section: "Users",
    sentence:
      "It answers a name that doesn't exist as it does any other, with a challenge, and then rejects every proof with `AUTH_FAILED`.",
    async run(server) {
      const peer = await server.dial();
      const scram = new ScramClient(`not ${server.password}`, NONCE, "nobody of this name");
      peer.send(Type.AUTH_REQUEST, { scram: scram.clientFirst, extensions: {} });
      const challenge = await frameOf(peer);
      assert.equal(challenge.type, Type.AUTH_CHALLENGE);
      peer.send(Type.AUTH_RESPONSE, { data: scram.answer(String(challenge.payload?.["data"])) });
      await isRefused(peer, 3001);
    },
  },
  {
    section: "Users",
    sentence:
      "The salt of such a name depends on the name and a secret of the server alone, so it is the same each time, and the iterations are those that the server uses for passwords.",
    async run(server) {
      const challenges = new Set<string>();
      for (let count = 0; count < 2; count++) {
        const peer = await server.dial();
        peer.send(Type.AUTH_REQUEST, { scram: `n,,n=nobody of this name,r=${NONCE}`, extensions: {} });
        challenges.add(String((await frameOf(peer)).payload?.["data"]).replace(/^r=[^,]*,/, ""));
      }
      assert.equal(challenges.size, 1, "The server answered the same name with two salts");
    },
  },
  {
    section: SCRAM,
    sentence: "Each side's part has 16 to 256 characters, or else the other side rejects it.",
    async run(server) {
      for (const length of [16, 256]) {
        await server.logInAs(await server.dial(), new ScramClient(server.password, "x".repeat(length)));
      }
      for (const length of [1, 15, 257]) await refuses(server, 7013, { scram: `n,,n=u,r=${"x".repeat(length)}` });
    },
  },
  {
    section: SCRAM,
    sentence: "The nonce is the client's followed by the server's own; the client rejects any other.",
    async run(server) {
      const nonces = new Set<string>();
      for (let count = 0; count < 2; count++) {
        const peer = await server.dial();
        peer.send(Type.AUTH_REQUEST, { scram: `n,,n=u,r=${NONCE}`, extensions: {} });
        const data = String((await frameOf(peer)).payload?.["data"]);
        const part = new RegExp(`^r=${NONCE}([!-+\\--~]{16,256}),s=[^,]+,i=[1-9][0-9]*`).exec(data)?.[1];
        assert.ok(part !== undefined, `The challenge is ${data}`);
        nonces.add(part);
      }
      assert.equal(nonces.size, 2, "The server used its nonce twice");
    },
  },
  {
    section: SCRAM,
    sentence: "It compares in constant time, and accepts one answer per challenge.",
    run: async (server) => (await guess(server)).send(),
  },
  {
    section: SCRAM,
    sentence: "The client compares it with its own.",
    async run(server) {
      const scram = new ScramClient(server.password);
      const success = await server.logInAs(await server.dial(), scram);
      assert.ok(scram.trusts(String(success["scram"])), "The server's signature is wrong or missing");
    },
  },
  {
    section: SCRAM,
    sentence: "A message with a duplicate attribute, or with `m=` (a mandatory extension), is rejected.",
    async run(server) {
      await refuses(server, 7013, { scram: `n,,n=u,r=${NONCE},r=${NONCE}` });
      await refuses(server, 7013, { scram: `n,,m=x,n=u,r=${NONCE}` });
      await refuses(server, 7013, { scram: `n,,r=${NONCE},n=u` });
    },
  },
  {
    section: SCRAM,
    sentence: "Attributes must be in this order.",
    async run(server) {
      await refuses(server, 7013, { scram: `n,,r=${NONCE},n=u` });
      const peer = await server.dial();
      const scram = new ScramClient(server.password);
      peer.send(Type.AUTH_REQUEST, { scram: scram.clientFirst, extensions: {} });
      const data = scram.answer(String((await frameOf(peer)).payload?.["data"]));
      peer.send(Type.AUTH_RESPONSE, { data: data.replace(/^(c=[^,]*),(r=[^,]*),/, "$2,$1,") });
      await isRefused(peer, 3001);
    },
  },
  {
    section: SCRAM,
    sentence: "A server without users ignores the name.",
    async run(server) {
      await server.logInAs(await server.dial(), new ScramClient(server.password, NONCE, "anyone"));
    },
  },
  {
    section: SCRAM,
    sentence:
      "Other attributes may follow those above, before `p=` in the client-final-message, and are part of AuthMessage.",
    run: async (server) => {
      await server.logInAs(await server.dial(), new ScramClient(server.password, `${NONCE},x=y`));
    },
  },
  {
    section: "AUTH_SUCCESS",
    sentence:
      "`session_token` is random for each login, has at most 1,024 characters, and is used to resume the session.",
    async run(server) {
      const tokens: unknown[] = [];
      for (let count = 0; count < 2; count++) {
        const success = await server.logInAs(await server.dial(), new ScramClient(server.password));
        const token = success["session_token"];
        assert.ok(
          typeof token === "string" && token.length <= 1024,
          "session_token is no text of at most 1,024 characters",
        );
        tokens.push(token);
      }
      assert.notEqual(tokens[0], tokens[1]);
    },
  },
  {
    section: "AUTH_SUCCESS",
    sentence:
      "`extensions` lists the client's extensions that the server accepts; it is missing if the client sent none.",
    async run(server) {
      const plain = await server.logInAs(await server.dial(), new ScramClient(server.password), {});
      assert.ok(!Object.hasOwn(plain, "extensions"), "AUTH_SUCCESS has extensions");
      const success = await server.logInAs(
        await server.dial(),
        new ScramClient(server.password),
        extensionsOf(["close"]),
      );
      assert.deepEqual(Object.keys(success["extensions"] as object), ["close"]);
    },
  },
  {
    section: "Extensions",
    sentence: "Peers ignore unknown names, and unknown keys in the parameters; any other value declines the extension.",
    async run(server) {
      const offer = { close: { unknown: [1] }, teleport: true, reply: 7, cancel: false, deadline: null };
      const success = await server.logInAs(await server.dial(), new ScramClient(server.password), {
        extensions: offer,
      });
      assert.deepEqual(Object.keys(success["extensions"] as object), ["close"]);
    },
  },
  {
    section: "AUTH_FAILURE",
    sentence: "| 3000 | `AUTH_REQUIRED` | `AUTH_REQUEST` has neither `scram` nor `password_hash` |",
    run: (server) => refuses(server, 3000, {}),
  },
  {
    section: "AUTH_FAILURE",
    sentence:
      "| 3001 | `AUTH_FAILED` | wrong password, invalid token, a certificate that stands for no user, or a client-final-message in `AUTH_RESPONSE` that is malformed or doesn't match the challenge |",
    async run(server) {
      await (await guess(server)).send();
      for (const data of ["", "hello", `c=biws,r=${NONCE},p=${"A".repeat(43)}=`]) {
        const peer = await server.dial();
        peer.send(Type.AUTH_REQUEST, { scram: `n,,n=u,r=${NONCE}`, extensions: {} });
        assert.equal((await frameOf(peer)).type, Type.AUTH_CHALLENGE);
        peer.send(Type.AUTH_RESPONSE, { data });
        await isRefused(peer, 3001);
      }
    },
  },
  {
    section: "AUTH_FAILURE",
    sentence: "| 3012 | `PASSWORD_HASH_REFUSED` | only `password_hash` was sent, and the server doesn't allow it |",
    async run(server) {
      const peer = await server.dial();
      peer.send(Type.AUTH_REQUEST, { password_hash: passwordHash(server.password), extensions: {} });
      const answer = await frameOf(peer);
      if (answer.type === Type.AUTH_SUCCESS) throw new Skipped("the server allows password_hash");
      assert.equal(answer.payload?.["code"], 3012);
    },
  },
  {
    section: "AUTH_FAILURE",
    sentence: "| 7013 | `INVALID_PAYLOAD_SHAPE` | invalid payload or SCRAM message |",
    async run(server) {
      for (const scram of ["", "hello", 5, ["n,,n=u,r=x"], "n,,n=u", "p=tls-unique,,n=u,r=x", "n,a=b,n=u,r=x"]) {
        await refuses(server, 7013, { scram });
      }
    },
  },
  {
    section: "AUTH_FAILURE",
    sentence: "| 7014 | `UNEXPECTED_FRAME` | a frame other than the expected one |",
    async run(server) {
      for (const type of [Type.HEARTBEAT_PING, Type.MESSAGE, Type.AUTH_RESPONSE, Type.AUTH_SUCCESS, Type.CLOSE]) {
        const peer = await server.dial();
        peer.send(type);
        await isRefused(peer, 7014);
      }
    },
  },
  {
    section: "Fatal errors",
    sentence:
      "After login, and with `close`, the peer receives the code in a `CLOSE`; before login the connection is reset without one.",
    async run(server) {
      const peer = await server.dial();
      peer.write(Buffer.from("GET / HTTP/1.1\r\n\r\n"));
      await endsSilently(peer);
    },
  },
  {
    section: "Login",
    sentence: "The server and all its clients share one password.",
    async run(server) {
      const [one, two] = [await server.login(), await server.login()];
      await isAlive(one);
      await isAlive(two);
    },
  },
  {
    section: "AUTH_REQUEST",
    sentence: "Informative; each text is cut to 256 UTF-16 units.",
    async run(server) {
      const long = "x".repeat(3000);
      for (const client_info of [{ name: long, version: long, description: long }, { name: 5 }, "text", null, {}]) {
        await server.logInAs(await server.dial(), new ScramClient(server.password), { client_info, extensions: {} });
      }
    },
  },
  {
    section: "Fatal errors",
    sentence:
      "Before login, an invalid payload, and any frame other than the expected one, is answered with `AUTH_FAILURE`.",
    async run(server) {
      for (const bytes of [rawFrame(Type.AUTH_REQUEST, Uint8Array.of(0xc1)), frame(Type.HEARTBEAT_PING)]) {
        const peer = await server.dial();
        peer.write(bytes);
        assert.equal(typeName(await frameOf(peer)), "AUTH_FAILURE");
      }
    },
  },
  {
    section: "Users",
    sentence: "Names are compared byte by byte.",
    options: { users: { wire: { password: "secret" } } },
    async run(server) {
      if (await isTaken(server, "nobody of this name")) throw new Skipped("the server has no users");
      if (!(await isTaken(server, "wire"))) throw new Skipped("the server has no user 'wire' with the same password");
      for (const name of ["Wire", "wire ", " wire", "ｗire", "wi\u0301re"]) {
        assert.ok(!(await isTaken(server, name)), `'${name}' was taken for 'wire'`);
      }
    },
  },
  {
    section: "Users",
    sentence: "A name that stands for the shared password is rejected the same way if the server has none.",
    options: { password: undefined, users: { wire: { password: "secret" } } },
    async run(server) {
      for (const name of ["netconduit", ""]) {
        const peer = await server.dial();
        const scram = new ScramClient("no password at all", undefined, name);
        peer.send(Type.AUTH_REQUEST, { scram: scram.clientFirst, extensions: {} });
        const challenge = await frameOf(peer);
        assert.equal(typeName(challenge), "AUTH_CHALLENGE");
        peer.send(Type.AUTH_RESPONSE, { data: scram.answer(String(challenge.payload?.["data"])) });
        await isRefused(peer, 3001);
      }
    },
  },
];
