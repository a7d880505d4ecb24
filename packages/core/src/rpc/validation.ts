import { ConduitError, ErrorCode, RpcError } from "../errors.ts";
import { clip } from "../text/describe-value.ts";
import { isThenable } from "../util/is-thenable.ts";
import { boundedValidate } from "./bounded-valibot.ts";
import type { Schema, SchemaIssue, SchemaProps, SchemaResult } from "./schema.ts";

/**
 * The kind of value that a {@link Validator} checks: parameters of a method, data of a message, an input item, data of a
 * topic, a method's result or a stream's item, or a call's progress.
 */
export type ValidationSubject = "params" | "data" | "input" | "topic" | "result" | "progress";

/** An invalid field, as sent in `details.errors`. */
export interface FieldError {
  /** The path joined with dots; `""` for the value itself. */
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
 * Returns the invalid fields of a validation error, in order: those a schema reported, or the `field` of an
 * `error.validation`. Returns an empty list for any other error. Entries from a peer that have another shape are
 * skipped.
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

/** Bounds the reply if, for example, every item of a long list is invalid. */
const MAX_FIELD_ERRORS = 100;
const MAX_MESSAGE_CHARS = 200;
const MAX_KEY_CHARS = 100;
const MAX_PATH_KEYS = 128;
/** Levels of nested unions to search when distinguishing a wrong type from a wrong value. */
const MAX_UNION_DEPTH = 4;

/** Validates values against a schema. Stateless; create one per method or message type. */
export class Validator<Output = unknown> {
  /** The schema's `~standard` object. `validate` is called as its method, because a library may rely on `this`. */
  readonly #standard: Pick<SchemaProps<unknown, Output>, "validate">;
  readonly #subject: ValidationSubject;

  constructor(schema: Schema<unknown, Output>, subject: ValidationSubject) {
    const bounded = boundedValidate(schema) as SchemaProps<unknown, Output>["validate"] | null;
    this.#standard = bounded === null ? schema["~standard"] : { validate: bounded };
    this.#subject = subject;
  }

  /**
   * Validates `value` and returns the schema's output, or a promise of it if the schema is asynchronous. `name` is the
   * method or message type, for the error message.
   *
   * Omitted data arrives as null, and omitted parameters as an empty map. If the schema rejects that, it is tried with
   * undefined.
   *
   * @throws RpcError (or rejects with it) with `details.errors`, a {@link FieldError} for each of the first 100 invalid
   *   fields; `details.omitted` counts the rest. Its code is the fields' common code, else VALIDATION. An invalid
   *   result or progress throws a ConduitError with INVALID_RESULT instead, because the caller isn't at fault. Errors thrown by a
   *   schema's own callbacks pass through unchanged.
   */
  run(value: unknown, name: string): Output | Promise<Output> {
    const result = this.#standard.validate(value);
    if (typeof (result as PromiseLike<unknown>).then === "function") {
      return this.#finishLater(result as Promise<SchemaResult<Output>>, value, name);
    }
    return this.#finish(result as SchemaResult<Output>, value, name);
  }

  /** Like `run`, synchronously. @throws ConduitError also INVALID_CONFIG if the schema is asynchronous */
  runNow(value: unknown, name: string): Output {
    const checked = this.run(value, name);
    if (!isThenable(checked)) return checked;
    void Promise.resolve(checked).catch(() => undefined);
    const message = `The schema of ${this.#subject} '${name}' must not be asynchronous`;
    throw new ConduitError(ErrorCode.INVALID_CONFIG, message);
  }

  async #finishLater(result: Promise<SchemaResult<Output>>, value: unknown, name: string): Promise<Output> {
    return this.#finish(await result, value, name);
  }

  #finish(result: SchemaResult<Output>, value: unknown, name: string): Output | Promise<Output> {
    if (!result.issues) return result.value;
    if (!this.#isNothing(value)) throw this.#error(result.issues, value, name);
    return this.#asNothing(result.issues, value, name);
  }

  /** Validates undefined in place of an omitted value. A separate method, so that `#finish` allocates no closure. */
  #asNothing(issues: readonly SchemaIssue[], value: unknown, name: string): Output | Promise<Output> {
    const decide = (second: SchemaResult<Output>): Output => {
      if (!second.issues) return second.value;
      throw this.#error(issues, value, name);
    };
    const second = this.#standard.validate(undefined);
    return "then" in second ? second.then(decide) : decide(second);
  }

  /** Whether `value` is the wire's form of undefined. */
  #isNothing(value: unknown): boolean {
    if (value === null) return this.#subject !== "params";
    return this.#subject === "params" && typeof value === "object" && Object.keys(value as object).length === 0;
  }

  #error(issues: readonly SchemaIssue[], value: unknown, name: string): ConduitError {
    return validationError(this.#subject, name, issues, value);
  }
}

/** Followed by the name. Parameters and messages use netconduit's wording. */
const MESSAGES: Readonly<Record<ValidationSubject, string>> = {
  params: "Validation error in",
  data: "Validation error in message",
  input: "Validation error in the input of",
  topic: "Validation error in topic",
  result: "Validation error in the result of",
  progress: "Validation error in the progress of",
};

function messageFor(subject: ValidationSubject, name: string): string {
  return `${MESSAGES[subject]} ${name}`;
}

/** Describes the first invalid field; all of them are in the details. */
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
  if (subject === "result" || subject === "progress")
    return new ConduitError(ErrorCode.INVALID_RESULT, message, { details });
  const first = errors[0]?.code ?? ErrorCode.VALIDATION;
  const code = omitted === 0 && errors.every((error) => error.code === first) ? first : ErrorCode.VALIDATION;
  return new RpcError(code, message, { details });
}

/** Fields that valibot and zod add to an issue. All are optional and of unknown type. */
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
    const extras = issue as SchemaIssue & IssueExtras; // an undefined issue ends in the catch below
    const path = pathOf(extras);
    const message = messageOf(extras) + bigintHint(extras, path, value);
    if (extras.code === "unrecognized_keys" && Array.isArray(extras.keys)) {
      // zod reports unknown keys on the containing object; report them on the fields
      for (const key of extras.keys.slice(0, MAX_FIELD_ERRORS - errors.length)) {
        errors.push(fieldError([...path, keyOf(key)], message, ErrorCode.VALIDATION));
      }
      return;
    }
    errors.push(fieldError(path, message, codeOf(extras, path, value)));
  } catch {
    // the issue is invalid or its getters throw, but validation did fail
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

/** Converts a key to a serializable one: symbols and other values become text. */
function keyOf(key: unknown): string | number {
  return typeof key === "number" && Number.isFinite(key) ? key : String(key);
}

function messageOf(issue: SchemaIssue & IssueExtras): string {
  if (typeof issue.message !== "string" || issue.message === "") return "Validation failed";
  const received = issue.received; // valibot includes the whole received value in its message
  const short =
    typeof received === "string" && received !== clip(received)
      ? issue.message.split(received).join(clip(received))
      : issue.message;
  return clip(short, MAX_MESSAGE_CHARS);
}

/** A hint for a bigint schema that got a small bigint, which arrives as a number. */
function bigintHint(issue: SchemaIssue, path: readonly (string | number)[], value: unknown): string {
  if (!/\bbigint\b/i.test(issue.message) || !Number.isSafeInteger(valueAt(value, path))) return "";
  return " (integers up to 2⁵³ − 1 arrive as numbers: let the schema take both, and convert)";
}

function codeOf(issue: IssueExtras, path: readonly (string | number)[], value: unknown): number {
  if (isAbsent(value, path)) return ErrorCode.MISSING_FIELD;
  return isWrongType(issue, 0) ? ErrorCode.INVALID_TYPE : ErrorCode.VALIDATION;
}

function isAbsent(value: unknown, path: readonly (string | number)[]): boolean {
  return valueAt(value, path) === undefined;
}

/** The field's value; undefined if it is absent. */
function valueAt(value: unknown, path: readonly (string | number)[]): unknown {
  let current = value;
  for (const key of path) {
    if (current instanceof Map || current instanceof Set) return current; // decoded values contain none
    if (typeof current !== "object" || current === null || !(key in current)) return undefined;
    current = (current as Record<string | number, unknown>)[key];
  }
  return current;
}

/** Valibot's schemas that reject values, not types. Zod reports `invalid_value` for the same. */
const VALUE_SCHEMAS: ReadonlySet<unknown> = new Set(["literal", "picklist", "enum", "variant"]);

function isWrongType(issue: IssueExtras, depth: number): boolean {
  if (depth > MAX_UNION_DEPTH) return false;
  if (issue.kind === "schema") {
    if (issue.type === "variant" && issue.expected === "Object") return true; // not an object at all
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
