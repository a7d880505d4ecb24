/** The runtimes that the matrix pairs. */
export type RuntimeName = "node" | "bun" | "deno";

export const RUNTIME_NAMES: readonly RuntimeName[] = ["node", "bun", "deno"];

/** The runtime that a peer runs on. */
export interface RuntimeFacts {
  readonly runtime: RuntimeName;
  readonly version: string;
  readonly pid: number;
}
