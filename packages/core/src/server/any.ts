import type { Connection } from "./connection.ts";
import type { Server } from "./server.ts";

// Types for functions that accept any server or connection, with any contract and data. These classes are invariant in
// both type parameters, so only `any` matches all of them.

/** Any server. */
// biome-ignore lint/suspicious/noExplicitAny: see above
export type AnyServer = Server<any, any>;
/** Any connection of any server. */
// biome-ignore lint/suspicious/noExplicitAny: see above
export type AnyConnection = Connection<any, any>;
