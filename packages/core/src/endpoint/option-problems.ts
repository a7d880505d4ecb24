import type * as v from "valibot";
import { ConduitError, ErrorCode } from "../errors.ts";
import { clip, describeKind, describeValue } from "../text/describe-value.ts";
import { nearestOption } from "../text/nearest-option.ts";

/** A problem with an option, as listed in `details.problems`. */
export interface OptionProblem {
  /** Path of the option, for example `"reconnect.delayMs"`; `""` for the options as a whole. */
  readonly option: string;
  /** The rule that the option violates, for example `"must be an integer from 0 to 65535"`. */
  readonly rule: string;
  /** The value in short form; for secrets and unknown options, only its kind. */
  readonly received: string;
}

interface Recorded extends OptionProblem {
  /** `of` is `" of the server"`, or `""` in a list whose first line says it. */
  message(of: string): string;
}

/** Collects the problems of an options object, to report them all at once. */
export class OptionProblems {
  readonly #problems = new Map<string, Recorded>();
  readonly #owner: string;
  readonly #known: readonly string[];
  readonly #secrets: ReadonlySet<string>;
  readonly #remarks: Readonly<Record<string, string>>;

  /**
   * `owner` has the options ("the server"); `known` lists every option's path. Values of `secrets` never appear
   * in a message; a `*` in their paths stands for any name. `remarks` are hints for options known from other libraries, by the last part of their path.
   */
  constructor(
    owner: string,
    known: readonly string[],
    secrets: readonly string[],
    remarks: Readonly<Record<string, string>> = {},
  ) {
    this.#owner = owner;
    this.#known = known;
    this.#secrets = new Set(secrets);
    this.#remarks = remarks;
  }

  /** Whether `option` has a problem. Rules about several options only apply if each is valid on its own. */
  has(option: string): boolean {
    return this.#problems.has(option);
  }

  /** Records that `option` violates `rule`. Only the first problem of an option is reported. */
  add(option: string, rule: string, value: unknown, isDefault = false): void {
    const described = this.#isSecret(option) ? describeKind(value) : describeValue(value);
    this.#record(option, rule, isDefault ? `${described} (the default)` : described);
  }

  /** Like `add`, for a value that may be a misplaced secret: only its kind is reported. */
  addHidden(option: string, rule: string, value: unknown): void {
    this.#record(option, rule, describeKind(value));
  }

  #record(option: string, rule: string, received: string): void {
    if (this.#problems.has(option)) return;
    this.#problems.set(option, {
      option,
      rule,
      received,
      message: (of) => `Invalid option ${option}${of}: ${rule}, got ${received}`,
    });
  }

  /** Records all of valibot's issues with the value of an option; by default, with the options as a whole. */
  addIssues(issues: readonly v.BaseIssue<unknown>[], of?: string): void {
    for (const issue of issues) {
      const path = (issue.path ?? []).map((item) => String(item.key));
      const option = clip((of === undefined ? path : [of, ...path]).join("."), 100);
      if (issue.expected === "never") this.addUnknown(option, issue.input);
      else if (option === "") this.#addWhole(issue.input);
      else if (issue.input === undefined) this.addMissing(option);
      else this.add(option, issue.message, issue.input);
    }
  }

  /** The options aren't an object. @throws ConduitError INVALID_CONFIG */
  refuse(options: unknown): void {
    this.#addWhole(options);
    this.throwIfAny();
  }

  /** @throws ConduitError INVALID_CONFIG listing every problem, if there are any */
  throwIfAny(): void {
    const problems = [...this.#problems.values()];
    if (problems.length === 0) return;
    throw new ConduitError(ErrorCode.INVALID_CONFIG, this.#messageOf(problems), {
      details: { problems: problems.map(({ option, rule, received }) => ({ option, rule, received })) },
    });
  }

  #messageOf(problems: readonly Recorded[]): string {
    const [first, ...others] = problems;
    if (first !== undefined && others.length === 0) return first.message(` of ${this.#owner}`);
    const lines = problems.map((problem) => `\n- ${problem.message("")}`);
    return `${problems.length} problems in the options of ${this.#owner}:${lines.join("")}`;
  }

  /** Records an unknown option. `known` lists candidates for "did you mean". */
  addUnknown(option: string, value: unknown, known: readonly string[] = this.#known): void {
    const hint = this.#hintOn(option, known);
    // only the kind: the value of a misspelled `password` is secret
    this.#problems.set(option, {
      option,
      rule: `is unknown${hint}`,
      received: describeKind(value),
      message: (of) => `Unknown option ${option}${of}${hint}`,
    });
  }

  #hintOn(option: string, known: readonly string[]): string {
    const last = option.slice(option.lastIndexOf(".") + 1);
    if (Object.hasOwn(this.#remarks, last)) return `; ${this.#remarks[last]}`;
    const nearest = nearestOption(option, known);
    if (nearest !== null) return `; did you mean ${nearest}?`;
    const similar = known.filter((name) => last.length >= 4 && name.toLowerCase().includes(last.toLowerCase()));
    if (similar.length > 0) return `; did you mean ${similar.join(", ").replace(/, ([^,]+)$/, " or $1")}?`;
    const group = option.slice(0, -last.length);
    const siblings = known
      .filter((name) => group !== "" && name.startsWith(group))
      .map((name) => name.slice(group.length));
    return siblings.length === 0 ? "" : `; it takes ${siblings.join(", ")}`;
  }

  addMissing(option: string, rule = "is required"): void {
    if (this.#problems.has(option)) return;
    const message = (of: string): string => `Missing option ${option}${of}: ${rule}`;
    this.#problems.set(option, { option, rule, received: "undefined", message });
  }

  #isSecret(option: string): boolean {
    const [group, last] = [option.slice(0, option.indexOf(".")), option.slice(option.lastIndexOf(".") + 1)];
    return this.#secrets.has(option) || this.#secrets.has(`${group}.*.${last}`);
  }

  #addWhole(value: unknown): void {
    const rule = "must be an object";
    const received = describeKind(value);
    const message = (): string => `The options of ${this.#owner} ${rule}, got ${received}`;
    this.#problems.set("", { option: "", rule, received, message });
  }
}
