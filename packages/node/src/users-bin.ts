#!/usr/bin/env node
/** The executable of `netconduit-users`. */

import process from "node:process";
import { createInterface } from "node:readline";
import { Writable } from "node:stream";
import { CommandError, usersCommand } from "./users-command.ts";

/** Reads the first line of standard input; on a terminal, after a prompt and without echo. */
async function readPassword(): Promise<string> {
  const { stdin, stderr } = process;
  const isTerminal = stdin.isTTY === true;
  if (isTerminal) stderr.write("Password: ");
  // With `terminal`, readline disables the terminal's echo and echoes to `output`, which discards it.
  const output = new Writable({ write: (_chunk, _encoding, done) => done() });
  const lines = createInterface({ input: stdin, output, terminal: isTerminal });
  try {
    for await (const line of lines) return line;
    throw new CommandError("There is no password on standard input");
  } finally {
    lines.close();
    if (isTerminal) stderr.write("\n");
  }
}

try {
  await usersCommand(process.argv.slice(2), { print: (text) => void process.stdout.write(text), readPassword });
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
