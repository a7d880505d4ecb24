import { ConduitError, ErrorCode } from "../errors.ts";
import { clip, describeKind, describeValue } from "./describe-value.ts";
import { nearestOption } from "./nearest-option.ts";

const MAX_NAME_CHARS = 100;

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
    if (typeof options !== "object" || options === null) throw this.#noObject(options, subject);
    // Faster than `Object.keys`, and inherited keys are seldom.
    for (const name in options) if (!this.#names.has(name)) this.#refuse(options, subject);
  }

  #refuse(options: object, subject: unknown): void {
    const unknown = Object.keys(options).filter((name) => !this.#names.has(name));
    if (unknown.length === 0) return;
    const problems = unknown.map((name) => {
      const nearest = nearestOption(name, this.#names);
      const hint = nearest === null ? `it takes ${[...this.#names].join(", ")}` : `did you mean ${nearest}?`;
      return {
        message: `Unknown option ${clip(name, MAX_NAME_CHARS)} of ${this.#place(subject)}; ${hint}`,
        option: name,
        rule: `is unknown; ${hint}`,
        // Only the kind, as of unknown options of servers and clients: it may be secret.
        received: describeKind((options as Readonly<Record<string, unknown>>)[name]),
      };
    });
    throw new ConduitError(ErrorCode.INVALID_CONFIG, problems.map(({ message }) => message).join("\n"), {
      details: { problems: problems.map(({ option, rule, received }) => ({ option, rule, received })) },
    });
  }

  #noObject(options: unknown, subject: unknown): ConduitError {
    const names = [...this.#names].join(", ");
    const message = `The options of ${this.#place(subject)} must be an object ({ ${names} }), got ${describeValue(options)}`;
    return new ConduitError(ErrorCode.INVALID_CONFIG, `${message}${this.#hint}`);
  }

  #place(subject: unknown): string {
    return `${this.#function}(${subject === undefined ? "" : describeValue(subject)})`;
  }
}
