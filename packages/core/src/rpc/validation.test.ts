import * as v from "valibot";
import { describe, expect, onTestFinished, test } from "vitest";
import { z } from "zod";
import { ConduitError, ErrorCode, RpcError } from "../errors.ts";
import { error } from "./error-helpers.ts";
import type { Schema, SchemaIssue } from "./schema.ts";
import { type FieldError, fieldErrors, Validator } from "./validation.ts";

function failure(schema: Schema, value: unknown): RpcError {
  try {
    void new Validator(schema, "params").run(value, "add");
  } catch (error) {
    if (error instanceof RpcError) return error;
    throw error;
  }
  throw new Error("the value passed");
}

function fields(schema: Schema, value: unknown): [field: string, code: number][] {
  const errors = failure(schema, value).details?.["errors"] as FieldError[];
  return errors.map((error) => [error.field, error.code]);
}

/** Returns a schema that reports the given issues. */
function failing(...issues: unknown[]): Schema {
  return {
    "~standard": { version: 1, vendor: "test", validate: () => ({ issues: issues as SchemaIssue[] }) },
  };
}

const { VALIDATION, MISSING_FIELD, INVALID_TYPE } = ErrorCode;

const libraries = [
  {
    name: "valibot",
    user: v.object({
      name: v.string(),
      age: v.number(),
      user: v.object({ email: v.pipe(v.string(), v.email()) }),
      tags: v.array(v.string()),
      role: v.picklist(["admin", "guest"]),
      id: v.union([v.string(), v.number()]),
      shape: v.variant("kind", [v.object({ kind: v.literal("circle") }), v.object({ kind: v.literal("square") })]),
    }),
    strict: v.strictObject({ a: v.number() }),
    asynchronous: v.objectAsync({
      a: v.pipeAsync(
        v.number(),
        v.checkAsync(async (a) => a > 0, "must be positive"),
      ),
    }),
    defaults: v.object({ a: v.optional(v.number(), 5), b: v.pipe(v.string(), v.transform(Number)) }),
  },
  {
    name: "zod",
    user: z.object({
      name: z.string(),
      age: z.number(),
      user: z.object({ email: z.email() }),
      tags: z.array(z.string()),
      role: z.enum(["admin", "guest"]),
      id: z.union([z.string(), z.number()]),
      shape: z.discriminatedUnion("kind", [
        z.object({ kind: z.literal("circle") }),
        z.object({ kind: z.literal("square") }),
      ]),
    }),
    strict: z.strictObject({ a: z.number() }),
    asynchronous: z.object({ a: z.number().refine(async (a) => a > 0, "must be positive") }),
    defaults: z.object({ a: z.number().default(5), b: z.string().transform(Number) }),
  },
];

const valid = {
  name: "Ada",
  age: 36,
  user: { email: "ada@example.com" },
  tags: ["x"],
  role: "admin",
  id: 1,
  shape: { kind: "circle" },
};

test.each([
  ["valibot", v.object({ id: v.bigint() })],
  ["zod", z.object({ id: z.bigint() })],
])("a bigint of %s that arrived as a number: the error says what to do", (_library, schema) => {
  const messageFor = (id: unknown): string => failure(schema, { id }).message;
  expect(messageFor(5)).toMatch(/bigint.*arrive as numbers: let the schema take both, and convert/);
  expect(messageFor("5")).not.toContain("arrive as numbers");
});

describe.each(libraries)("a validator of a $name schema", ({ user, strict, asynchronous, defaults }) => {
  test("returns a valid value at once, not as a promise", () => {
    expect(new Validator(user, "params").run(valid, "add")).toEqual(valid);
  });

  test("returns the schema's output, with defaults and transformations applied", () => {
    expect(new Validator(defaults, "params").run({ b: "7" }, "add")).toEqual({ a: 5, b: 7 });
  });

  test("lists every field with its path and a code of its own", () => {
    const value = { ...valid, name: undefined, age: "36", user: { email: "nobody" }, tags: ["x", 5] };
    expect(fields(user, value)).toEqual([
      ["name", MISSING_FIELD],
      ["age", INVALID_TYPE],
      ["user.email", VALIDATION],
      ["tags.1", INVALID_TYPE],
    ]);
  });

  test("gives the path as keys and indexes too", () => {
    const errors = failure(user, { ...valid, tags: ["x", 5] }).details?.["errors"] as FieldError[];
    expect(errors[0]?.path).toEqual(["tags", 1]);
  });

  test("has the code 2001 when nothing but missing fields is wrong", () => {
    const { name, age, ...rest } = valid;
    expect(failure(user, rest).code).toBe(MISSING_FIELD);
  });

  test("has the code 2002 when nothing but types is wrong", () => {
    expect(failure(user, { ...valid, name: 1, age: "1" }).code).toBe(INVALID_TYPE);
  });

  test("has the code 2000 when different things are wrong", () => {
    expect(failure(user, { ...valid, name: 1, age: undefined }).code).toBe(VALIDATION);
  });

  test("calls a value outside a list a validation error, and a value of no member of a union a wrong type", () => {
    expect(fields(user, { ...valid, role: "root", id: true })).toEqual([
      ["role", VALIDATION],
      ["id", INVALID_TYPE],
    ]);
  });

  test("calls an unknown discriminator a validation error, and an absent one a missing field", () => {
    expect(fields(user, { ...valid, shape: { kind: "line" } })).toEqual([["shape.kind", VALIDATION]]);
    expect(fields(user, { ...valid, shape: {} })).toEqual([["shape.kind", MISSING_FIELD]]);
  });

  test("calls null a wrong type: it is there", () => {
    expect(fields(user, { ...valid, name: null })).toEqual([["name", INVALID_TYPE]]);
  });

  test("reports a value that is absent altogether as the missing field ''", () => {
    expect(fields(user, undefined)).toEqual([["", MISSING_FIELD]]);
  });

  test("reports a value that is not an object as of a wrong type", () => {
    expect(fields(user, 5)).toEqual([["", INVALID_TYPE]]);
  });

  test("names an unknown key of a strict object at its own path", () => {
    expect(fields(strict, { a: 1, b: 2 })).toEqual([["b", VALIDATION]]);
  });

  test("resolves to the output of an asynchronous schema", async () => {
    await expect(new Validator(asynchronous, "params").run({ a: 1 }, "add")).resolves.toEqual({ a: 1 });
  });

  test("rejects with the same error when the schema is asynchronous", async () => {
    await expect(new Validator(asynchronous, "params").run({ a: -1 }, "add")).rejects.toMatchObject({
      code: VALIDATION,
      message: "Validation error in add: a: must be positive",
      details: { errors: [{ field: "a", message: "must be positive" }] },
    });
  });

  test("does not repeat a long received value", () => {
    const error = failure(user, { ...valid, age: "x".repeat(100_000) });
    expect(JSON.stringify(error.details).length).toBeLessThan(500);
  });

  test("lists 100 fields at most and counts the rest", () => {
    const details = failure(user, { ...valid, tags: Array.from({ length: 150 }, () => 1) }).details;
    expect(details?.["errors"]).toHaveLength(100);
    expect(details?.["omitted"]).toBe(50);
  });
});

describe("the message of a validation error", () => {
  test.each([
    ["params", "Validation error in add"],
    ["data", "Validation error in message add"],
    ["input", "Validation error in the input of add"],
    ["topic", "Validation error in topic add"],
    ["result", "Validation error in the result of add"],
  ] as const)("says where %s came from", (subject, message) => {
    const validator = new Validator(v.number(), subject);
    expect(() => validator.run("x", "add")).toThrow(`${message}: Invalid type: Expected number but received "x"`);
  });

  const message = (schema: Schema, value: unknown): string => failure(schema, value).message;

  test("names the first field and its problem, and how many there are besides", () => {
    const pair = v.object({ a: v.number(), b: v.number() });
    const first = 'Validation error in add: a: Invalid type: Expected number but received "1"';
    expect(message(pair, { a: "1", b: 2 })).toBe(first);
    expect(message(pair, { a: "1" })).toBe(`${first} (and 1 more)`);
    const list = Array.from({ length: 150 }, () => "1");
    expect(message(v.array(v.number()), list)).toMatch(/^Validation error in add: 0: .* \(and 149 more\)$/);
  });

  test("is bounded, whatever the fields are called and the schema says", () => {
    const path = Array.from({ length: 128 }, (_, index) => `${index}`.repeat(100));
    expect(message(failing({ message: "no ".repeat(1000), path }), {}).length).toBeLessThan(350);
  });

  test("is short where there are no issues", () => {
    const schema = { "~standard": { version: 1, vendor: "test", validate: () => ({ issues: [] }) } };
    expect(message(schema as unknown as Schema, 1)).toBe("Validation error in add");
  });
});

test("a result that does not fit is INVALID_RESULT: not what the other side calls wrong, and its fields can be read", () => {
  let thrown: unknown;
  try {
    void new Validator(v.object({ n: v.number() }), "result").run({}, "add");
  } catch (error) {
    thrown = error;
  }
  expect(thrown).toBeInstanceOf(ConduitError);
  expect(thrown).not.toBeInstanceOf(RpcError);
  expect(thrown).toMatchObject({ code: ErrorCode.INVALID_RESULT });
  expect(fieldErrors(thrown)).toMatchObject([{ field: "n", code: ErrorCode.MISSING_FIELD }]);
});

describe("a validator of any other library", () => {
  test("takes path segments as bare keys and as objects", () => {
    expect(fields(failing({ message: "no", path: ["a", { key: "b" }, 0] }), { a: { b: [1] } })).toEqual([
      ["a.b.0", VALIDATION],
    ]);
  });

  test("turns a symbol key into text, which can travel", () => {
    expect(fields(failing({ message: "no", path: [Symbol("s")] }), {})).toEqual([["Symbol(s)", MISSING_FIELD]]);
  });

  test("calls validate on the schema's own object, so that a library may rely on `this`", () => {
    class Standard {
      readonly version = 1;
      readonly vendor = "test";
      private readonly output = "from this";
      validate(_value: unknown): { value: string } {
        return { value: this.output };
      }
    }
    expect(new Validator({ "~standard": new Standard() }, "params").run(1, "add")).toBe("from this");
  });

  test("waits for a thenable that is no Promise", async () => {
    // biome-ignore lint/suspicious/noThenProperty: it is the point of the test
    const thenable = { then: (resolve: (result: unknown) => void) => resolve({ value: 7 }) };
    const schema = { "~standard": { version: 1, vendor: "test", validate: () => thenable } } as unknown as Schema;
    await expect(new Validator(schema, "params").run(1, "add")).resolves.toBe(7);
  });

  test("passes on exceptions of a schema's own code", () => {
    const schema = v.pipe(
      v.number(),
      v.check(() => {
        throw new TypeError("bug in the check");
      }),
    );
    expect(() => new Validator(schema, "params").run(1, "add")).toThrow(TypeError);
  });

  test("clips long keys, so that a record's keys are not echoed in full", () => {
    const [first] = fields(failing({ message: "no", path: ["k".repeat(5000)] }), {});
    expect(first?.[0].length).toBe(100);
  });

  test("does not report fields of a Map as missing", () => {
    expect(fields(failing({ message: "no", path: ["k"] }), new Map([["k", 1]]))).toEqual([["k", VALIDATION]]);
  });

  test("reports a field of something that is no object as missing", () => {
    expect(fields(failing({ message: "no", path: ["a", "b"] }), { a: 1 })).toEqual([["a.b", MISSING_FIELD]]);
  });

  const throwing = {
    get path(): never {
      throw new Error("touched");
    },
    message: "no",
  };
  const cyclic: Record<string, unknown> = { kind: "schema", type: "union", message: "no" };
  cyclic["issues"] = [cyclic];
  test.each([
    ["null", null],
    ["undefined", undefined],
    ["text", "no"],
    ["an issue without a message", {}],
    ["a message that is no text", { message: 5 }],
    ["a path that is no list", { message: "no", path: 5 }],
    ["a path of nothing", { message: "no", path: [null, undefined, Number.NaN] }],
    ["a getter that throws", throwing],
    ["a union that contains itself", cyclic],
    ["a zod union without branches", { message: "no", code: "invalid_union", errors: [[]] }],
    ["unknown keys that are no list", { message: "no", code: "unrecognized_keys", keys: 5 }],
  ])("turns an issue that is %s into an RpcError and nothing else", (_name, issue) => {
    const error = failure(failing(issue), { a: 1 });
    expect(error.details?.["errors"]).toHaveLength(1);
  });

  test("fails with the code 2000 and an empty list when the issues are no list", () => {
    const schema = { "~standard": { version: 1, vendor: "test", validate: () => ({ issues: {} }) } };
    const error = failure(schema as unknown as Schema, 1);
    expect([error.code, error.details]).toEqual([VALIDATION, { errors: [] }]);
  });
});

describe("missing fields", () => {
  const left = { data: null, result: null, params: {} } as const;
  const subjects = ["data", "result", "params"] as const;

  test.each(subjects)("of %s is undefined for a schema that takes that", (subject) => {
    const needy = v.optional(v.object({ a: v.number() }));
    expect(new Validator(needy, subject).run(left[subject], "x")).toBeUndefined();
    const filled = v.optional(v.object({ a: v.number() }), { a: 5 });
    expect(new Validator(filled, subject).run(left[subject], "x")).toEqual({ a: 5 });
  });

  test.each(subjects)("of %s is so for an asynchronous schema, too", async (subject) => {
    const needy = v.objectAsync({ a: v.number() });
    const optional = v.optionalAsync(needy);
    expect(await new Validator(optional, subject).run(left[subject], "x")).toBeUndefined();
    await expect(new Validator(needy, subject).run(left[subject], "x")).rejects.toBeInstanceOf(ConduitError);
  });

  test("stays what it is for a schema that takes it so", () => {
    expect(new Validator(v.nullish(v.string()), "data").run(null, "x")).toBeNull();
    expect(new Validator(v.optional(v.object({})), "params").run({}, "x")).toEqual({});
  });

  test("is reported as what arrived", () => {
    expect(fields(v.object({ a: v.number() }), {})).toEqual([["a", MISSING_FIELD]]);
    expect(() => new Validator(v.object({}), "data").run(null, "x")).toThrow(
      expect.objectContaining({ code: INVALID_TYPE }),
    );
  });

  test("is nothing else: null within, null as parameters, or an empty map as data", () => {
    expect(fields(v.object({ a: v.optional(v.number()) }), { a: null })).toEqual([["a", INVALID_TYPE]]);
    expect(fields(v.optional(v.object({})), null)).toEqual([["", INVALID_TYPE]]);
    expect(() => new Validator(v.optional(v.string()), "data").run({}, "x")).toThrow(RpcError);
  });
});

describe("a value with very many invalid fields", () => {
  const many = new Array<unknown>(1_000_000).fill(null);
  const found = (error: ConduitError): number => fieldErrors(error).length + Number(error.details?.["omitted"] ?? 0);

  test.each([
    ["an array", v.array(v.string()), many],
    ["arrays in arrays", v.array(v.array(v.string())), [many.slice(0, 1000), many]],
    [
      "an object",
      v.record(v.string(), v.string()),
      Object.fromEntries(many.slice(0, 50_000).map((_, n) => [`k${n}`, 1])),
    ],
    [
      "items that are checked further",
      v.array(
        v.pipe(
          v.nullable(v.string()),
          v.check(() => false),
        ),
      ),
      many,
    ],
    ["a union", v.union([v.array(v.string()), v.array(v.number())]), many],
  ])("isn't searched for all of them by valibot: %s", async (_what, schema, value) => {
    const error = failure(v.object({ value: schema as v.GenericSchema }), { value });
    expect(fieldErrors(error).length).toBeGreaterThan(0);
    expect(found(error)).toBeLessThan(10_000);
  });

  test("isn't searched for all of them by an asynchronous schema of valibot", async () => {
    const schema = v.arrayAsync(v.string());
    const error: unknown = await Promise.resolve(new Validator(schema, "data").run(many.slice(0, 100_000), "x")).catch(
      (reason: unknown) => reason,
    );
    expect(error).toBeInstanceOf(ConduitError);
    expect(found(error as ConduitError)).toBeLessThan(10_000);
  });

  test("is valid if another branch of a union takes it", () => {
    const schema = v.union([v.array(v.string()), v.array(v.null())]);
    expect(new Validator(schema, "data").run(many, "x")).toHaveLength(many.length);
  });

  test("has as many invalid fields as before if they are not so many", () => {
    expect(found(failure(v.object({ value: v.array(v.string()) }), { value: many.slice(0, 2000) }))).toBe(2000);
  });

  test("keeps valibot's configuration", () => {
    onTestFinished(() => {
      v.deleteGlobalConfig();
      v.deleteGlobalMessage("de");
    });
    v.setGlobalMessage("ungültig", "de");
    v.setGlobalConfig({ lang: "de", abortEarly: true });
    expect(fieldErrors(failure(v.object({ a: v.string(), b: v.string() }), {})).map(({ message }) => message)).toEqual([
      "ungültig",
    ]);
  });
});

describe("fieldErrors", () => {
  test("gives the fields that a schema found wrong", () => {
    const wrong = failure(v.object({ a: v.number(), b: v.object({ c: v.string() }) }), { a: "1", b: {} });
    expect(fieldErrors(wrong).map(({ field, path, code }) => [field, path, code])).toEqual([
      ["a", ["a"], INVALID_TYPE],
      ["b.c", ["b", "c"], MISSING_FIELD],
    ]);
  });

  test("gives the one field that error.validation was given, with the error's message", () => {
    expect(fieldErrors(error.validation("Taken", { field: "nick", received: "ada" }))).toEqual([
      { field: "nick", path: ["nick"], message: "Taken", code: VALIDATION },
    ]);
    expect(fieldErrors(error.validation("Too far", { field: "address.street" }))[0]?.path).toEqual([
      "address",
      "street",
    ]);
  });

  test("is empty for an error without a field, for a field of another kind of error, and for anything else", () => {
    expect(fieldErrors(error.validation("Bad"))).toEqual([]);
    expect(fieldErrors(error("Over the limit", { code: 402, details: { field: "amount" } }))).toEqual([]);
    expect(fieldErrors(new Error("no"))).toEqual([]);
    expect(fieldErrors(null)).toEqual([]);
  });

  test("leaves out what has another shape", () => {
    const details = { errors: [{ field: "a" }, null, { field: "b", path: [], message: "no", code: 2000 }] };
    expect(fieldErrors(new RpcError(VALIDATION, "x", { details })).map(({ field }) => field)).toEqual(["b"]);
    expect(fieldErrors(new RpcError(VALIDATION, "x", { details: { field: 7 } }))).toEqual([]);
  });
});
