/**
 * Exports the netconduit package of the current runtime, so that the programs in this folder run on all three. A
 * program for a single runtime imports its package directly: `import { Client, Server } from "@netconduit/node"`.
 */

import type * as Package from "@netconduit/node";

export type { Contract } from "@netconduit/node";

/** Bun and Deno also report a Node.js version, so check for them first. */
const { versions } = process;
export const runtime = versions["bun"] !== undefined ? "bun" : versions["deno"] !== undefined ? "deno" : "node";

const netconduit: typeof Package = await import(`@netconduit/${runtime}`);
export const { Client, ConduitError, ErrorCode, forClient, RpcError, Server } = netconduit;
