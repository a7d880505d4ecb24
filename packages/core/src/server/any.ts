import type { Server } from "./server.ts";

/** Any server, with any contract and data. `any`, because the class is invariant in both type parameters. */
// biome-ignore lint/suspicious/noExplicitAny: see above
export type AnyServer = Server<any, any>;
