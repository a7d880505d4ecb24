import { getGlobalConfig } from "valibot";
import type { Schema, SchemaResult } from "./schema.ts";

/**
 * Limit of valibot's checks whether to abort, of which it makes a few per issue. Allows far more issues than a reply
 * lists, in some 20 ms; without it, the items of one message could cause two million issues, taking 10 s and 1.5 GiB.
 */
const MAX_QUESTIONS = 10_000;

type Run = (dataset: { value: unknown }, config: object) => SchemaResult<unknown> | Promise<SchemaResult<unknown>>;

/** A valibot configuration that aborts a run with too many issues. Doesn't affect valid values. */
class BoundedConfig {
  lang: unknown;
  abortPipeEarly: unknown;
  // An own property, because valibot copies configurations.
  declare readonly abortEarly: boolean;
  #left = 0;
  #isAborted = false;

  constructor() {
    Object.defineProperty(this, "abortEarly", { enumerable: true, get: () => this.#answer() });
  }

  begin({ lang, abortEarly, abortPipeEarly }: ReturnType<typeof getGlobalConfig>): this {
    this.lang = lang;
    this.abortPipeEarly = abortPipeEarly;
    this.#isAborted = abortEarly === true;
    this.#left = MAX_QUESTIONS;
    return this;
  }

  /** Counts a check, and returns whether to abort. */
  #answer(): boolean {
    this.#left -= 1;
    return this.#isAborted || this.#left < 0;
  }
}

/** The validation function of a valibot schema with a limit of issues; null for schemas of other libraries. */
export function boundedValidate(schema: Schema): ((value: unknown) => ReturnType<Run>) | null {
  if (schema["~standard"].vendor !== "valibot" || typeof (schema as { "~run"?: unknown })["~run"] !== "function") {
    return null;
  }
  const valibot = schema as unknown as { "~run": Run };
  const config = new BoundedConfig();
  return (value) => valibot["~run"]({ value }, config.begin(getGlobalConfig()));
}
