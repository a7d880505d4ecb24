/**
 * `node scripts/nats-server.ts [--install]`: prints the path and version of a sufficiently new nats-server. With
 * --install, installs one if none is found. Exit code 1 if there is none; the output explains how to get it.
 */
import { parseArgs } from "node:util";
import { findNatsServer, HOW_TO_GET_NATS, installNatsServer } from "./lib/nats-server.ts";

const { values } = parseArgs({ options: { install: { type: "boolean" } } });
const found = (await findNatsServer()) ?? (values.install === true ? await installNatsServer() : null);
if (found === null) {
  console.error(HOW_TO_GET_NATS);
  process.exitCode = 1;
} else {
  console.log(`${found.path} ${found.version}`);
}
