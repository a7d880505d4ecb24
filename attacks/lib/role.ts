/** One process of an attack: takes commands as lines of JSON on standard input, and exits when that ends. */
import process from "node:process";
import { createInterface } from "node:readline";

export type Command = (args: never) => unknown;

/** Carries out commands by name until standard input ends. */
export function serveCommands(commands: Readonly<Record<string, Command>>): void {
  const answer = (line: object): void => void process.stdout.write(`${JSON.stringify(line)}\n`);
  const lines = createInterface({ input: process.stdin });
  lines.on("line", (text) => {
    const { id, command, args } = JSON.parse(text) as { id: number; command: string; args: unknown };
    const carryOut = async (): Promise<unknown> => commands[command]?.(args as never);
    carryOut().then(
      (result) => answer({ id, result: result ?? null }),
      (error: unknown) =>
        answer({ id, error: error instanceof Error ? (error.stack ?? error.message) : String(error) }),
    );
  });
  lines.on("close", () => process.exit());
  answer({ id: 0, result: null });
}
