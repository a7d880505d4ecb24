/**
 * The command `netconduit-users`, which creates and edits a server's users file. A password is read without echo or
 * from standard input, and never from the command line, which other users of the machine can see.
 */

import { randomUUID } from "node:crypto";
import { chmod, open, readFile, rename, rm } from "node:fs/promises";
import { dirname } from "node:path";
import { parseArgs } from "node:util";
import { scramVerifier } from "@netconduit/core";
import {
  type FileUser,
  formatUsersFile,
  newUsersFile,
  parseUsersFile,
  type UsersFile,
  usernameProblem,
} from "@netconduit/core/adapter";
import { nodeRuntime } from "./runtime.ts";

/** Only the owner may read the verifiers, because passwords can be guessed offline with them. */
const FILE_MODE = 0o600;

export const USAGE = `Usage: netconduit-users COMMAND FILE [NAME] [options]

  add FILE NAME       adds a user; makes the file if there is none
  passwd FILE NAME    changes a user's password
  remove FILE NAME    removes a user
  list FILE           lists the users and their roles

Options of add:
  --role ROLE         gives the user a role; may be repeated
  --iterations N      PBKDF2 iterations, 15,000 unless the server's scramIterations differs; also of passwd

The password is asked for, or read from the first line of standard input. The file has verifiers, never passwords.
`;

/** Where the command reads and writes. */
export interface CommandIo {
  print(text: string): void;
  /** Prompts for a password, or reads it from standard input. */
  readPassword(): Promise<string>;
}

/** An error in the command's use, of which only the message is shown. */
export class CommandError extends Error {}

/** Runs the command. @throws CommandError */
export async function usersCommand(args: readonly string[], io: CommandIo): Promise<void> {
  const { values, positionals } = parse(args);
  const [command, path, name, ...rest] = positionals;
  if (values.help === true || command === undefined) {
    io.print(USAGE);
    return;
  }
  const takesName = command !== "list";
  const isComplete = path !== undefined && (name !== undefined) === takesName && rest.length === 0;
  if (!["add", "passwd", "remove", "list"].includes(command) || !isComplete) throw new CommandError(USAGE);
  if (name === undefined) {
    const { users } = await load(path);
    for (const [user, { roles }] of users) io.print(`${user}${roles.length === 0 ? "" : ` (${roles.join(", ")})`}\n`);
    return;
  }
  const iterations = values.iterations === undefined ? undefined : Number(values.iterations);
  const makeVerifier = async (): Promise<string> =>
    await scramVerifier(await io.readPassword(), nodeRuntime, { iterations });
  if (command === "add") await add(path, name, values.role ?? [], makeVerifier);
  else if (command === "passwd")
    await change(path, name, async (user) => ({ ...user, verifier: await makeVerifier() }));
  else await change(path, name, async () => null);
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        role: { type: "string", multiple: true },
        iterations: { type: "string" },
        help: { type: "boolean", short: "h" },
      },
    });
  } catch (error) {
    throw new CommandError(`${(error as Error).message}\n\n${USAGE}`);
  }
}

async function add(path: string, name: string, roles: string[], makeVerifier: () => Promise<string>): Promise<void> {
  const problem = usernameProblem(name);
  if (problem !== null) throw new CommandError(`The name of a user ${problem}`);
  const file = (await loadIfThere(path)) ?? newUsersFile(nodeRuntime.crypto);
  if (file.users.has(name)) throw new CommandError(`There is a user '${name}' already; passwd changes its password`);
  const users = new Map(file.users).set(name, { verifier: await makeVerifier(), roles });
  await save(path, { ...file, users });
}

/** @param changed the user's new entry; null removes it */
async function change(
  path: string,
  name: string,
  changed: (user: FileUser) => Promise<FileUser | null>,
): Promise<void> {
  const file = await load(path);
  const user = file.users.get(name);
  if (user === undefined) throw new CommandError(`There is no user '${name}' in ${path}`);
  const users = new Map(file.users);
  const entry = await changed(user);
  if (entry === null) users.delete(name);
  else users.set(name, entry);
  await save(path, { ...file, users });
}

async function load(path: string): Promise<UsersFile> {
  const file = await loadIfThere(path);
  if (file === null) throw new CommandError(`There is no file ${path}; add makes it`);
  return file;
}

async function loadIfThere(path: string): Promise<UsersFile | null> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
    throw error;
  }
  return parseUsersFile(text, path);
}

/** Replaces the file atomically: a reader sees the old or the new one, even after a crash. */
async function save(path: string, file: UsersFile): Promise<void> {
  const temporary = `${path}.${randomUUID()}.tmp`;
  try {
    const handle = await open(temporary, "wx", FILE_MODE);
    try {
      await handle.writeFile(formatUsersFile(file));
      await handle.sync();
    } finally {
      await handle.close();
    }
    // The mode of `open` is subject to the umask.
    await chmod(temporary, FILE_MODE);
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  await syncFolder(dirname(path));
}

/** Skipped on Windows, which can't open folders and doesn't need this. */
async function syncFolder(folder: string): Promise<void> {
  if (process.platform === "win32") return;
  const handle = await open(folder, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
