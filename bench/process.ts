/**
 * One side of a measurement: `process.ts server|client <peer>`, on Node, Bun or Deno. Executes the commands of
 * `lib/commands.ts` from standard input, and exits at its end.
 */
import process from "node:process";
import { clientCommands } from "./lib/client-side.ts";
import { serveCommands } from "./lib/serve-commands.ts";
import { serverCommands } from "./lib/server-side.ts";
import { loadPeer } from "./peers/index.ts";

const [role, peerName = ""] = process.argv.slice(2);
const peer = await loadPeer(peerName);
serveCommands(role === "server" ? serverCommands(peer) : clientCommands(peer));
