import { defineConfig } from "tsup";
import { libraryBuild } from "../../scripts/lib/library-build.ts";

// Deno offers the `node:` modules as well, and tsup leaves them alone on this platform.
export default defineConfig(libraryBuild({ entry: { index: "src/index.ts" }, platform: "node" }));
