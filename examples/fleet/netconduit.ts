/**
 * The netconduit package of the runtime that this program runs on, so that each program here runs on all three. A
 * program for one runtime imports its package directly: `import { Client, Server } from "@netconduit/node"`.
 */

import type * as Package from "@netconduit/node";

export type { Contract, FileProgress, Subscription } from "@netconduit/node";

/** Bun and Deno have a Node.js version, too. */
const { versions } = process;
export const runtime = versions["bun"] !== undefined ? "bun" : versions["deno"] !== undefined ? "deno" : "node";

const netconduit: typeof Package = await import(`@netconduit/${runtime}`);
export const { Client, ConduitError, ErrorCode, forClient, RpcError, Server } = netconduit;
