import { describe, expect, test } from "vitest";
import { attacks } from "../attacks/index.ts";
import { parseServerOptions } from "../packages/core/src/server/server-options.ts";
import { codeIn, readText, tableRows } from "./lib/markdown.ts";
import { RUNTIMES } from "./lib/runtimes.ts";

const SECURITY = readText("SECURITY.md");
const UNITS: Readonly<Record<string, number>> = { KiB: 1024, MiB: 1024 ** 2, s: 1000 };

/** The numbers of a cell: "16 MiB, 1,000" is [16777216, 1000]. */
function numbersOf(cell: string): (number | null)[] {
  return cell.split(", ").map((one) => {
    const [, digits = "", unit = ""] = /^([\d,]+) ?(\w*)$/.exec(one) ?? [];
    return digits === "" ? null : Number(digits.replaceAll(",", "")) * (UNITS[unit] ?? 1);
  });
}

/** The row's attack and runtime. */
const rowOf = (row: Readonly<Record<string, string>>): string => `${row["Attack"]} on ${row["Server"]}`;

describe("SECURITY.md", () => {
  test("has a row for each attack on each runtime, in order", () => {
    const rows = tableRows(SECURITY, "Attacks", "Attack").map(rowOf);
    expect(rows).toEqual(attacks.flatMap(({ name }) => RUNTIMES.map((runtime) => `${name} on ${runtime}`)));
  });

  const config = parseServerOptions({ password: "secret123" }) as unknown as Readonly<Record<string, unknown>>;

  test.each(tableRows(SECURITY, "Limits and defaults", "Option"))("has the default of $Option", (row) => {
    const names = (row["Option"] ?? "").split(", ").map(codeIn);
    expect(numbersOf(row["Default"] ?? "")).toEqual(names.map((name) => config[name]));
  });
});
