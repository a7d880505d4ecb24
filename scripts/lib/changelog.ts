/** A change described by a changeset file. */
export interface Change {
  readonly bump: "major" | "minor" | "patch";
  readonly summary: string;
}

const UNRELEASED = "## Unreleased";
const BUMPS = ["major", "minor", "patch"] as const;

/** Parses a changeset file: the packages it bumps between two lines of dashes, then the summary. */
export function parseChange(text: string): Change {
  const match = /^---\n([\s\S]*?)\n?---\n([\s\S]*)$/.exec(text.replaceAll("\r\n", "\n"));
  const summary = match?.[2]?.trim() ?? "";
  if (match === null || summary === "") throw new Error(`Not a changeset with a summary:\n${text}`);
  const bump = BUMPS.find((name) => new RegExp(`:\\s*["']?${name}["']?\\s*$`, "m").test(match[1] ?? "")) ?? "patch";
  return { bump, summary };
}

/**
 * Moves the section `## Unreleased` and the changes, largest first, into a section for the version, below a new empty
 * `## Unreleased`.
 */
export function releaseChangelog(text: string, version: string, date: string, changes: readonly Change[]): string {
  const start = text.indexOf(`${UNRELEASED}\n`);
  if (start === -1) throw new Error(`CHANGELOG.md has no section "${UNRELEASED}"`);
  const bodyStart = start + UNRELEASED.length + 1;
  const next = text.indexOf("\n## ", bodyStart);
  const body = text.slice(bodyStart, next === -1 ? undefined : next).trim();
  const rest = next === -1 ? "" : text.slice(next + 1).trim();

  const entries = BUMPS.flatMap((bump) => changes.filter((change) => change.bump === bump)).map(
    ({ summary }) => `- ${summary.replaceAll("\n", "\n  ")}`,
  );
  const section = [body, entries.join("\n")].filter((part) => part !== "").join("\n\n");
  if (section === "") throw new Error(`Nothing to release: no changeset, and "${UNRELEASED}" is empty`);
  const parts = [text.slice(0, start) + UNRELEASED, `## ${version} – ${date}`, section, rest];
  return `${parts.filter((part) => part !== "").join("\n\n")}\n`;
}
