import process from "node:process";
import type { RuntimeName } from "../../docs-tests/lib/runtimes.ts";

/** A peer's runtime. */
export interface RuntimeFacts {
  readonly runtime: RuntimeName;
  readonly version: string;
  readonly pid: number;
}

/** Detects this process's runtime by its globals. */
export function ownFacts(): RuntimeFacts {
  const { Bun, Deno } = globalThis as {
    readonly Bun?: { readonly version: string };
    readonly Deno?: { readonly version: { readonly deno: string } };
  };
  const { pid } = process;
  if (Bun !== undefined) return { runtime: "bun", version: Bun.version, pid };
  if (Deno !== undefined) return { runtime: "deno", version: Deno.version.deno, pid };
  return { runtime: "node", version: process.versions.node, pid };
}
