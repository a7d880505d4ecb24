import process from "node:process";
import type { RuntimeName } from "./peer.ts";

/** The runtime that this process is. */
export function runtimeName(): RuntimeName {
  if (process.versions["bun"] !== undefined) return "bun";
  return process.versions["deno"] === undefined ? "node" : "deno";
}
