/** `pnpm fleet [options]`: builds outdated packages, then runs examples/fleet/start.ts. The build only prints errors. */
import { buildIfStale } from "./lib/build-if-stale.ts";

await buildIfStale();
await import("../examples/fleet/start.ts");
