/**
 * One side of a measurement: `process.ts server|client <peer>`, on Node, Bun or Deno. Takes the commands of
 * `lib/commands.ts` on standard input, and exits when that ends.
 */
import process from "node:process";
import { createInterface } from "node:readline";
import { clientCommands } from "./lib/client-side.ts";
import { serverCommands } from "./lib/server-side.ts";
import { loadPeer } from "./peers/index.ts";

interface Request {
  readonly id: number;
  readonly command: string;
  readonly args: unknown;
}

const [role, peerName = ""] = process.argv.slice(2);

function answer(message: object): void {
  process.stdout.write(`${JSON.stringify(message)}\n`);
}

async function main(): Promise<void> {
  const peer = await loadPeer(peerName);
  const commands = new Map<string, (args: never) => unknown>(
    Object.entries(role === "server" ? serverCommands(peer) : clientCommands(peer)),
  );
  const lines = createInterface({ input: process.stdin });
  lines.on("line", (line) => {
    const { id, command, args } = JSON.parse(line) as Request;
    const carryOut = async (): Promise<unknown> => {
      const handler = commands.get(command);
      if (handler === undefined) throw new Error(`Unknown command ${command}`);
      return handler(args as never);
    };
    carryOut().then(
      (result) => answer({ id, result: result ?? null }),
      (error: unknown) =>
        answer({ id, error: error instanceof Error ? (error.stack ?? error.message) : String(error) }),
    );
  });
  // The harness is done, or gone. Peers may hold timers and sockets that would keep the process alive.
  lines.on("close", () => process.exit());
  answer({ id: 0, result: null });
}

await main();
