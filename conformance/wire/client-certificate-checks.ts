import assert from "node:assert/strict";
import type { RawPeer } from "../../packages/core/src/test-support/raw-peer.ts";
import { type ReceivedFrame, Type } from "../../packages/core/src/testing/raw-frames.ts";
import { type Check, frameOf, Skipped } from "./check.ts";
import { type ClientUnderTest, SUCCESS } from "./client-under-test.ts";

const METHODS = "Other login methods";

/** Starts a client that logs in by certificate. Resolves with its AUTH_REQUEST. Skips the check if it doesn't support that. */
async function request(client: ClientUnderTest): Promise<{ peer: RawPeer; first: ReceivedFrame }> {
  const peer = await client.connect({ certificate: true });
  const first = await frameOf(peer);
  assert.equal(first.type, Type.AUTH_REQUEST);
  if (!Array.isArray(first.payload?.["methods"])) throw new Skipped("the client has no certificates");
  return { peer, first };
}

/** Checks of logins by certificate. Skipped if the client has no certificate. */
export const clientCertificateChecks: readonly Check<ClientUnderTest>[] = [
  {
    section: METHODS,
    sentence: "`certificate`: TLS has verified a certificate of the client, and the server knows whom it stands for.",
    async run(client) {
      const { methods, scram } = (await request(client)).first.payload ?? {};
      assert.deepEqual([methods, scram], [["certificate"], undefined]);
    },
  },
  {
    section: METHODS,
    sentence: "`AUTH_SUCCESS` follows, or `AUTH_FAILURE` with `AUTH_FAILED`.",
    async run(client) {
      const { peer } = await request(client);
      peer.send(Type.AUTH_SUCCESS, { ...SUCCESS, extensions: { close: true, call: true } });
      await frameOf(peer, Type.RPC_REQUEST);
      const refused = await request(client);
      refused.peer.send(Type.AUTH_FAILURE, { reason: "no", code: 3001 });
      await refused.peer.over;
      assert.equal(refused.peer.frames.all.length, 1, "The client sent more");
    },
  },
];
