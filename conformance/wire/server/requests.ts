import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import {
  call,
  frame,
  message,
  type ReceivedFrame,
  rawFrame,
  Type,
  typeName,
} from "../../../packages/core/src/testing/raw-frames.ts";
import { freshKey } from "../both/once.ts";
import { answerTo, type Check, frameOf, isAlive, isClosedWith, Skipped } from "../check.ts";
import type { ServerUnderTest } from "../server-under-test.ts";

/** Enough requests to reach a server's limit on concurrent handlers. */
const QUEUED = 900;
const EXTENSIONS = { reply: true, close: true, cancel: true };

interface Problem {
  readonly field: string;
  readonly path: readonly unknown[];
  readonly message: string;
  readonly code: number;
}

/** Calls `wire_sum` with these parameters and returns the error. */
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

/** Checks of requests: ids, order and cancellation. */
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
        assert.match(typeName(await answerTo(peer, 7n)), /^RPC_(ERROR|RESPONSE)$/);
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
      // The first calls take longest.
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
      // A server without a limit on concurrent handlers has started it.
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
    sentence:
      "Validation errors list up to 100 invalid fields in `details.errors`; `details.omitted` counts the rest, as far as this side has looked for them:",
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
  {
    section: "MESSAGE",
    sentence:
      "An error that the handler returns or deliberately throws is sent the same way, with the data `{success: false, error, code, details?}`.",
    async run(server) {
      await (await server.loginForMessages()).dispose();
      const peer = await server.login({ close: true });
      peer.message("wire_fail", { key: freshKey() });
      const { id, payload } = await frameOf(peer, Type.MESSAGE);
      const { success, error, code, details } = (payload?.["data"] ?? {}) as Readonly<Record<string, unknown>>;
      assert.deepEqual(
        [id, payload?.["type"], success, typeof error, code, details],
        [0n, "wire_fail_response", false, "string", 1500, { runs: 1 }],
      );
    },
  },
  {
    section: "Permissions",
    sentence:
      "A request for it by others is answered with `PERMISSION_DENIED` (3002), before its parameters or data are validated.",
    async run(server) {
      const peer = await server.login();
      for (const params of [{ number: 5 }, { number: "five" }, {}]) {
        const { payload } = await server.callOn(peer, "wire_private", params, 5n);
        if (payload?.["code"] === 4000) throw new Skipped("the server has no method 'wire_private'");
        assert.equal(payload?.["code"], 3002);
      }
    },
  },
  {
    section: "Deadlines",
    sentence:
      "A handler that runs at its deadline is notified, as by `CANCEL`, and the answer comes when it has finished.",
    async run(server) {
      await (await server.loginFor("wait")).dispose();
      await server.needsExtension("deadline");
      const peer = await server.loginFor("wait", { ...EXTENSIONS, deadline: true });
      peer.write(frame(Type.RPC_REQUEST, { method: "wait", params: {}, timeout_ms: 50 }, { id: 5n }));
      await answerTo(peer, 5n);
    },
  },
  {
    section: "Deadlines",
    sentence:
      "If it has finished because of that, the answer is `TIMEOUT`: its result may be incomplete, and the caller may still wait, by its own clock.",
    async run(server) {
      await (await server.loginFor("wait")).dispose();
      await server.needsExtension("deadline");
      const peer = await server.login({ ...EXTENSIONS, deadline: true });
      peer.write(frame(Type.RPC_REQUEST, { method: "wait", params: {}, timeout_ms: 50 }, { id: 5n }));
      assert.equal((await answerTo(peer, 5n)).payload?.["code"], 5001);
    },
  },
  {
    section: "Deadlines",
    sentence:
      "A request whose deadline has passed before its handler starts isn't started; it is answered with `TIMEOUT` (5001).",
    async run(server) {
      await (await server.loginFor("wait")).dispose();
      await server.needsExtension("deadline");
      const peer = await server.loginFor("wire_slow", { ...EXTENSIONS, deadline: true });
      const key = freshKey();
      const waits = Array.from({ length: QUEUED }, (_, index) => BigInt(index + 1));
      const late = { method: "wire_slow", params: { key, ms: 0 }, timeout_ms: 50 };
      peer.write(...waits.map((id) => call(id, "wait")), frame(Type.RPC_REQUEST, late, { id: 5000n }));
      await sleep(200);
      peer.write(...waits.map((id) => frame(Type.CANCEL, undefined, { id })));
      const answer = await answerTo(peer, 5000n);
      // A server without a limit on concurrent handlers has started it.
      if (answer.type === Type.RPC_RESPONSE) return;
      assert.equal(answer.payload?.["code"], 5001);
      const { payload } = await server.callOn(await server.login(), "wire_slow", { key, ms: 0 }, 1n);
      assert.deepEqual(payload?.["result"], { runs: 1 }, "The handler was started");
    },
  },
  {
    section: "Discovery",
    sentence: "The built-in method `listall` returns all methods; applications can't register that name.",
    async run(server) {
      const peer = await server.loginFor("echo");
      const { payload } = await server.callOn(peer, "listall", {}, 5n);
      const { methods, count } = (payload?.["result"] ?? {}) as {
        methods: readonly Record<string, unknown>[];
        count: unknown;
      };
      assert.equal(count, methods.length);
      for (const { name, description, parameters, return_type, requires_auth } of methods) {
        const types = [name, description, parameters, return_type, requires_auth].map((value) => typeof value);
        assert.deepEqual(types, ["string", "string", "object", "string", "boolean"]);
      }
    },
  },
  {
    section: "Result wrappers",
    sentence: "Results are sent as returned.",
    async run(server) {
      const peer = await server.loginFor("echo");
      for (const params of [
        { success: true, data: 5 },
        { success: false, error: "no" },
      ]) {
        const { type, payload } = await server.callOn(peer, "echo", params, 5n);
        assert.deepEqual([typeName({ type }), payload], ["RPC_RESPONSE", { success: true, result: params }]);
      }
    },
  },
  {
    section: "Payloads",
    sentence: "Text is encoded as str and bytes as bin.",
    async run(server) {
      const peer = await server.loginFor("echo");
      const params = { text: "text", bytes: Uint8Array.of(1, 2, 3) };
      const answer = await server.callOn(peer, "echo", params, 5n);
      assert.deepEqual(answer.payload?.["result"], params);
      // A bin 8 of 3 bytes and a fixstr of 4.
      for (const part of [
        [0xc4, 3, 1, 2, 3],
        [0xa4, ...Buffer.from("text")],
      ]) {
        assert.ok(Buffer.from(answer.payloadBytes).includes(Buffer.from(part)), "It is in another format");
      }
    },
  },
  {
    section: "Invalid payloads",
    sentence:
      "An `RPC_REQUEST` with a correlation id, or a `MESSAGE` with one under `reply`, is answered with `RPC_ERROR` and the code.",
    async run(server) {
      await server.needsExtension("reply");
      const peer = await server.login({ reply: true, close: true });
      for (const type of [Type.RPC_REQUEST, Type.MESSAGE]) {
        peer.write(rawFrame(type, Uint8Array.of(0xc1), { id: 5n }));
        const answer = await answerTo(peer, 5n);
        assert.deepEqual([typeName(answer), answer.payload?.["code"]], ["RPC_ERROR", 7004]);
      }
    },
  },
  {
    section: "Invalid payloads",
    sentence: "Any other frame is dropped and reported to the application.",
    async run(server) {
      const peer = await server.login({ close: true });
      const garbage = Uint8Array.of(0xc1);
      // Without `reply`, the id of a MESSAGE has no meaning.
      peer.write(rawFrame(Type.MESSAGE, garbage, { id: 5n }), rawFrame(Type.RPC_RESPONSE, garbage, { id: 6n }));
      assert.deepEqual(await isAlive(peer), []);
    },
  },
];
