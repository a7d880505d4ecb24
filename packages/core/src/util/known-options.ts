import { ConduitError, ErrorCode } from "../errors.ts";
import { describeValue } from "../text/describe-value.ts";
import { unknownOptions } from "../text/unknown-options.ts";

/** The options that a function takes. A misspelled one would be ignored, so `check` refuses it. */
export class KnownOptions<T> {
  readonly #function: string;
  readonly #names: ReadonlySet<string>;
  readonly #hint: string;

  /**
   * @param names all options of `T`
   * @param hint added if something else than an object is given
   */
  constructor(called: string, names: Readonly<Record<keyof T, true>>, hint = "") {
    this.#function = called;
    this.#names = new Set(Object.keys(names));
    this.#hint = hint;
  }

  /**
   * Checks the options of one call of the function, whose first argument is `subject`.
   * @throws ConduitError INVALID_CONFIG if they are no object, or one of them isn't known
   */
  check(options: unknown, subject?: unknown): void {
    if (options === undefined) return;
    if (typeof options !== "object" || options === null)
      throw this.#noObject(describeValue(options), subject, this.#hint);
    // Faster than `Object.keys`, and inherited keys are seldom.
    for (const name in options) if (!this.#names.has(name)) this.#refuse(options, subject);
  }

  #refuse(options: object, subject: unknown): void {
    if ("~standard" in options) throw this.#noObject("a schema", subject, this.#adviceOnSchema());
    const unknown = unknownOptions(options, this.#names, () => this.#place(subject));
    if (unknown === null) return;
    const { message, problems } = unknown;
    throw new ConduitError(ErrorCode.INVALID_CONFIG, message, { details: { problems } });
  }

  #adviceOnSchema(): string {
    const option = ["result", "output"].find((name) => this.#names.has(name));
    return option === undefined ? "" : `; pass it as { ${option}: schema }`;
  }

  #noObject(received: string, subject: unknown, advice: string): ConduitError {
    const names = [...this.#names].join(", ");
    const message = `The options of ${this.#place(subject)} must be an object ({ ${names} }), got ${received}`;
    return new ConduitError(ErrorCode.INVALID_CONFIG, `${message}${advice}`);
  }

  #place(subject: unknown): string {
    return `${this.#function}(${subject === undefined ? "" : describeValue(subject)})`;
  }
}
