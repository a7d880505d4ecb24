import { defineConfig } from "tsup";
import { libraryBuild } from "../../scripts/lib/library-build.ts";

export default defineConfig(libraryBuild({ entry: { index: "src/index.ts" }, platform: "node" }));
