import { ConduitError, ErrorCode, RpcError } from "../errors.ts";
import { clip } from "../util/describe-value.ts";
import type { Schema, SchemaIssue, SchemaProps, SchemaResult } from "./schema.ts";

/** What a {@link Validator} checks: parameters of a method, data of a message, or the result of a method. */
export type ValidationSubject = "params" | "data" | "result";

/** One field that failed, as it travels in `details.errors`. */
export interface FieldError {
  /** The path joined by dots, `""` for the value itself. */
  readonly field: string;
  /** Keys and indexes from the value to the field. */
  readonly path: readonly (string | number)[];
  /** The schema library's message, clipped. */
  readonly message: string;
  /** MISSING_FIELD (2001), INVALID_TYPE (2002) or VALIDATION (2000). */
  readonly code: number;
}

const VALIDATION_CODES: ReadonlySet<number> = new Set([
  ErrorCode.VALIDATION,
  ErrorCode.MISSING_FIELD,
  ErrorCode.INVALID_TYPE,
]);

/**
 * The fields that a validation error names, in order: those a schema found wrong, or the one `error.validation` was
 * given. Empty for any other error. What a peer sent is checked: entries of another shape are left out.
 */
export function fieldErrors(error: unknown): readonly FieldError[] {
  if (!(error instanceof ConduitError)) return [];
  const list: unknown = error.details?.["errors"];
  if (Array.isArray(list)) return list.filter(isFieldError);
  const field: unknown = error.details?.["field"];
  if (typeof field !== "string" || !VALIDATION_CODES.has(error.code)) return [];
  return [
    { field, path: field === "" ? [] : field.split(".", MAX_PATH_KEYS), message: error.message, code: error.code },
  ];
}

function isFieldError(value: unknown): value is FieldError {
  if (typeof value !== "object" || value === null) return false;
  const { field, path, message, code } = value as Partial<Record<keyof FieldError, unknown>>;
  return typeof field === "string" && Array.isArray(path) && typeof message === "string" && typeof code === "number";
}

/** A list of a million wrong items must not become a reply of a million entries. */
const MAX_FIELD_ERRORS = 100;
const MAX_MESSAGE_CHARS = 200;
const MAX_KEY_CHARS = 100;
const MAX_PATH_KEYS = 128;
/** Unions nest; a union in a union in a union is deep enough to tell a wrong type from a wrong value. */
const MAX_UNION_DEPTH = 4;

/** Runs one schema over many values. Stateless between runs; make one per method or message type. */
export class Validator<Output = unknown> {
  /** The schema's own object, so that `validate` is called on it: a library may rely on `this`. */
  readonly #standard: SchemaProps<unknown, Output>;
  readonly #subject: ValidationSubject;

  constructor(schema: Schema<unknown, Output>, subject: ValidationSubject) {
    this.#standard = schema["~standard"];
    this.#subject = subject;
  }

  /**
   * The schema's output for `value`: at once when the schema is synchronous, otherwise a promise. `name` is the method
   * or message type, for the error message.
   *
   * What was left out arrives as null, parameters as an empty map; a schema that refuses that is asked about undefined.
   *
   * @throws RpcError (or rejects with it) with `details.errors`, a {@link FieldError} for each field, the first 100 of
   * them; `details.omitted` counts the rest. Its code is the one all fields share, else VALIDATION. For a result it is a
   * ConduitError with INVALID_RESULT, as that is not the fault of whoever asked. What a schema's own callbacks throw
   * passes through unchanged.
   */
  run(value: unknown, name: string): Output | Promise<Output> {
    const result = this.#standard.validate(value);
    if (typeof (result as PromiseLike<unknown>).then === "function") {
      return this.#finishLater(result as Promise<SchemaResult<Output>>, value, name);
    }
    return this.#finish(result as SchemaResult<Output>, value, name);
  }

  async #finishLater(result: Promise<SchemaResult<Output>>, value: unknown, name: string): Promise<Output> {
    return this.#finish(await result, value, name);
  }

  #finish(result: SchemaResult<Output>, value: unknown, name: string): Output | Promise<Output> {
    if (!result.issues) return result.value;
    if (!this.#isNothing(value)) throw this.#error(result.issues, value, name);
    return this.#asNothing(result.issues, value, name);
  }

  /** Checks what came for undefined as that. Apart from the above, so that it need not set memory aside for a closure. */
  #asNothing(issues: readonly SchemaIssue[], value: unknown, name: string): Output | Promise<Output> {
    const decide = (second: SchemaResult<Output>): Output => {
      if (!second.issues) return second.value;
      throw this.#error(issues, value, name);
    };
    const second = this.#standard.validate(undefined);
    return "then" in second ? second.then(decide) : decide(second);
  }

  /** Whether it is what the wire has for undefined. */
  #isNothing(value: unknown): boolean {
    if (value === null) return this.#subject !== "params";
    return this.#subject === "params" && typeof value === "object" && Object.keys(value as object).length === 0;
  }

  #error(issues: readonly SchemaIssue[], value: unknown, name: string): ConduitError {
    return validationError(this.#subject, name, issues, value);
  }
}

function messageFor(subject: ValidationSubject, name: string): string {
  if (subject === "params") return `Validation error in ${name}`; // netconduit's words
  return subject === "data" ? `Validation error in message ${name}` : `Validation error in the result of ${name}`;
}

/** The first field and its problem. The others are in the details. */
function firstProblem(errors: readonly FieldError[], omitted: number): string {
  const first = errors[0];
  if (first === undefined) return "";
  const field = first.field === "" ? "" : `${clip(first.field, MAX_KEY_CHARS)}: `;
  const more = errors.length - 1 + omitted;
  return `: ${field}${first.message}${more === 0 ? "" : ` (and ${more} more)`}`;
}

function validationError(
  subject: ValidationSubject,
  name: string,
  issues: readonly SchemaIssue[],
  value: unknown,
): ConduitError {
  const errors: FieldError[] = [];
  const count = Array.isArray(issues) ? issues.length : 0;
  let listed = 0;
  while (listed < count && errors.length < MAX_FIELD_ERRORS) appendFieldErrors(errors, issues[listed++], value);
  const omitted = count - listed;
  const message = messageFor(subject, name) + firstProblem(errors, omitted);
  const details = omitted === 0 ? { errors } : { errors, omitted };
  if (subject === "result") return new ConduitError(ErrorCode.INVALID_RESULT, message, { details });
  const first = errors[0]?.code ?? ErrorCode.VALIDATION;
  const code = omitted === 0 && errors.every((error) => error.code === first) ? first : ErrorCode.VALIDATION;
  return new RpcError(code, message, { details });
}

/** The fields that valibot and zod add to an issue, none of which can be relied on. */
interface IssueExtras {
  readonly kind?: unknown;
  readonly type?: unknown;
  readonly expected?: unknown;
  readonly received?: unknown;
  readonly issues?: unknown;
  readonly code?: unknown;
  readonly keys?: unknown;
  readonly errors?: unknown;
}

function appendFieldErrors(errors: FieldError[], issue: SchemaIssue | undefined, value: unknown): void {
  try {
    const extras = issue as SchemaIssue & IssueExtras; // if it is none, the catch below has it
    const path = pathOf(extras);
    const message = messageOf(extras);
    if (extras.code === "unrecognized_keys" && Array.isArray(extras.keys)) {
      // zod reports unknown keys on the object that holds them; a field error stands at the field
      for (const key of extras.keys.slice(0, MAX_FIELD_ERRORS - errors.length)) {
        errors.push(fieldError([...path, keyOf(key)], message, ErrorCode.VALIDATION));
      }
      return;
    }
    errors.push(fieldError(path, message, codeOf(extras, path, value)));
  } catch {
    // an issue whose getters throw still says that validation failed
    errors.push(fieldError([], "Validation failed", ErrorCode.VALIDATION));
  }
}

function fieldError(path: readonly (string | number)[], message: string, code: number): FieldError {
  const sent = path.map((key) => (typeof key === "string" ? clip(key, MAX_KEY_CHARS) : key));
  return { field: sent.join("."), path: sent, message, code };
}

function pathOf(issue: SchemaIssue): (string | number)[] {
  const path: (string | number)[] = [];
  if (!Array.isArray(issue.path)) return path;
  for (const segment of issue.path.slice(0, MAX_PATH_KEYS)) {
    path.push(keyOf(typeof segment === "object" && segment !== null ? segment.key : segment));
  }
  return path;
}

/** A key as it can travel: symbols and stranger things become text. */
function keyOf(key: unknown): string | number {
  return typeof key === "number" && Number.isFinite(key) ? key : String(key);
}

function messageOf(issue: SchemaIssue & IssueExtras): string {
  if (typeof issue.message !== "string" || issue.message === "") return "Validation failed";
  const received = issue.received; // valibot quotes the whole received value in its message
  const short =
    typeof received === "string" && received !== clip(received)
      ? issue.message.split(received).join(clip(received))
      : issue.message;
  return clip(short, MAX_MESSAGE_CHARS);
}

function codeOf(issue: IssueExtras, path: readonly (string | number)[], value: unknown): number {
  if (isAbsent(value, path)) return ErrorCode.MISSING_FIELD;
  return isWrongType(issue, 0) ? ErrorCode.INVALID_TYPE : ErrorCode.VALIDATION;
}

function isAbsent(value: unknown, path: readonly (string | number)[]): boolean {
  let current = value;
  for (const key of path) {
    if (current instanceof Map || current instanceof Set) return false; // not walked: no decoded value has them
    if (typeof current !== "object" || current === null || !(key in current)) return true;
    current = (current as Record<string | number, unknown>)[key];
  }
  return current === undefined;
}

/** Valibot's schemas that refuse a value for what it is, not for its type. Zod calls the same `invalid_value`. */
const VALUE_SCHEMAS: ReadonlySet<unknown> = new Set(["literal", "picklist", "enum", "variant"]);

function isWrongType(issue: IssueExtras, depth: number): boolean {
  if (depth > MAX_UNION_DEPTH) return false;
  if (issue.kind === "schema") {
    if (issue.type === "variant" && issue.expected === "Object") return true; // not even an object
    if (VALUE_SCHEMAS.has(issue.type) || issue.expected === "never") return false;
    return isNonEmptyArray(issue.issues) ? issue.issues.every((inner) => isWrongType(inner, depth + 1)) : true;
  }
  if (issue.code === "invalid_union" && isNonEmptyArray(issue.errors)) {
    return (issue.errors as unknown[]).every(
      (branch) => isNonEmptyArray(branch) && branch.every((inner) => isWrongType(inner, depth + 1)),
    );
  }
  return issue.code === "invalid_type";
}

function isNonEmptyArray(value: unknown): value is IssueExtras[] {
  return Array.isArray(value) && value.length > 0;
}
