import type { Connection } from "./connection.ts";
import type { Server } from "./server.ts";

// Types for functions that work with any server or connection, whatever its contract and data. Class types
// with handlers inside are invariant in them, so only `any` admits them all.

/** Any server. */
// biome-ignore lint/suspicious/noExplicitAny: see above
export type AnyServer = Server<any, any>;
/** Any connection of any server. */
// biome-ignore lint/suspicious/noExplicitAny: see above
export type AnyConnection = Connection<any, any>;
