import assert from "node:assert/strict";
import type { RawPeer } from "../../../packages/core/src/test-support/raw-peer.ts";
import { ScramClient } from "../../../packages/core/src/test-support/scram-by-rfc.ts";
import { frame, Type, typeName } from "../../../packages/core/src/testing/raw-frames.ts";
import { CODES } from "../both/plain.ts";
import { answerTo, type Check, frameOf } from "../check.ts";
import type { ServerUnderTest } from "../server-under-test.ts";

const REPLIES = "Replies to a plain client";

/** Logs in a plain client at a server that has this method. */
async function login(server: ServerUnderTest, method: string): Promise<RawPeer> {
  await (await server.loginFor(method)).dispose();
  const peer = await server.dial();
  const success = await server.logInAs(peer, new ScramClient(server.password), {});
  assert.ok(!Object.hasOwn(success, "extensions"), "AUTH_SUCCESS has extensions");
  return peer;
}

/** Calls a method and returns `result` of the RPC_RESPONSE. */
async function resultOf(peer: RawPeer, method: string, params: unknown): Promise<Readonly<Record<string, unknown>>> {
  peer.call(method, params, 5n);
  const { type, payload } = await answerTo(peer, 5n);
  assert.equal(typeName({ type }), "RPC_RESPONSE");
  assert.equal(payload?.["success"], true);
  return payload?.["result"] as Readonly<Record<string, unknown>>;
}

/** Checks of a server's plain clients. */
export const plainChecks: readonly Check<ServerUnderTest>[] = [
  {
    section: "Plain peers",
    sentence: "A peer that sends no `extensions` map is a plain peer: the Python package netconduit, 2.0 to 5.x.",
    async run(server) {
      const peer = await login(server, "echo");
      assert.deepEqual(await resultOf(peer, "echo", { a: 1 }), { success: true, data: { a: 1 } });
    },
  },
  {
    section: "Plain peers",
    sentence: "No extension is in force with it.",
    async run(server) {
      const peer = await login(server, "echo");
      const before = peer.frames.all.length;
      peer.send(Type.CANCEL, undefined, { id: 1n });
      await peer.over;
      const came = peer.frames.all.slice(before).map(typeName);
      assert.ok(!came.includes("CLOSE"), "It sent CLOSE");
    },
  },
  {
    section: REPLIES,
    sentence: "Every `RPC_REQUEST` with an id is answered with an `RPC_RESPONSE`, never with an `RPC_ERROR`:",
    async run(server) {
      const peer = await login(server, "echo");
      const { success, error, code } = await resultOf(peer, "no such method", {});
      assert.deepEqual([success, typeof error, code], [false, "string", 4000]);
      peer.send(Type.RPC_REQUEST, { method: "echo", params: [1] }, { id: 6n });
      assert.equal(typeName(await answerTo(peer, 6n)), "RPC_RESPONSE");
    },
  },
  {
    section: REPLIES,
    sentence: "A map that has the key `success` is sent as it is.",
    async run(server) {
      const peer = await login(server, "echo");
      for (const params of [{ success: true, data: 5 }, { success: false, other: 1 }, { success: null }]) {
        assert.deepEqual(await resultOf(peer, "echo", params), params);
      }
    },
  },
  {
    section: REPLIES,
    sentence: "`code` is missing for 1000, and `details` if there are none.",
    async run(server) {
      const peer = await login(server, "wire_refuse");
      assert.deepEqual(Object.keys(await resultOf(peer, "wire_refuse", { code: 1000 })).sort(), ["error", "success"]);
      const { code, ...others } = await resultOf(peer, "wire_refuse", { code: 1500 });
      assert.deepEqual([code, Object.keys(others).sort()], [1500, ["error", "success"]]);
    },
  },
  {
    section: REPLIES,
    sentence:
      "Parameters that fail validation have the code 2000, the text `Validation error in <method>`, and in `details.errors` maps of `field`, `message` and `type`, which is `missing`, `type_error` or `value_error`.",
    async run(server) {
      const peer = await login(server, "wire_sum");
      for (const [params, type] of [
        [{}, "missing"],
        [{ numbers: "x" }, "type_error"],
      ] as const) {
        const { code, error, details } = await resultOf(peer, "wire_sum", params);
        assert.deepEqual([code, error], [2000, "Validation error in wire_sum"]);
        const { errors } = details as { readonly errors: readonly Readonly<Record<string, unknown>>[] };
        assert.deepEqual(
          errors.map((one) => [Object.keys(one).sort(), one["field"], one["type"]]),
          [[["field", "message", "type"], "numbers", type]],
        );
      }
    },
  },
  {
    section: REPLIES,
    sentence: "The list of methods is `{success: true, data: {methods, count}}`.",
    async run(server) {
      const peer = await login(server, "echo");
      const { success, data } = await resultOf(peer, "listall", {});
      const { methods, count } = data as { readonly methods: readonly unknown[]; readonly count: unknown };
      assert.deepEqual([success, methods.length], [true, count]);
    },
  },
  {
    section: REPLIES,
    sentence:
      "The error of a `MESSAGE` has the same form, in a `MESSAGE` of type `<type>_response`; other replies to messages have no wrapper.",
    async run(server) {
      await (await server.loginForMessages()).dispose();
      const peer = await login(server, "echo");
      peer.write(frame(Type.MESSAGE, { type: "wire_echo", data: [1] }));
      assert.deepEqual((await frameOf(peer)).payload, { type: "wire_echo_response", data: [1] });
      peer.write(frame(Type.MESSAGE, { type: "wire_fail", data: { key: `plain ${Date.now()}` } }));
      const { type, data } = (await frameOf(peer)).payload as { type: unknown; data: Record<string, unknown> };
      assert.deepEqual([type, data["success"], data["code"]], ["wire_fail_response", false, 1500]);
    },
  },
  {
    section: "Error numbers of plain peers",
    sentence: "Numbers are translated in both directions.",
    async run(server) {
      const peer = await login(server, "wire_refuse");
      for (const [ours, theirs] of [...CODES, [4010, 4000], [5017, 5001], [9001, 9001]] as const) {
        const { code } = await resultOf(peer, "wire_refuse", { code: ours });
        assert.equal(code, theirs, `${ours} is sent as ${String(code)}`);
      }
    },
  },
  {
    section: REPLIES,
    sentence: "A result X is sent as `{success: true, data: X}`.",
    async run(server) {
      const peer = await login(server, "echo");
      for (const params of [{}, { data: 1 }, { a: [null] }]) {
        assert.deepEqual(await resultOf(peer, "echo", params), { success: true, data: params });
      }
    },
  },
  {
    section: REPLIES,
    sentence: "An error is sent as `{success: false, error, code, details}`.",
    async run(server) {
      const peer = await login(server, "wire_sum");
      const result = await resultOf(peer, "wire_sum", {});
      assert.deepEqual(Object.keys(result).sort(), ["code", "details", "error", "success"]);
      assert.equal(result["success"], false);
    },
  },
];
