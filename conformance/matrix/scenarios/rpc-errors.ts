import assert from "node:assert/strict";
import { ConduitError, ErrorCode, error, fieldErrors, RpcError } from "@netconduit/core";
import * as v from "valibot";
import { failureOf, Heard } from "../../behaviour/heard.ts";
import type { Scenario } from "../scenario.ts";

const User = v.object({
  name: v.string(),
  age: v.pipe(v.number(), v.minValue(0, "must not be negative")),
  address: v.object({ street: v.string() }),
});

/** Every code that stands for a fault of an answer, as a handler of an application might use it too. */
const CODES: readonly number[] = Object.values(ErrorCode);

const HELPERS = [
  ["error", () => error("Division by zero", { code: 400 }), 400, "Division by zero", undefined],
  ["error without a code", () => error("Something"), ErrorCode.UNKNOWN, "Something", undefined],
  [
    "error.validation",
    () => error.validation("Must be positive", { field: "amount", expected: "positive", received: -5 }),
    ErrorCode.VALIDATION,
    "Must be positive",
    { field: "amount", expected: "positive", received: "-5" },
  ],
  [
    "error.notFound",
    () => error.notFound("User", { identifier: 7 }),
    ErrorCode.NOT_FOUND,
    "User not found: 7",
    undefined,
  ],
  [
    "error.permissionDenied",
    () => error.permissionDenied("delete_user"),
    ErrorCode.PERMISSION_DENIED,
    "Permission denied: delete_user",
    undefined,
  ],
  [
    "error.internal",
    () => error.internal({ details: { reason: "disk full" } }),
    ErrorCode.INTERNAL,
    "Internal server error",
    { reason: "disk full" },
  ],
  ["error.timeout", () => error.timeout("gateway"), ErrorCode.TIMEOUT, "Operation timed out: gateway", undefined],
  [
    "error.rateLimited",
    () => error.rateLimited({ retryAfterSeconds: 2.5 }),
    ErrorCode.RATE_LIMITED,
    "Rate limit exceeded",
    { retry_after: 2.5 },
  ],
] as const;

/** What goes wrong in a call, and what each end hears of it. */
export const rpcErrors: readonly Scenario[] = [
  {
    title: "a validation error lists every field with its path, message and code",
    async server(half) {
      const server = half.server();
      const handled = new Heard<unknown>();
      server.rpc("create", User, handled.add);
      await half.open(server);
      await half.recordReceive("done");
      assert.deepEqual(handled.all, []);
    },
    async client(half) {
      const client = await half.join();
      const failure = await failureOf(client.call("create", { age: -1, address: { street: 5 } }));
      assert.equal(failure.code, ErrorCode.VALIDATION);
      assert.match(failure.message, /^Validation error in create: \S+: .* \(and 2 more\)$/);
      const fields = fieldErrors(failure);
      assert.deepEqual(fields.map(({ field, code }) => [field, code]).sort(), [
        ["address.street", ErrorCode.INVALID_TYPE],
        ["age", ErrorCode.VALIDATION],
        ["name", ErrorCode.MISSING_FIELD],
      ]);
      const street = fields.find(({ field }) => field === "address.street");
      assert.deepEqual(street?.path, ["address", "street"]);
      const age = fields.find(({ field }) => field === "age");
      assert.equal(age?.message, "must not be negative");
      half.tell("done");
    },
  },
  {
    title: "fields that fail alike give the validation error its code: MISSING_FIELD, INVALID_TYPE",
    async server(half) {
      const server = half.server();
      server.rpc("create", User, () => "created");
      await half.open(server);
    },
    async client(half) {
      const client = await half.join();
      const missing = await failureOf(client.call("create", { age: 1 }));
      const mistyped = await failureOf(client.call("create", { name: 1, age: "1", address: { street: null } }));
      assert.deepEqual([missing.code, mistyped.code], [ErrorCode.MISSING_FIELD, ErrorCode.INVALID_TYPE]);
    },
  },
  {
    title: "schemas transform: parameters for the handler, results for the wire, results for the caller",
    async server(half) {
      const server = half.server();
      const params = v.object({ id: v.pipe(v.string(), v.transform(Number)), limit: v.optional(v.number(), 10) });
      server.rpc("params", params, (given) => given);
      const result = v.object({ id: v.number() });
      server.rpc({ name: "result", result }, () => ({ id: 1, secret: "kept" }));
      server.rpc("when", () => "2026-01-01");
      await half.open(server);
    },
    async client(half) {
      const client = await half.join();
      assert.deepEqual(await client.call("params", { id: "7" }), { id: 7, limit: 10 });
      assert.deepEqual(await client.call("result"), { id: 1 });
      const toDate = v.pipe(
        v.string(),
        v.transform((text) => new Date(text)),
      );
      assert.deepEqual(await client.call("when", {}, { result: toDate }), new Date("2026-01-01"));
    },
  },
  {
    title: "a result that breaks its schema is INTERNAL for the caller; one that breaks the caller's own is not",
    async server(half) {
      const server = half.server();
      const errors = new Heard<string>();
      server.onError(({ message }, { stage, name }) => errors.add(`${stage} ${name}: ${message}`));
      server.rpc({ name: "user", result: v.object({ id: v.number() }) }, () => ({ id: "one" }) as never);
      server.rpc("when", () => "today");
      await half.open(server);
      assert.match(await errors.next(), /^rpc user: Validation error in the result of user: id: /);
    },
    async client(half) {
      const client = await half.join();
      const broken = await failureOf(client.call("user"));
      assert.deepEqual([broken.code, broken.details], [ErrorCode.INTERNAL, undefined]);
      const unfit = await failureOf(client.call("when", {}, { result: v.number() }));
      assert.equal(unfit.code, ErrorCode.INVALID_RESULT);
    },
  },
  {
    title: "the error helpers reach the caller as RpcErrors with code, message and details, returned or thrown",
    async server(half) {
      const server = half.server();
      for (const [name, make] of HELPERS) {
        server.rpc(`returns ${name}`, () => make());
        server.rpc(`throws ${name}`, async () => {
          throw make();
        });
      }
      await half.open(server);
    },
    async client(half) {
      const client = await half.join();
      for (const [name, , code, message, details] of HELPERS) {
        for (const how of ["returns", "throws"]) {
          const failure = await failureOf(client.call(`${how} ${name}`));
          assert.ok(failure instanceof RpcError, name);
          assert.deepEqual([failure.code, failure.message, failure.details], [code, message, details], name);
        }
      }
    },
  },
  {
    title: "every error code arrives as it was sent, in both directions, and codes of one's own",
    async server(half) {
      const server = half.server();
      server.rpc("fail", ({ code }) => error(`Code ${String(code)}`, { code: Number(code) }));
      const connection = await (await half.open(server)).next();
      await half.recordReceive("ready");
      for (const code of [...CODES, 1, 999, 9000]) {
        assert.equal((await failureOf(connection.call("fail", { code }))).code, code);
      }
    },
    async client(half) {
      const client = await half.client();
      client.rpc("fail", ({ code }) => error(`Code ${String(code)}`, { code: Number(code) }));
      await client.connect();
      half.tell("ready");
      for (const code of [...CODES, 1, 999, 9000]) {
        const failure = await failureOf(client.call("fail", { code }));
        assert.deepEqual([failure.code, failure.message], [code, `Code ${code}`]);
      }
    },
  },
  {
    title: "details of an error carry any value",
    async server(half) {
      const server = half.server();
      const details = { at: new Date(5), raw: Uint8Array.of(1, 2), large: 2n ** 63n, list: [{ ключ: "значение" }] };
      server.rpc("fail", () => error("With details", { code: 500, details }));
      await half.open(server);
    },
    async client(half) {
      const client = await half.join();
      const { details } = await failureOf(client.call("fail"));
      const expected = { at: new Date(5), raw: Uint8Array.of(1, 2), large: 2n ** 63n, list: [{ ключ: "значение" }] };
      assert.deepEqual(details, expected);
    },
  },
  {
    title: "the text of an exception stays where it was thrown: INTERNAL for the caller, the exception for onError",
    async server(half) {
      const server = half.server();
      const errors = new Heard<string>();
      server.onError(({ message }, { stage, name }) => errors.add(`${stage} ${name}: ${message}`));
      server.rpc("fail", () => {
        throw new Error("hunter2");
      });
      await half.open(server);
      assert.equal(await errors.next(), "rpc fail: hunter2");
    },
    async client(half) {
      const client = await half.join();
      const failure = await failureOf(client.call("fail"));
      assert.deepEqual([failure.code, failure.message], [ErrorCode.INTERNAL, "Internal server error"]);
      assert.equal(JSON.stringify(failure).includes("hunter2"), false);
    },
  },
  {
    title: "exposeErrors sends the text of an exception, of either end",
    async server(half) {
      const server = half.server({ exposeErrors: true });
      server.rpc("fail", () => {
        throw new TypeError("x is not a function");
      });
      const connection = await (await half.open(server)).next();
      await half.recordReceive("ready");
      const failure = await failureOf(connection.call("fail"));
      assert.deepEqual([failure.code, failure.message], [ErrorCode.INTERNAL, "y is not a function"]);
    },
    async client(half) {
      const client = await half.client({ exposeErrors: true });
      client.rpc("fail", () => {
        throw new TypeError("y is not a function");
      });
      await client.connect();
      half.tell("ready");
      const failure = await failureOf(client.call("fail"));
      assert.deepEqual([failure.code, failure.message], [ErrorCode.INTERNAL, "x is not a function"]);
    },
  },
  {
    title: "an unknown method is METHOD_NOT_FOUND, also when its name is a property of every object",
    async server(half) {
      await half.open(half.server());
    },
    async client(half) {
      const client = await half.join();
      for (const name of ["nope", "", "constructor", "__proto__", "toString"]) {
        const failure = await failureOf(client.call(name));
        assert.deepEqual([failure.code, failure instanceof RpcError], [ErrorCode.METHOD_NOT_FOUND, true], name);
      }
    },
  },
  {
    title: "a result that cannot be sent, or is too large, is an error for the caller, and the connection lives",
    async server(half) {
      const server = half.server({ maxMessageBytes: 2048 });
      const errors = new Heard<Error>();
      server.onError(errors.add);
      server.rpc("bad", () => ({ user: { save: () => {} } }));
      server.rpc("large", () => "x".repeat(4096));
      server.rpc("good", () => "good");
      await half.open(server);
      const reported = await errors.next();
      assert.ok(reported instanceof ConduitError);
      assert.equal(reported.code, ErrorCode.UNSERIALIZABLE);
      assert.match(reported.message, /result\.user\.save/);
    },
    async client(half) {
      const client = await half.join();
      assert.equal((await failureOf(client.call("bad"))).code, ErrorCode.INTERNAL);
      assert.equal((await failureOf(client.call("large"))).code, ErrorCode.MESSAGE_TOO_LARGE);
      assert.equal(await client.call("good"), "good");
    },
  },
];
