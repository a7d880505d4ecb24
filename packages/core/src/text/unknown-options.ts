import { clip, describeKind } from "./describe-value.ts";
import { nearestOption } from "./nearest-option.ts";

const MAX_NAME_CHARS = 100;

/** Options that a function doesn't have. */
export interface UnknownOptions {
  /** Names each one, with a suggestion. */
  readonly message: string;
  readonly problems: readonly { readonly option: string; readonly rule: string; readonly received: string }[];
}

/**
 * Finds options that a function doesn't have, ignoring inherited properties; null if there are none.
 * @param place the function's name in the message
 */
export function unknownOptions(
  options: object,
  known: ReadonlySet<string>,
  place: () => string,
): UnknownOptions | null {
  const unknown = Object.keys(options).filter((name) => !known.has(name));
  if (unknown.length === 0) return null;
  const problems = unknown.map((name) => {
    const nearest = nearestOption(name, known);
    const hint = nearest === null ? `it takes ${[...known].join(", ")}` : `did you mean ${nearest}?`;
    return {
      message: `Unknown option ${clip(name, MAX_NAME_CHARS)} of ${place()}; ${hint}`,
      option: name,
      rule: `is unknown; ${hint}`,
      // Only the kind, because a misspelt option may hold a secret.
      received: describeKind((options as Readonly<Record<string, unknown>>)[name]),
    };
  });
  return {
    message: problems.map(({ message }) => message).join("\n"),
    problems: problems.map(({ option, rule, received }) => ({ option, rule, received })),
  };
}
