/** Command lines of the repository's tools: validated options, `--help`, and usage errors without a stack trace. */
import process from "node:process";
import { parseArgs } from "node:util";

/** An option `--name VALUE`, or a flag without a value. */
export interface Option<Value> {
  readonly help: string;
  /** Placeholder of the value in the usage; null for a flag. */
  readonly placeholder: string | null;
  /** Default value. */
  readonly usual: Value;
  /** Text of the default value in the usage; empty to omit it. */
  readonly usualText: string;
  /** Parses the option's value. @throws UsageError */
  read(given: string): Value;
}

type Options = Readonly<Record<string, Option<unknown>>>;

type Values<Given extends Options> = {
  readonly [Name in keyof Given]: Given[Name] extends Option<infer Value> ? Value : never;
};

/** A tool. */
export interface Command<Given extends Options, Name extends string = string> {
  /** The command: `pnpm chaos`. */
  readonly name: string;
  readonly about: string;
  readonly options: Given;
  /** Positional arguments. */
  readonly names?: { readonly help: string; readonly choices: readonly Name[] };
}

/** The command line is invalid; the message contains the reason. */
export class UsageError extends Error {}

/** A flag; false by default. */
export function flag(help: string): Option<boolean> {
  return { help, placeholder: null, usual: false, usualText: "", read: () => true };
}

export function text(help: string, placeholder: string): Option<string | null> {
  return { help, placeholder, usual: null, usualText: "", read: (given) => given };
}

/** A whole number of at least 1. */
export function count(help: string, usual: number): Option<number> {
  return { help, placeholder: "N", usual, usualText: String(usual), read: (given) => wholeNumber(given) };
}

/** A number above 0. */
export function amount(help: string, usual: number): Option<number> {
  return { help, placeholder: "X", usual, usualText: String(usual), read: (given) => positive(given) };
}

/** Whole numbers of at least 1, separated by commas. */
export function counts(help: string, usual: readonly number[]): Option<readonly number[]> {
  return {
    help,
    placeholder: "N,N…",
    usual,
    usualText: usual.join(","),
    read: (given) => given.split(",").map(wholeNumber),
  };
}

/** Some of the choices, separated by commas; all by default. */
export function list<Name extends string>(help: string, choices: readonly Name[]): Option<readonly Name[]> {
  return {
    help: `${help}, separated by commas: ${choices.join(", ")}`,
    placeholder: "NAMES",
    usual: choices,
    usualText: "all",
    read: (given) => given.split(",").map((name) => oneOf(name.trim(), choices)),
  };
}

/** Parses a command line. @throws UsageError */
export function readCommandLine<Given extends Options, Name extends string>(
  command: Command<Given, Name>,
  args: readonly string[],
): { values: Values<Given>; names: readonly Name[]; help: boolean } {
  const { values: given, positionals } = parse(command, args);
  const values: Record<string, unknown> = {};
  for (const [name, option] of Object.entries(command.options)) {
    const value = given[name];
    try {
      values[name] = value === undefined ? option.usual : option.read(String(value));
    } catch (error) {
      throw new UsageError(`--${name}: ${(error as Error).message}`);
    }
  }
  const { choices = [] } = command.names ?? {};
  const names = positionals.map((name) => oneOf(name, choices));
  return { values: values as Values<Given>, names, help: given["help"] === true };
}

export function usageOf({ name, about, options, names }: Command<Options>): string {
  const rows = Object.entries(options).map(([key, { placeholder, help, usualText }]) => ({
    left: placeholder === null ? `--${key}` : `--${key} ${placeholder}`,
    right: usualText === "" ? help : `${help} (${usualText})`,
  }));
  rows.push({ left: "--help", right: "prints this" });
  if (names !== undefined) rows.unshift({ left: "NAMES", right: `${names.help}: ${names.choices.join(", ")}` });
  const width = Math.max(...rows.map(({ left }) => left.length));
  const lines = rows.map(({ left, right }) => `  ${left.padEnd(width)}  ${right}`);
  return `Usage: ${name}${names === undefined ? "" : " [NAMES]"} [options]\n\n${about}\n\n${lines.join("\n")}`;
}

/** Parses the process's command line. Exits after `--help` (exit code 0) and on a usage error (2). */
export function commandLine<Given extends Options, Name extends string>(
  command: Command<Given, Name>,
): { values: Values<Given>; names: readonly Name[] } {
  try {
    const read = readCommandLine(command, process.argv.slice(2));
    if (!read.help) return read;
    console.log(usageOf(command));
    process.exit(0);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    console.error(`${error.message}\n\n${usageOf(command)}`);
    process.exit(2);
  }
}

interface Parsed {
  readonly values: Readonly<Record<string, unknown>>;
  readonly positionals: readonly string[];
}

function parse({ options, names }: Command<Options>, args: readonly string[]): Parsed {
  const types = Object.entries(options).map(([name, { placeholder }]) => {
    return [name, { type: placeholder === null ? "boolean" : "string" }] as const;
  });
  try {
    return parseArgs({
      args: [...args],
      allowPositionals: names !== undefined,
      options: { ...Object.fromEntries(types), help: { type: "boolean", short: "h" } },
    });
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}

function oneOf<Name extends string>(name: string, choices: readonly Name[]): Name {
  const found = choices.find((choice) => choice === name);
  if (found === undefined) throw new UsageError(`There is no '${name}'; choose from ${choices.join(", ")}`);
  return found;
}

function wholeNumber(given: string): number {
  const value = Number(given);
  if (!Number.isSafeInteger(value) || value < 1)
    throw new UsageError(`Must be a whole number of at least 1, got '${given}'`);
  return value;
}

function positive(given: string): number {
  const value = Number(given);
  if (!Number.isFinite(value) || value <= 0) throw new UsageError(`Must be a number above 0, got '${given}'`);
  return value;
}
