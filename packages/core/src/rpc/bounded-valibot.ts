import { getGlobalConfig } from "valibot";
import type { Schema, SchemaResult } from "./schema.ts";

/**
 * How often valibot may ask whether to stop at an issue, which it does a few times for each. That is far more issues than a
 * reply lists, in some 20 ms; the items of one message could make two million, in 10 s and 1.5 GiB.
 */
const MAX_QUESTIONS = 10_000;

type Run = (dataset: { value: unknown }, config: object) => SchemaResult<unknown> | Promise<SchemaResult<unknown>>;

/** valibot's configuration of a run, which stops it when there are very many issues. It changes nothing for valid values. */
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

  /** Counts a question, and says whether to stop. */
  #answer(): boolean {
    this.#left -= 1;
    return this.#isAborted || this.#left < 0;
  }
}

/** The validation of a schema of valibot, with an end to its issues; null for one of another library. */
export function boundedValidate(schema: Schema): ((value: unknown) => ReturnType<Run>) | null {
  if (schema["~standard"].vendor !== "valibot" || typeof (schema as { "~run"?: unknown })["~run"] !== "function") {
    return null;
  }
  const valibot = schema as unknown as { "~run": Run };
  const config = new BoundedConfig();
  return (value) => valibot["~run"]({ value }, config.begin(getGlobalConfig()));
}
