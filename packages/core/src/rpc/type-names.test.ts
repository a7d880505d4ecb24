import * as v from "valibot";
import { describe, expect, test } from "vitest";
import { z } from "zod";
import type { Schema } from "./schema.ts";
import { describeParams, describeResult } from "./type-names.ts";

const none: Schema = { "~standard": { version: 1, vendor: "test", validate: (value) => ({ value }) } };

describe("describeParams of a valibot schema", () => {
  const cases: [label: string, schema: v.GenericSchema, name: string][] = [
    ["a string", v.string(), "str"],
    ["a number", v.number(), "float"],
    ["an integer", v.pipe(v.number(), v.integer()), "int"],
    ["a safe integer", v.pipe(v.number(), v.safeInteger(), v.minValue(1)), "int"],
    ["a bigint", v.bigint(), "int"],
    ["a boolean", v.boolean(), "bool"],
    ["a date", v.date(), "datetime"],
    ["bytes", v.instance(Uint8Array), "bytes"],
    ["a date by its class", v.instance(Date), "datetime"],
    ["an instance of any other class", v.instance(RegExp), "Any"],
    ["a list", v.array(v.string()), "list"],
    ["a tuple", v.tuple([v.string()]), "list"],
    ["an object", v.object({ a: v.string() }), "dict"],
    ["a record", v.record(v.string(), v.number()), "dict"],
    ["null", v.null(), "None"],
    ["a literal", v.literal("a"), "str"],
    ["a literal boolean", v.literal(true), "bool"],
    ["a literal bigint", v.literal(1n), "int"],
    ["a literal symbol", v.literal(Symbol("s")), "Any"],
    ["a literal fraction", v.literal(1.5), "float"],
    ["text read as a number, by what goes in", v.pipe(v.string(), v.toNumber()), "str"],
    ["a picklist", v.picklist(["a", "b"]), "str"],
    ["an enum of numbers and text", v.enum({ A: 1, B: "b", C: 1.5 }), "int | str | float"],
    ["a union", v.union([v.string(), v.null(), v.number()]), "str | float | None"],
    ["a variant", v.variant("k", [v.object({ k: v.literal(1) }), v.object({ k: v.literal(2) })]), "dict"],
    ["an intersection", v.intersect([v.object({ a: v.string() }), v.object({ b: v.string() })]), "dict"],
    ["an intersection of nothing", v.intersect([]), "Any"],
    ["an optional", v.optional(v.string()), "str | None"],
    ["an optional integer", v.optional(v.pipe(v.number(), v.integer())), "int | None"],
    ["an optional with a default", v.optional(v.number(), 10), "float | None"],
    ["an exact optional", v.exactOptional(v.string()), "str | None"],
    ["a nullish", v.nullish(v.boolean()), "bool | None"],
    ["a non-nullable", v.nonNullable(v.nullable(v.string())), "str"],
    ["a transformation, by what goes in", v.pipe(v.string(), v.transform(Number), v.number()), "str"],
    ["a pipe with a second schema, by what goes in", v.pipe(v.unknown(), v.string()), "Any"],
    ["text that is trimmed", v.pipe(v.string(), v.trim(), v.minLength(1)), "str"],
    ["anything", v.any(), "Any"],
    ["a union with anything", v.union([v.string(), v.unknown()]), "Any"],
    ["a recursive schema", v.lazy(() => v.string()), "Any"],
    ["a custom check", v.custom<string>(() => true), "Any"],
  ];
  test.each(cases)("names %s", (_label, schema, name) => {
    expect(describeParams(v.object({ field: schema }))).toEqual({ field: name });
  });

  test("names every field, also of an object in a pipe", () => {
    const schema = v.pipe(
      v.strictObject({ a: v.number(), name: v.string() }),
      v.check(() => true),
    );
    expect(describeParams(schema)).toEqual({ a: "float", name: "str" });
  });

  test("sees through an optional object", () => {
    expect(describeParams(v.optional(v.object({ a: v.string() })))).toEqual({ a: "str" });
  });

  test("marks fields that some alternatives lack", () => {
    const schema = v.variant("kind", [
      v.object({ kind: v.literal("circle"), radius: v.number() }),
      v.object({ kind: v.literal("square"), side: v.number() }),
    ]);
    expect(describeParams(schema)).toEqual({ kind: "str", radius: "float | None", side: "float | None" });
  });

  test("joins the fields of an intersection", () => {
    const schema = v.intersect([v.object({ a: v.string() }), v.object({ b: v.boolean() })]);
    expect(describeParams(schema)).toEqual({ a: "str", b: "bool" });
  });

  test("has no fields for anything but objects", () => {
    expect(describeParams(v.string())).toEqual({});
  });
});

describe("describeParams for netconduit", () => {
  const whole = v.pipe(v.number(), v.integer());

  test.each([
    ["an integer", whole, "int"],
    ["an optional", v.optional(whole), "int | None"],
    ["an optional with a default", v.optional(whole, 10), "int"],
    ["an optional with a default that is null", v.optional(v.nullable(whole), null), "int | None"],
    ["a nullable with a default", v.nullable(whole, 10), "int | None"],
    ["a nullish with a default", v.nullish(whole, 10), "int | None"],
    ["a non-optional of an optional with a default", v.nonOptional(v.optional(whole, 10)), "int"],
    ["a zod optional", z.int().optional(), "int | None"],
    ["a zod default", z.int().default(10), "int"],
    ["a zod nullable with a default", z.int().nullable().default(10), "int | None"],
  ])("declares %s", (_name, field, type) => {
    const schema = "_zod" in field ? z.object({ field }) : v.object({ field });
    expect(describeParams(schema, "netconduit")).toEqual({ field: type });
  });
});

describe("describeParams of other schemas", () => {
  test("reads a zod schema", () => {
    const schema = z.object({
      text: z.string(),
      number: z.number(),
      integer: z.int(),
      flag: z.boolean(),
      list: z.array(z.string()),
      map: z.record(z.string(), z.number()),
      optional: z.string().optional(),
      defaulted: z.int().default(10),
      nullable: z.string().nullable(),
      literal: z.literal("a"),
      choice: z.enum(["a", "b"]),
      union: z.union([z.string(), z.object({ a: z.string() })]),
      intersection: z.intersection(z.object({ a: z.string() }), z.object({ b: z.string() })),
      date: z.date(),
      anything: z.unknown(),
    });
    expect(describeParams(schema)).toEqual({
      text: "str",
      number: "float",
      integer: "int",
      flag: "bool",
      list: "list",
      map: "dict",
      optional: "str | None",
      defaulted: "int | None",
      nullable: "str | None",
      literal: "str",
      choice: "str",
      union: "str | dict",
      intersection: "dict",
      date: "Any",
      anything: "Any",
    });
  });

  test("reads alternatives and intersections of zod objects", () => {
    const either = z.union([z.object({ a: z.string() }), z.object({ b: z.string() })]);
    expect(describeParams(either)).toEqual({ a: "str | None", b: "str | None" });
    const both = z.intersection(z.object({ a: z.string() }), z.object({ b: z.string() }));
    expect(describeParams(both)).toEqual({ a: "str", b: "str" });
  });

  test.each([
    ["an enum without a type", { enum: ["a", 1] }, "str | int"],
    ["a constant without a type", { const: null }, "None"],
    ["an unknown type", { type: "decimal" }, "Any"],
    ["unknown types in a list", { type: ["string", "decimal"] }, "Any"],
    ["alternatives", { oneOf: [{ type: "string" }, { type: "null" }] }, "str | None"],
    ["parts", { allOf: [{ type: "integer" }, { minimum: 1 }] }, "int"],
    ["a reference", { $ref: "#/$defs/node" }, "Any"],
  ])("reads %s in the JSON Schema of any library", (_label, property, name) => {
    const jsonSchema = { input: () => ({ properties: { field: property }, required: ["field"] }) };
    const schema = { "~standard": { ...none["~standard"], jsonSchema } };
    expect(describeParams(schema)).toEqual({ field: name });
  });

  test("knows nothing of a schema that cannot be described", () => {
    expect(describeParams(none)).toEqual({});
  });

  test("knows nothing of a schema whose description throws", () => {
    const jsonSchema = {
      input: () => {
        throw new Error("unrepresentable");
      },
    };
    expect(describeParams({ "~standard": { ...none["~standard"], jsonSchema } } as Schema)).toEqual({});
  });

  test.each([undefined, null])("knows nothing without a schema (%s)", (schema) => {
    expect(describeParams(schema)).toEqual({});
  });

  test("leaves out a field that would change the prototype of the answer", () => {
    const properties = Object.fromEntries([
      ["__proto__", { type: "string" }],
      ["a", { type: "string" }],
    ]);
    const jsonSchema = { input: () => ({ properties, required: ["a"] }) };
    expect(describeParams({ "~standard": { ...none["~standard"], jsonSchema } } as Schema)).toEqual({ a: "str" });
  });
});

describe("describeResult", () => {
  const cases: [label: string, schema: Schema | undefined, name: string][] = [
    ["no schema", undefined, "Any"],
    ["a schema that cannot be described", none, "Any"],
    ["a valibot number", v.number(), "float"],
    ["a valibot integer", v.pipe(v.number(), v.integer()), "int"],
    ["a transformation whose outcome is unknown", v.pipe(v.string(), v.transform(Number)), "Any"],
    ["a transformation with a schema behind it", v.pipe(v.string(), v.transform(Number), v.number()), "float"],
    ["a transformation of a known kind", v.pipe(v.unknown(), v.toString()), "str"],
    ["a transformation that keeps the type", v.pipe(v.string(), v.trim()), "str"],
    ["an optional that is filled in", v.optional(v.string(), "x"), "str"],
    ["an optional that is not", v.optional(v.string()), "str | None"],
    ["a zod object", z.object({ a: z.string() }), "dict"],
    ["a zod default, which is always there", z.string().default("x"), "str"],
  ];
  test.each(cases)("names %s", (_label, schema, name) => {
    expect(describeResult(schema)).toBe(name);
  });
});
