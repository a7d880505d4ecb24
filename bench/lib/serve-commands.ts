/** Executes commands of the parent process. */
import process from "node:process";
import { createInterface } from "node:readline";

export type Command = (args: never) => unknown;

interface Request {
  readonly id: number;
  readonly command: string;
  readonly args: unknown;
}

function answer(message: object): void {
  process.stdout.write(`${JSON.stringify(message)}\n`);
}

/**
 * Executes commands, each a line of JSON on standard input, and answers each with a line on standard output. Exits
 * when standard input ends, because timers and sockets would keep the process alive.
 */
export function serveCommands(commands: Readonly<Record<string, Command>>): void {
  const byName = new Map(Object.entries(commands));
  const lines = createInterface({ input: process.stdin });
  lines.on("line", (line) => {
    const { id, command, args } = JSON.parse(line) as Request;
    const carryOut = async (): Promise<unknown> => {
      const handler = byName.get(command);
      if (handler === undefined) throw new Error(`Unknown command ${command}`);
      return handler(args as never);
    };
    carryOut().then(
      (result) => answer({ id, result: result ?? null }),
      (error: unknown) =>
        answer({ id, error: error instanceof Error ? (error.stack ?? error.message) : String(error) }),
    );
  });
  lines.on("close", () => process.exit());
  answer({ id: 0, result: null });
}
