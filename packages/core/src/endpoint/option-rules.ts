/** Valibot building blocks for option schemas. Each message states the rule, worded to follow the option's name. */

import * as v from "valibot";
import { MAX_TIMER_MS } from "../util/clock.ts";
import type { OptionProblems } from "./option-problems.ts";

type NumberSchema = v.GenericSchema<number>;

/** A whole number from `min` to `max`. */
export function wholeNumber(min: number, max: number = Number.MAX_SAFE_INTEGER): NumberSchema {
  const rule =
    max === Number.MAX_SAFE_INTEGER
      ? `must be an integer of ${min} or more`
      : `must be an integer from ${min} to ${max}`;
  return v.pipe(v.number(rule), v.safeInteger(rule), v.minValue(min, rule), v.maxValue(max, rule));
}

/** A timer delay in whole milliseconds; at least `min`, 1 by default. */
export function milliseconds(min = 1): NumberSchema {
  return wholeNumber(min, MAX_TIMER_MS);
}

/** A finite number from `min` to `max`, fractions allowed. */
export function numberBetween(min: number, max: number): NumberSchema {
  const rule = `must be a number from ${min} to ${max}`;
  return v.pipe(v.number(rule), v.minValue(min, rule), v.maxValue(max, rule));
}

/** A finite number above 0. */
export function positiveNumber(): NumberSchema {
  const rule = "must be a finite number above 0";
  return v.pipe(
    v.number(rule),
    v.finite(rule),
    v.check((value) => value > 0, rule),
  );
}

export function flag(): v.GenericSchema<boolean> {
  return v.boolean("must be a boolean");
}

/** Text of at least one character and at most `maxLength`. */
export function text(maxLength: number = Number.MAX_SAFE_INTEGER): v.GenericSchema<string> {
  const rule =
    maxLength === Number.MAX_SAFE_INTEGER
      ? "must be a non-empty string"
      : `must be a non-empty string of at most ${maxLength} characters`;
  return v.pipe(v.string(rule), v.nonEmpty(rule), v.maxLength(maxLength, rule), wellFormed());
}

/** A name or an address to connect to or listen on. */
export function hostName(): v.GenericSchema<string> {
  const rule = "must be a name or an address, without a port, brackets or a scheme";
  return v.pipe(
    text(),
    v.check((host) => !/[/[\]]|^[^:]+:\d+$/.test(host), rule),
  );
}

/** Text of at least `minLength` characters. */
export function secretText(minLength: number): v.GenericSchema<string> {
  const rule = `must be a string of at least ${minLength} characters`;
  return v.pipe(v.string(rule), v.minLength(minLength, rule), wellFormed());
}

export function callback<T>(): v.GenericSchema<T> {
  return v.custom<T>((value) => typeof value === "function", "must be a function");
}

/** Text that can be encoded as UTF-8. */
function wellFormed(): v.CheckAction<string, string> {
  return v.check((value) => !/\p{Surrogate}/u.test(value), "must not contain half of a surrogate pair");
}

/** Possibly empty text of at most `maxLength` characters. */
export function optionalText(maxLength: number): v.GenericSchema<string> {
  const rule = `must be a string of at most ${maxLength} characters`;
  return v.pipe(v.string(rule), v.maxLength(maxLength, rule), wellFormed());
}

/** One of `choices`. */
export function oneOf<const T extends string>(choices: readonly T[]): v.GenericSchema<T> {
  return v.picklist(choices, `must be ${choices.map((choice) => JSON.stringify(choice)).join(" or ")}`);
}

/** An optional option with a default. */
export type Defaulted<T> = v.OptionalSchema<v.GenericSchema<T>, T>;
/** An optional option without a default. */
export type Omissible<T> = v.OptionalSchema<v.GenericSchema<T>, undefined>;
/** A schema entry for every option of `T`; those in `Bare` have no fixed default. */
export type EntriesOf<T, Bare extends keyof T> = {
  readonly [K in keyof T]-?: K extends Bare ? Omissible<Exclude<T[K], undefined>> : Defaulted<Exclude<T[K], undefined>>;
};

/** The rule of an option for which `true` stands for the defaults of its object. */
export const SWITCH_RULE = "must be true, false or an object";

/** An object with exactly these entries. Every other key is an issue with `expected: "never"`. */
export function group<const T extends v.ObjectEntries>(
  entries: T,
  rule = "must be an object",
): v.GenericSchema<unknown, OutputOf<T>> {
  const schema: v.GenericSchema<unknown> = v.objectWithRest(entries, v.never(), rule);
  return schema as v.GenericSchema<unknown, OutputOf<T>>;
}

type OutputOf<T extends v.ObjectEntries> = v.InferOutput<v.ObjectSchema<T, undefined>>;

/** A group whose options are checked one by one, as far as they are given: most are left to their defaults. */
export class OptionGroup<const T extends v.ObjectEntries> {
  readonly #entries: T;
  readonly #names: readonly string[];
  readonly #defaults: OutputOf<T>;

  constructor(entries: T) {
    this.#entries = entries;
    this.#names = Object.keys(entries);
    // A copy, because valibot's object has its properties in a dictionary, from which each copy takes 4 µs.
    this.#defaults = { ...v.parse(group(entries), {}) };
  }

  /**
   * Returns all options. Those with a problem, which is recorded, keep their invalid value.
   * @throws ConduitError INVALID_CONFIG if `options` isn't an object
   */
  parse(options: unknown, problems: OptionProblems): OutputOf<T> {
    if (typeof options !== "object" || options === null) problems.refuse(options);
    const values = options as Readonly<Record<string, unknown>>;
    const given: Record<string, unknown> = {};
    for (const name of this.#names) {
      if (!(name in values)) continue;
      const result = v.safeParse(this.#entries[name] as v.GenericSchema, values[name]);
      if (!result.success) problems.addIssues(result.issues, name);
      given[name] = result.output;
    }
    for (const name in values) if (!Object.hasOwn(this.#entries, name)) problems.addUnknown(name, values[name]);
    return { ...this.#defaults, ...given };
  }
}

/** Dotted paths of a group's entries. */
export function optionPaths(prefix: string, entries: v.ObjectEntries): string[] {
  return Object.keys(entries).map((name) => `${prefix}.${name}`);
}

/** `T` with every option filled in, except those of `Except`, whose type changes. */
export type Filled<T, Except extends keyof T> = {
  readonly [K in keyof T as Exclude<K, Except>]-?: Exclude<T[K], undefined>;
};
