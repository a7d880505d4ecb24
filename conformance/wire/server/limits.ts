import assert from "node:assert/strict";
import { call, Type } from "../../../packages/core/src/testing/raw-frames.ts";
import { type Check, frameOf } from "../check.ts";
import type { ServerUnderTest } from "../server-under-test.ts";

const LIMITS = { message_bytes: 1024 };

export const limitChecks: readonly Check<ServerUnderTest>[] = [
  {
    section: "Limits",
    sentence:
      "With `limits`, each side says in `message_bytes` how large a payload it accepts, as inflated: an integer of at least 1,024.",
    async run(server) {
      await server.needsExtension("limits", LIMITS);
      const [, limits] = await server.loginAs({ close: true, limits: LIMITS }, "limits");
      const bytes = (limits as { message_bytes?: unknown }).message_bytes;
      assert.ok(Number.isSafeInteger(bytes) && (bytes as number) >= 1024, `message_bytes is ${String(bytes)}`);
    },
  },
  {
    section: "Limits",
    sentence:
      "A side that would exceed it refuses the message itself: a request isn't sent, a reply becomes an `RPC_ERROR` with `MESSAGE_TOO_LARGE`, and an error is sent without its details.",
    async run(server) {
      await server.needsExtension("limits", LIMITS);
      const [peer] = await server.loginAs({ close: true, limits: LIMITS }, "limits");
      peer.write(call(5n, "echo", { text: "x".repeat(2000) }));
      const answer = await frameOf(peer, Type.RPC_ERROR);
      assert.deepEqual([answer.id, answer.payload?.["code"]], [5n, 7003]);
    },
  },
];
