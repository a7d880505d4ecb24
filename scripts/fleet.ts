/** `pnpm fleet [options]`: builds whatever is out of date and runs examples/fleet/start.ts. The build prints only errors. */
import { buildIfStale } from "./lib/build-if-stale.ts";

await buildIfStale();
await import("../examples/fleet/start.ts");
