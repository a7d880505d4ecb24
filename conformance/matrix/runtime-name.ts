/** The runtimes that the matrix pairs. */
export type RuntimeName = "node" | "bun" | "deno";

export const RUNTIME_NAMES: readonly RuntimeName[] = ["node", "bun", "deno"];

/** What a peer finds itself to be running in. */
export interface RuntimeFacts {
  readonly runtime: RuntimeName;
  readonly version: string;
  readonly pid: number;
}
