import type { StandardSchemaV1 } from "@standard-schema/spec";
import * as v from "valibot";
import { expectTypeOf, test } from "vitest";
import { z } from "zod";
import type { InferInput, InferOutput, Schema } from "./schema.ts";

const valibotUser = v.object({
  name: v.string(),
  age: v.optional(v.number(), 18),
  id: v.pipe(v.string(), v.transform(Number)),
});
const zodUser = z.object({ name: z.string(), age: z.number().default(18) });

test("the copied interface and the published one are interchangeable", () => {
  expectTypeOf<StandardSchemaV1<string, number>>().toExtend<Schema<string, number>>();
  expectTypeOf<Schema<string, number>>().toExtend<StandardSchemaV1<string, number>>();
});

test("schemas of valibot and zod are schemas", () => {
  expectTypeOf(valibotUser).toExtend<Schema>();
  expectTypeOf(zodUser).toExtend<Schema>();
});

test("InferInput is what a caller passes", () => {
  expectTypeOf<InferInput<typeof valibotUser>>().toEqualTypeOf<{
    name: string;
    age?: number | undefined;
    id: string;
  }>();
  expectTypeOf<InferInput<typeof zodUser>>().toEqualTypeOf<{ name: string; age?: number | undefined }>();
});

test("InferOutput is what a handler gets", () => {
  expectTypeOf<InferOutput<typeof valibotUser>>().toEqualTypeOf<{ name: string; age: number; id: number }>();
  expectTypeOf<InferOutput<typeof zodUser>>().toEqualTypeOf<{ name: string; age: number }>();
});
