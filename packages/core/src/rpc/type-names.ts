/**
 * Names of types for discovery (`listall`). netconduit names Python types there, and peers of both kinds read the
 * answer, so these are its names: `str`, `int`, `float`, `bool`, `bytes`, `datetime`, `list`, `dict`, `None`, `Any`.
 * Several possible types are joined as in Python, `"int | str"`; optional and nullable values end in `"| None"`.
 */

import { fieldsOfJsonSchema, namesOfJsonSchema } from "./json-schema-type-names.ts";
import type { Schema, SchemaProps } from "./schema.ts";
import { HAS_DEFAULT, type TypeNames } from "./type-name-lists.ts";
import { fieldsOfValibot, isValibotNode, namesOfValibot } from "./valibot-type-names.ts";

/** Standard JSON Schema, which zod (from 4.2) and ArkType implement in addition to Standard Schema. */
interface JsonSchemaProps extends SchemaProps {
  readonly jsonSchema?: Partial<Record<"input" | "output", (options: object) => unknown>>;
}

/**
 * A method's parameter names and types for callers: `{a: "int", note: "str | None"}`. Supports valibot, and any
 * library with Standard JSON Schema; returns `{}` for other schemas and for non-object schemas. A parameter with a
 * default is `"int | None"` for our own peers, and `"int"` for netconduit peers, which expect the type as declared in
 * Python. Never throws.
 */
export function describeParams(
  schema: Schema | null | undefined,
  reader: "own" | "netconduit" = "own",
): Record<string, string> {
  const described: Record<string, string> = {};
  for (const [name, types] of read(schema, "input", fieldsOfValibot, fieldsOfJsonSchema) ?? []) {
    if (name === "__proto__") continue;
    const declared = types.filter((type) => type !== HAS_DEFAULT);
    const isOmissible = reader === "own" && declared.length < types.length;
    described[name] = joinTypeNames(isOmissible ? [...declared, "None"] : declared);
  }
  return described;
}

/** The type of a method's result for callers. `"Any"` without a schema, or if its type is unknown. Never throws. */
export function describeResult(schema: Schema | null | undefined): string {
  return joinTypeNames(read(schema, "output", namesOfValibot, namesOfJsonSchema) ?? []);
}

function read<T>(
  schema: Schema | null | undefined,
  side: "input" | "output",
  ofValibot: (node: unknown, side: "input" | "output") => T,
  ofJsonSchema: (root: unknown) => T,
): T | null {
  if (schema === null || schema === undefined) return null;
  try {
    if (isValibotNode(schema)) return ofValibot(schema, side);
    const { jsonSchema } = schema["~standard"] as JsonSchemaProps;
    const convert = jsonSchema?.[side];
    if (convert === undefined) return null;
    // zod throws on types that JSON has not (dates, bigints) unless told to leave them open
    const options = { target: "draft-2020-12", libraryOptions: { unrepresentable: "any" } };
    return ofJsonSchema(convert.call(jsonSchema, options));
  } catch {
    return null; // discovery is a courtesy: a schema that cannot be described still validates
  }
}

/** Joins names without duplicates, with `None` last; `Any` if the list contains it or is empty. */
function joinTypeNames(names: TypeNames): string {
  const distinct = new Set(names);
  if (distinct.size === 0 || distinct.has("Any")) return "Any";
  if (distinct.delete("None")) distinct.add("None");
  return [...distinct].join(" | ");
}
