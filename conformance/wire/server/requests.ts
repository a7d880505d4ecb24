import assert from "node:assert/strict";
import {
  call,
  frame,
  message,
  type ReceivedFrame,
  Type,
  typeName,
} from "../../../packages/core/src/testing/raw-frames.ts";
import { freshKey } from "../both/once.ts";
import { answerTo, type Check, frameOf, isAlive, isClosedWith } from "../check.ts";
import type { ServerUnderTest } from "../server-under-test.ts";

/** Enough to fill what a server runs at once. */
const QUEUED = 900;
const EXTENSIONS = { reply: true, close: true, cancel: true };

interface Problem {
  readonly field: string;
  readonly path: readonly unknown[];
  readonly message: string;
  readonly code: number;
}

/** The error of a call of `wire_sum` with these parameters. */
async function problemsOf(
  server: ServerUnderTest,
  params: unknown,
): Promise<{ code: unknown; error: string; errors: readonly Problem[]; omitted: unknown }> {
  const peer = await server.loginFor("wire_sum");
  const { type, payload } = await server.callOn(peer, "wire_sum", params, 5n);
  assert.equal(typeName({ type }), "RPC_ERROR");
  const { errors, omitted } = (payload?.["details"] ?? {}) as { errors?: readonly Problem[]; omitted?: unknown };
  assert.ok(Array.isArray(errors), "There are no details.errors");
  return { code: payload?.["code"], error: String(payload?.["error"]), errors: errors as readonly Problem[], omitted };
}

/** Checks of requests: their ids, their order, and those that are given up. */
export const requestChecks: readonly Check<ServerUnderTest>[] = [
  {
    section: "MESSAGE",
    sentence: "The payload is `{type, data, timeout_ms?}`; a missing `data` counts as nil.",
    async run(server) {
      const peer = await server.loginForMessages(EXTENSIONS);
      for (const data of [{}, { data: null }, { data: 5 }]) {
        peer.send(Type.MESSAGE, { type: "wire_echo", ...data }, { id: 5n });
        const { payload } = await answerTo(peer, 5n);
        assert.deepEqual(payload, { success: true, result: (data as { data?: unknown }).data ?? null });
      }
    },
  },
  {
    section: "MESSAGE",
    sentence:
      "If `reply` is in force and the `MESSAGE` has no correlation id: not at all, because its sender didn't ask.",
    async run(server) {
      const peer = await server.loginForMessages(EXTENSIONS);
      peer.message("wire_echo", "unasked");
      peer.message("nobody has this type");
      peer.message("wire_echo", "asked", 6n);
      const before = await isAlive(peer);
      assert.deepEqual(
        before.map(({ id, payload }) => [id, payload?.["result"]]),
        [[6n, "asked"]],
      );
    },
  },
  {
    section: "MESSAGE",
    sentence:
      "Without `reply`, if the handler returned a value: as a `MESSAGE` of type `<type>_response`, without a correlation id.",
    async run(server) {
      const peer = await server.loginForMessages({ close: true });
      peer.message("wire_echo", [1], 5n);
      const { type, id, payload } = await frameOf(peer);
      assert.deepEqual([typeName({ type }), id, payload], ["MESSAGE", 0n, { type: "wire_echo_response", data: [1] }]);
    },
  },
  {
    section: "RPC_REQUEST",
    sentence: "Replies may come in any order.",
    async run(server) {
      const peer = await server.loginFor("wait");
      peer.write(call(1n, "wait"), call(2n, "echo", { a: 1 }));
      assert.equal((await frameOf(peer)).id, 2n);
    },
  },
  {
    section: "Correlation ids",
    sentence:
      "Everything that expects an answer shares one space of ids: `RPC_REQUEST`, `MESSAGE` under `reply`, and `RPC_LIST`.",
    async run(server) {
      for (const second of [message("wire_echo", null, 7n), frame(Type.RPC_LIST, undefined, { id: 7n })]) {
        const peer = await server.loginFor("wait", EXTENSIONS);
        peer.write(call(7n, "wait"), second);
        await isClosedWith(peer, 7018);
      }
    },
  },
  {
    section: "Correlation ids",
    sentence: "After a `CANCEL`, an id therefore rests until its answer has come.",
    async run(server) {
      const peer = await server.loginFor("wait", EXTENSIONS);
      for (let round = 0; round < 3; round += 1) {
        peer.write(call(7n, "wait"), frame(Type.CANCEL, undefined, { id: 7n }));
        assert.equal(typeName(await answerTo(peer, 7n)), "RPC_ERROR");
      }
    },
  },
  {
    section: "Order",
    sentence:
      "Handlers of `MESSAGE` and `RPC_REQUEST` start in the order in which the frames arrive, and don't wait for each other to finish.",
    async run(server) {
      const peer = await server.loginFor("wire_slow", EXTENSIONS);
      const key = freshKey();
      const ids = Array.from({ length: 50 }, (_, index) => BigInt(index + 1));
      // The first ones take longest.
      peer.write(...ids.map((id) => call(id, "wire_slow", { key, ms: 100 - Number(id) })));
      const runs = new Map<bigint, unknown>();
      while (runs.size < ids.length) {
        const { id, payload } = await frameOf(peer, Type.RPC_RESPONSE);
        runs.set(id, (payload?.["result"] as { runs?: unknown } | undefined)?.runs);
      }
      assert.deepEqual(
        ids.map((id) => runs.get(id)),
        ids.map(Number),
      );
      assert.notDeepEqual([...runs.keys()], ids, "Each waited for the one before");
    },
  },
  {
    section: "Extensions",
    sentence:
      "After `CANCEL`, the receiver answers a request whose handler hasn't started with `CANCELLED` (1003), and doesn't start it.",
    async run(server) {
      await (await server.loginFor("wait")).dispose();
      const peer = await server.loginFor("wire_slow", EXTENSIONS);
      const key = freshKey();
      const waits = Array.from({ length: QUEUED }, (_, index) => call(BigInt(index + 1), "wait"));
      peer.write(...waits, call(5000n, "wire_slow", { key, ms: 0 }), frame(Type.CANCEL, undefined, { id: 5000n }));
      const answer = await answerTo(peer, 5000n);
      // A server that starts everything at once has started it.
      if (answer.type === Type.RPC_RESPONSE) return;
      assert.equal(answer.payload?.["code"], 1003);
      const other = await server.login();
      const { payload } = await server.callOn(other, "wire_slow", { key, ms: 0 }, 1n);
      assert.deepEqual(payload?.["result"], { runs: 1 }, "The handler was started");
    },
  },
  {
    section: "Extensions",
    sentence: "It notifies a running handler, and the answer comes when that has finished; the caller ignores it.",
    async run(server) {
      const peer = await server.loginFor("wait", EXTENSIONS);
      peer.write(call(7n, "wait"));
      assert.deepEqual(await isAlive(peer), [], "The method `wait` has ended by itself");
      peer.send(Type.CANCEL, undefined, { id: 7n });
      assert.equal((await frameOf(peer)).id, 7n);
    },
  },
  {
    section: "RPC_ERROR",
    sentence: "Validation errors list up to 100 invalid fields in `details.errors`; `details.omitted` counts the rest:",
    async run(server) {
      const few = await problemsOf(server, { numbers: [1, "two", 3] });
      assert.equal(few.errors.length, 1);
      const [{ field, path, message, code }] = few.errors as [Problem];
      assert.deepEqual([field, path, typeof message, code], ["numbers.1", ["numbers", 1], "string", 2002]);
      assert.ok(few.omitted === undefined || few.omitted === 0, `omitted is ${String(few.omitted)}`);
      const many = await problemsOf(server, { numbers: new Array(150).fill("x") });
      assert.deepEqual([many.errors.length, many.omitted], [100, 50]);
    },
  },
  {
    section: "RPC_ERROR",
    sentence: "`code` is 2001 or 2002 if all fields have that code, otherwise 2000.",
    async run(server) {
      assert.equal((await problemsOf(server, {})).code, 2001);
      assert.equal((await problemsOf(server, { numbers: "x" })).code, 2002);
    },
  },
  {
    section: "RPC_ERROR",
    sentence:
      "The message in `error` names the first field and ends with, for example, `(and 2 more)` if there are others.",
    async run(server) {
      const three = await problemsOf(server, { numbers: ["x", 1, "y", "z"] });
      assert.match(three.error, /numbers\.0.*\(and 2 more\)$/s);
      assert.doesNotMatch((await problemsOf(server, { numbers: ["x"] })).error, /\(and /);
    },
  },
  {
    section: "AUTH_SUCCESS",
    sentence: "From here on, frames may be as large as each side's limit allows.",
    async run(server) {
      const peer = await server.loginFor("echo", ["close"]);
      const text = "x".repeat(100_000);
      const answer: ReceivedFrame = await server.callOn(peer, "echo", { text }, 5n);
      assert.deepEqual(answer.payload?.["result"], { text });
    },
  },
];
