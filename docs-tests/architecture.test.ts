import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { toMermaid, transitions } from "../packages/core/src/connection/connection-state.ts";
import { codeBlocks, codeIn, ROOT, readText, tableRows } from "./lib/markdown.ts";

const FILE = "ARCHITECTURE.md";
const text = readText(FILE);

describe("ARCHITECTURE.md", () => {
  test("has the state diagram generated from the table of transitions", () => {
    const diagrams = codeBlocks(FILE).filter(({ language }) => language === "mermaid");
    expect(diagrams.map(({ code }) => code)).toEqual([toMermaid()]);
  });

  test("describes every state", () => {
    const described = tableRows(text, "The life of a connection", "State").map((row) => codeIn(row["State"] ?? ""));
    expect(described).toEqual(Object.keys(transitions));
  });

  test("names every room of the core", () => {
    const rooms = readdirSync(join(ROOT, "packages/core/src"), { withFileTypes: true })
      .filter((entry) => entry.isDirectory() && entry.name !== "test-support")
      .map(({ name }) => `${name}/`);
    const named = tableRows(text, "Layers", "Room").map((row) => row["Room"] ?? "");
    expect(rooms.filter((room) => !named.some((cell) => cell.includes(`\`${room}\``)))).toEqual([]);
  });

  test("names only rooms of the core that exist", () => {
    const named = tableRows(text, "Layers", "Room").flatMap((row) => [...(row["Room"] ?? "").matchAll(/`([^`]+)`/g)]);
    const missing = named
      .map(([, name = ""]) => name)
      .filter((name) => !existsSync(join(ROOT, "packages/core/src", name)));
    expect(missing).toEqual([]);
  });
});
