import assert from "node:assert/strict";
import type { RawPeer } from "../../../packages/core/src/test-support/raw-peer.ts";
import { type ReceivedFrame, Type, typeName } from "../../../packages/core/src/testing/raw-frames.ts";
import { freshKey } from "../both/once.ts";
import { type Check, frameOf, isAlive } from "../check.ts";
import { isRefused, type ServerUnderTest } from "../server-under-test.ts";

const METHODS = "Other login methods";

/** Sends AUTH_REQUEST with these methods over TLS with a certificate, and returns the answer. */
async function request(
  server: ServerUnderTest,
  who: "known" | "stranger" | null,
  methods: readonly string[],
  extensions: object = {},
): Promise<{ readonly peer: RawPeer; readonly answer: ReceivedFrame }> {
  const peer = await server.dialTls(who);
  peer.send(Type.AUTH_REQUEST, { methods, extensions: { close: true, call: true, reply: true, ...extensions } });
  return { peer, answer: await frameOf(peer) };
}

/** Checks of logins by client certificate. */
export const certificateChecks: readonly Check<ServerUnderTest>[] = [
  {
    section: METHODS,
    sentence: "`certificate`: TLS has verified a certificate of the client, and the server knows whom it stands for.",
    tls: true,
    async run(server) {
      const { peer, answer } = await request(server, "known", ["certificate"], { topic: true });
      assert.equal(typeName(answer), "AUTH_SUCCESS");
      assert.ok(!Object.hasOwn(answer.payload ?? {}, "scram"), "AUTH_SUCCESS has scram");
      await isAlive(peer);
      if (!Object.hasOwn((answer.payload?.["extensions"] ?? {}) as object, "topic")) return;
      peer.call("$topic.subscribe", { topic: `wire:${freshKey()}` }, 1n);
      for (;;) {
        const { type, id, payload } = await frameOf(peer);
        if (id === 1n && payload?.["success"] === false) return;
        if (type !== Type.TOPIC_PRESENCE) continue;
        // Presence shows the user that the certificate identifies.
        const { joined } = payload as { readonly joined: readonly (readonly [string, unknown])[] };
        assert.equal(joined[0]?.[1], "wire");
        return;
      }
    },
  },
  {
    section: METHODS,
    sentence: "`AUTH_SUCCESS` follows, or `AUTH_FAILURE` with `AUTH_FAILED`.",
    tls: true,
    async run(server) {
      const peer = await server.dialTls("stranger");
      peer.send(Type.AUTH_REQUEST, { methods: ["certificate"], extensions: {} });
      await isRefused(peer, 3001);
      const without = await server.dialTls(null);
      without.send(Type.AUTH_REQUEST, { methods: ["certificate"], extensions: {} });
      await isRefused(without, 3014);
    },
  },
  {
    section: METHODS,
    sentence:
      "Instead of `scram`, `AUTH_REQUEST` may have `methods`, an array of the names of other methods by which the client can log in: `token`, `certificate`.",
    tls: true,
    async run(server) {
      for (const methods of [
        ["token", "certificate"],
        ["unknown", "certificate", "token"],
      ]) {
        assert.equal(typeName((await request(server, "known", methods)).answer), "AUTH_SUCCESS");
      }
      const { answer } = await request(server, null, ["certificate", "token"]);
      assert.equal(typeName(answer), "AUTH_CHALLENGE");
    },
  },
  {
    section: METHODS,
    sentence: "A server lists `certificate` only over a connection for which TLS has verified one.",
    tls: true,
    async run(server) {
      for (const [who, isListed] of [
        ["known", true],
        ["stranger", true],
        [null, false],
      ] as const) {
        const { answer } = await request(server, who, ["unknown"]);
        const methods = (answer.payload?.["methods"] ?? []) as readonly string[];
        assert.equal(methods.includes("certificate"), isListed, `methods is ${methods.join()}`);
      }
    },
  },
];
