import { defineConfig } from "tsup";
import { libraryBuild } from "../../scripts/lib/library-build.ts";

export default defineConfig(
  libraryBuild({
    entry: { index: "src/index.ts", adapter: "src/adapter.ts" },
    // With these, index.js holds no code. `import { ErrorCode }` adds 2 KB to a bundle, instead of 18.
    split: {
      errors: "src/errors.ts",
      client: "src/client/client.ts",
      server: "src/server/server.ts",
      "error-helpers": "src/rpc/error-helpers.ts",
    },
    platform: "neutral",
  }),
);
