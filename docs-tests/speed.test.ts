import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { type BenchResults, findRow, rowRatio } from "../bench/lib/results.ts";
import { ROOT, readText } from "./lib/markdown.ts";

const { rows } = JSON.parse(readFileSync(join(ROOT, "bench/results/results.json"), "utf8")) as BenchResults;
const readme = readText("README.md").replace(/\s+/g, " ");

function ratio(peer: string, to: string, scenario: string, variant: string, metric: string): number {
  const row = findRow(rows, { scenario, variant, metric, pair: "node", peer });
  const found = row === undefined ? null : rowRatio(rows, row, to);
  if (found === null) throw new Error(`The last full run has no ${scenario}, ${variant} of ${peer} and ${to}`);
  return found.median;
}

const calls = (to: string): number => ratio("netconduit", to, "rpc", "64 in flight", "calls");
const deliveries = (variant: string): number => ratio("netconduit", "raw", "broadcast", variant, "deliveries");
const mebibytes = (to: string): number => ratio("netconduit", "raw", "binary", `1 MiB to the ${to}`, "speed");

/** What README.md says of the last full run; `#` stands for the number, of which two digits count. */
const sayings: readonly (readonly [text: string, actual: () => number])[] = [
  ["# times those of `ws` with JSON by hand", () => calls("ws")],
  ["# times socket.io", () => calls("socket.io")],
  ["# times grpc-js", () => calls("grpc-js")],
  ["# times a loop of single socket writes", () => deliveries("one at a time")],
  ["ten in a tick # times", () => deliveries("ten in a tick")],
  ["# times a bare socket to the server", () => mebibytes("server")],
  ["# times to the client", () => mebibytes("client")],
  ["# times the upgrades of `ws`", () => ratio("netconduit", "ws", "connects", "64 at a time", "connects")],
  ["# times the resident memory", () => ratio("netconduit", "raw", "memory", "10000 connections", "rss")],
];

describe("the ratios in README.md are those of bench/results", () => {
  test.each(sayings)("%s", (text, actual) => {
    const [before = "", after = ""] = text.split("#").map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
    const said = new RegExp(`${before}([0-9.]+)${after}`).exec(readme)?.[1];
    expect(Number(said)).toBe(Number(actual().toPrecision(2)));
  });
});
