/**
 * The part of Standard Schema v1 this library uses, copied type-only from `@standard-schema/spec` as the
 * specification invites: https://standardschema.dev. Valibot, Zod, ArkType and others implement it.
 */

/** A schema of any library that implements Standard Schema v1. */
export interface Schema<Input = unknown, Output = Input> {
  readonly "~standard": SchemaProps<Input, Output>;
}

/** What a schema says about itself. */
export interface SchemaProps<Input = unknown, Output = Input> {
  readonly version: 1;
  /** Name of the schema library, for example `"valibot"`. */
  readonly vendor: string;
  readonly validate: (value: unknown) => SchemaResult<Output> | Promise<SchemaResult<Output>>;
  /** Exists for the type checker alone; `undefined` at run time. */
  readonly types?: { readonly input: Input; readonly output: Output } | undefined;
}

/** Outcome of a validation: a value, or at least one issue. */
export type SchemaResult<Output> =
  | { readonly value: Output; readonly issues?: undefined }
  | { readonly issues: readonly SchemaIssue[] };

/** One thing that is wrong with a value. Libraries add fields of their own. */
export interface SchemaIssue {
  readonly message: string;
  /** Where in the value; absent or empty for the value itself. */
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined;
}

/** What a schema accepts: the type a caller passes. */
export type InferInput<S extends Schema> = NonNullable<S["~standard"]["types"]>["input"];
/** What a schema yields after validation, defaults and transformations: the type a handler gets. */
export type InferOutput<S extends Schema> = NonNullable<S["~standard"]["types"]>["output"];

/** What is said of a schema that is none. */
export const SCHEMA_RULE = "must implement Standard Schema v1 (valibot, zod, arktype, …)";

/** Whether `x` is a Standard Schema v1. Some libraries' schemas are functions. Never throws. */
export function isSchema(x: unknown): x is Schema {
  if (x === null || (typeof x !== "object" && typeof x !== "function")) return false;
  try {
    const props = (x as Partial<Schema>)["~standard"];
    return typeof props === "object" && props !== null && props.version === 1 && typeof props.validate === "function";
  } catch {
    return false; // a getter or proxy that throws is no schema
  }
}
