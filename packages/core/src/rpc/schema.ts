/**
 * The types of Standard Schema v1 that this library uses, copied from `@standard-schema/spec` as the specification
 * suggests: https://standardschema.dev. Valibot, zod, ArkType and others implement it.
 */

/** A schema of any library that implements Standard Schema v1. */
export interface Schema<Input = unknown, Output = Input> {
  readonly "~standard": SchemaProps<Input, Output>;
}

/** The properties of a Standard Schema. */
export interface SchemaProps<Input = unknown, Output = Input> {
  readonly version: 1;
  /** Name of the schema library, for example `"valibot"`. */
  readonly vendor: string;
  readonly validate: (value: unknown) => SchemaResult<Output> | Promise<SchemaResult<Output>>;
  /** For the type checker only; `undefined` at run time. */
  readonly types?: { readonly input: Input; readonly output: Output } | undefined;
}

/** Result of a validation: a value, or at least one issue. */
export type SchemaResult<Output> =
  | { readonly value: Output; readonly issues?: undefined }
  | { readonly issues: readonly SchemaIssue[] };

/** A problem with a value. Libraries add their own fields. */
export interface SchemaIssue {
  readonly message: string;
  /** Path within the value; missing or empty for the value itself. */
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined;
}

/** A schema's input type, which a caller passes. */
export type InferInput<S extends Schema> = NonNullable<S["~standard"]["types"]>["input"];
/** A schema's output type, after defaults and transformations, which a handler receives. */
export type InferOutput<S extends Schema> = NonNullable<S["~standard"]["types"]>["output"];

/** Rule shown for an invalid schema. */
export const SCHEMA_RULE = "must implement Standard Schema v1 (valibot, zod, arktype, …)";

/** Whether `x` is a Standard Schema v1. In some libraries schemas are functions. Never throws. */
export function isSchema(x: unknown): x is Schema {
  if (x === null || (typeof x !== "object" && typeof x !== "function")) return false;
  try {
    const props = (x as Partial<Schema>)["~standard"];
    return typeof props === "object" && props !== null && props.version === 1 && typeof props.validate === "function";
  } catch {
    return false; // a getter or proxy threw
  }
}
