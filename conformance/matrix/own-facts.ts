import process from "node:process";
import type { RuntimeFacts } from "./runtime-name.ts";

/** What this process finds itself to be running in; no argument or variable of the environment is asked. */
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
