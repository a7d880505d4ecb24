/** The part of vitest's JSON report that `pnpm test` counts. */
export interface CountedReport {
  readonly testResults: {
    readonly name: string;
    readonly status: "passed" | "failed";
    readonly assertionResults: readonly { readonly fullName: string; readonly status: string }[];
  }[];
}

const ENTITIES: Readonly<Record<string, string>> = { amp: "&", lt: "<", gt: ">", quot: '"', apos: "'" };

function attribute(tag: string, name: string): string {
  const value = new RegExp(`\\s${name}="([^"]*)"`).exec(tag)?.[1] ?? "";
  return value.replace(/&(amp|lt|gt|quot|apos);/g, (_, entity: string) => ENTITIES[entity] ?? "");
}

/** Reads the JUnit report of `bun test`. */
export function readJunit(xml: string): CountedReport {
  const files = new Map<string, { fullName: string; status: string }[]>();
  for (const [, tag = "", body = ""] of xml.matchAll(
    /<testcase((?:\s[\w-]+="[^"]*")*)\s*(?:\/>|>([\s\S]*?)<\/testcase>)/g,
  )) {
    const tests = files.get(attribute(tag, "file")) ?? [];
    files.set(attribute(tag, "file"), tests);
    // Bun lists the groups from the innermost outwards.
    const groups = attribute(tag, "classname").split(" > ").reverse();
    const status = /<(?:failure|error)\b/.test(body) ? "failed" : body.includes("<skipped") ? "skipped" : "passed";
    tests.push({ fullName: [...groups, attribute(tag, "name")].join(" ").trim(), status });
  }
  return {
    testResults: Array.from(files, ([name, assertionResults]) => ({
      name,
      status: assertionResults.some(({ status }) => status === "failed") ? "failed" : "passed",
      assertionResults,
    })),
  };
}
