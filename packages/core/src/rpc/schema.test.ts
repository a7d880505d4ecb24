import * as v from "valibot";
import { describe, expect, test } from "vitest";
import { z } from "zod";
import { isSchema } from "./schema.ts";

const props = { version: 1, vendor: "test", validate: (value: unknown) => ({ value }) };

describe("isSchema", () => {
  test("accepts a valibot schema", () => {
    expect(isSchema(v.object({ a: v.number() }))).toBe(true);
  });

  test("accepts a zod schema", () => {
    expect(isSchema(z.object({ a: z.number() }))).toBe(true);
  });

  test("accepts a schema that is a function", () => {
    expect(isSchema(Object.assign(() => true, { "~standard": props }))).toBe(true);
  });

  test.each([
    ["null", null],
    ["undefined", undefined],
    ["a string", "schema"],
    ["a plain object", { a: 1 }],
    ["a handler", () => 1],
    ["another version of the standard", { "~standard": { ...props, version: 2 } }],
    ["a schema without validate", { "~standard": { version: 1, vendor: "test" } }],
    ["null in the place of the properties", { "~standard": null }],
  ])("refuses %s", (_name, value) => {
    expect(isSchema(value)).toBe(false);
  });

  test("refuses an object whose properties cannot be read, without throwing", () => {
    const hostile = {
      get "~standard"(): never {
        throw new Error("no");
      },
    };
    expect(isSchema(hostile)).toBe(false);
  });
});
