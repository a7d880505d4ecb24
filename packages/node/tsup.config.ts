import { defineConfig } from "tsup";
import { libraryBuild } from "../../scripts/lib/library-build.ts";

export default defineConfig(
  libraryBuild({ entry: { index: "src/index.ts", "users-bin": "src/users-bin.ts" }, platform: "node" }),
);
