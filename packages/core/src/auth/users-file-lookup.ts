import { ConduitError, ErrorCode, messageOf } from "../errors.ts";
import { encodeBase64 } from "../util/base64.ts";
import type { Verifier, VerifierLookup } from "./users.ts";
import { parseUsersFile, type UsersFile } from "./users-file.ts";

/** The changes when a file of users was read again. */
export interface UsersFileChange {
  readonly added: readonly string[];
  /** With another password or other roles. */
  readonly changed: readonly string[];
  /** Their connections go on until `server.revoke(name)`. */
  readonly removed: readonly string[];
}

/** The users of a file, for the option `authenticate` of a server: `authenticate: await usersFile("users.json")`. */
export interface UsersFileLookup {
  readonly scram: VerifierLookup;
  /** From the file, so that unknown names look the same after a restart. */
  readonly secret: string;
  /**
   * Reads the file again. Logins from then on see its users; those that are connected aren't affected.
   * @throws ConduitError INVALID_CONFIG if it can't be read or is invalid; the former users stay
   */
  reload(): Promise<UsersFileChange>;
}

/**
 * Reads the file that the command `netconduit-users` makes. The runtime packages export it bound to their runtime.
 * @param readText reads a file's text
 * @throws ConduitError INVALID_CONFIG if it can't be read or is invalid
 */
export async function usersFile(path: string, readText: (path: string) => Promise<string>): Promise<UsersFileLookup> {
  return new FileLookup(path, readText, await read(path, readText));
}

/** `reload` is a method of the class, not a field: the option `authenticate` refuses fields that it doesn't know. */
class FileLookup implements UsersFileLookup {
  readonly secret: string;
  readonly #path: string;
  readonly #readText: (path: string) => Promise<string>;
  #current: UsersFile;

  constructor(path: string, readText: (path: string) => Promise<string>, current: UsersFile) {
    this.secret = encodeBase64(current.secret);
    this.#path = path;
    this.#readText = readText;
    this.#current = current;
  }

  readonly scram = (name: string): Verifier | null => this.#current.users.get(name) ?? null;

  async reload(): Promise<UsersFileChange> {
    const before = this.#current.users;
    const next = await read(this.#path, this.#readText);
    this.#current = next;
    const names = [...next.users.keys()];
    return {
      added: names.filter((name) => !before.has(name)),
      changed: names.filter((name) => before.has(name) && !isEqual(before.get(name), next.users.get(name))),
      removed: [...before.keys()].filter((name) => !next.users.has(name)),
    };
  }
}

function isEqual(a: unknown, b: unknown): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}

async function read(path: string, readText: (path: string) => Promise<string>): Promise<UsersFile> {
  let text: string;
  try {
    text = await readText(path);
  } catch (cause) {
    const message = `The file of users ${path} can't be read: ${messageOf(cause)}`;
    throw new ConduitError(ErrorCode.INVALID_CONFIG, message, { cause });
  }
  return parseUsersFile(text, path);
}
