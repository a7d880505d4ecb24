/**
 * A canonical form of values: two forms are equal only if the values are equal for both sides.
 * `python/values_driver.py` uses the same form.
 */
import { ExtData } from "@msgpack/msgpack";
import { Float64 } from "@netconduit/core";

export type Form =
  | null
  | boolean
  /** In decimal. */
  | readonly ["int", string]
  /** Its 8 bytes in hexadecimal, or "nan". */
  | readonly ["float", string]
  | readonly ["str", string]
  /** In hexadecimal. */
  | readonly ["bin", string]
  | readonly ["ext", number, string]
  /** Seconds since 1970 in decimal, and nanoseconds. */
  | readonly ["time", string, number]
  | List
  | MapForm;

type List = readonly ["list", ...Form[]];
type MapForm = readonly ["map", ...FormEntry[]];

export type FormEntry = readonly [key: Form, item: Form];

/** Returns the form of a value that this library sends or has read. */
export function formOf(value: unknown): Form {
  switch (typeof value) {
    case "undefined":
      return null;
    case "boolean":
      return value;
    case "bigint":
      return ["int", String(value)];
    case "string":
      return ["str", value];
    case "number":
      return isWhole(value) ? ["int", String(value)] : floatForm(value);
  }
  if (value === null) return null;
  if (value instanceof Float64) return floatForm(value.value);
  if (value instanceof ArrayBuffer) return formOf(new Uint8Array(value));
  if (value instanceof Uint8Array) return ["bin", hexOf(value)];
  if (value instanceof ExtData) return ["ext", value.type, hexOf(value.data as Uint8Array)];
  if (value instanceof Date) {
    const seconds = Math.floor(value.getTime() / 1000);
    return ["time", String(seconds), (value.getTime() - seconds * 1000) * 1_000_000];
  }
  if (Array.isArray(value)) return ["list", ...value.map(formOf)];
  const entries = value instanceof Map ? [...value] : Object.entries(value as object);
  return ["map", ...entries.filter(([, item]) => item !== undefined).map(([key, item]) => entry(key, item))];
}

function entry(key: unknown, item: unknown): FormEntry {
  return [formOf(key), formOf(item)];
}

export function floatForm(value: number): Form {
  const bytes = Buffer.alloc(8);
  bytes.writeDoubleBE(value);
  return ["float", Number.isNaN(value) ? "nan" : hexOf(bytes)];
}

/** Returns the number in a float's form. */
export function floatIn(hex: string): number {
  return hex === "nan" ? Number.NaN : Buffer.from(hex, "hex").readDoubleBE();
}

/** Sorts map entries, because their order is irrelevant. */
export function inOrder(form: Form): Form {
  return changed(form, (leaf) => leaf);
}

/** Returns a form as this library reads it: whole floats that a double holds exactly become integers. */
export function asReceived(form: Form): Form {
  return changed(form, (leaf) => (isFloat(leaf) ? formOf(floatIn(leaf[1])) : leaf));
}

/** Rounds all floats to 32 bits. */
export function asSingle(form: Form): Form {
  return changed(form, (leaf) => (isFloat(leaf) ? floatForm(Math.fround(floatIn(leaf[1]))) : leaf));
}

/** Yields all values in a form, including itself, with the number of containers around each. */
export function* partsOf(form: Form, depth = 0): Iterable<{ form: Form; depth: number }> {
  yield { form, depth };
  if (isList(form)) for (const item of form.slice(1) as Form[]) yield* partsOf(item, depth + 1);
  if (isMap(form)) for (const [, item] of form.slice(1) as FormEntry[]) yield* partsOf(item, depth + 1);
}

/** Whether a form is a map with one of these keys. */
export function hasKey(form: Form, keys: readonly string[]): boolean {
  if (!isMap(form)) return false;
  return (form.slice(1) as FormEntry[]).some(([key]) => Array.isArray(key) && keys.includes(String(key[1])));
}

function changed(form: Form, change: (leaf: Form) => Form): Form {
  if (isList(form)) return ["list", ...(form.slice(1) as Form[]).map((item) => changed(item, change))];
  if (!isMap(form)) return change(form);
  const entries = (form.slice(1) as FormEntry[]).map(([key, item]) => [key, changed(item, change)] as const);
  const order = (one: FormEntry): string => JSON.stringify(one[0]);
  return ["map", ...entries.sort((a, b) => (order(a) < order(b) ? -1 : 1))];
}

function isFloat(form: Form): form is readonly ["float", string] {
  return Array.isArray(form) && form[0] === "float";
}

function isList(form: Form): form is List {
  return Array.isArray(form) && form[0] === "list";
}

function isMap(form: Form): form is MapForm {
  return Array.isArray(form) && form[0] === "map";
}

/** Returns whether this library sends a number as an integer. */
function isWhole(value: number): boolean {
  return Number.isSafeInteger(value) && !Object.is(value, -0);
}

export function hexOf(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}
