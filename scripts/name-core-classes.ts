/**
 * Part of the build of a runtime package: names the core's classes in its declarations `CoreClient` etc., as its source
 * does. The bundler of declarations ignores these aliases and writes `Client$1`.
 */
import { readFileSync, writeFileSync } from "node:fs";

const file = "dist/index.d.ts";
writeFileSync(file, readFileSync(file, "utf8").replaceAll(/\b(\w+)\$1\b/g, "Core$1"));
