import { ConduitError, ErrorCode, messageOf } from "../errors.ts";
import { encodeBase64 } from "../util/base64.ts";
import type { Verifier, VerifierLookup } from "./users.ts";
import { parseUsersFile, type UsersFile } from "./users-file.ts";

/** Changes found when a users file was reloaded. */
export interface UsersFileChange {
  readonly added: readonly string[];
  /** Users whose password or roles have changed. */
  readonly changed: readonly string[];
  /** Removed users. Their connections continue until `server.revoke(name)`. */
  readonly removed: readonly string[];
}

/** The users of a file, for a server's option `authenticate`: `authenticate: await usersFile("users.json")`. */
export interface UsersFileLookup {
  readonly scram: VerifierLookup;
  /** From the file, so that unknown names get the same salts after a restart. */
  readonly secret: string;
  /**
   * Reloads the file. Applies to further logins; open connections aren't affected.
   * @throws ConduitError INVALID_CONFIG if it can't be read or is invalid; the previous users are kept
   */
  reload(): Promise<UsersFileChange>;
}

/**
 * Reads a file written by the command `netconduit-users`. The runtime packages export it bound to their runtime.
 * @param readText reads a file's text
 * @throws ConduitError INVALID_CONFIG if it can't be read or is invalid
 */
export async function usersFile(path: string, readText: (path: string) => Promise<string>): Promise<UsersFileLookup> {
  return new FileLookup(path, readText, await read(path, readText));
}

/** `reload` is a method of the class instead of a field, because the option `authenticate` rejects unknown fields. */
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
