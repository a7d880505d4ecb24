/**
 * The file written by the command `netconduit-users` and read by `usersFile()`: JSON with a verifier for each user,
 * and the secret for unknown names. It contains no passwords.
 */

import { ConduitError, ErrorCode, messageOf } from "../errors.ts";
import type { RuntimeCrypto } from "../runtime.ts";
import { decodeBase64, encodeBase64 } from "../util/base64.ts";
import { isMap } from "../util/is-map.ts";
import { rolesProblem, usernameProblem } from "./user.ts";
import { parseVerifier } from "./verifier.ts";

const SECRET_BYTES = 32;

/** A user in the file. */
export interface FileUser {
  readonly verifier: string;
  readonly roles: readonly string[];
}

/** The content of the file. */
export interface UsersFile {
  /** Derives the salts of unknown names. */
  readonly secret: Uint8Array;
  readonly users: ReadonlyMap<string, FileUser>;
}

/** Creates the content of a file without users, with a new secret. */
export function newUsersFile(crypto: RuntimeCrypto): UsersFile {
  return { secret: crypto.randomBytes(SECRET_BYTES), users: new Map() };
}

/** Formats the file's text; the inverse of {@link parseUsersFile}. */
export function formatUsersFile({ secret, users }: UsersFile): string {
  return `${JSON.stringify({ secret: encodeBase64(secret), users: Object.fromEntries(users) }, null, 2)}\n`;
}

/**
 * Parses the file's text.
 * @param path for the error message
 * @throws ConduitError INVALID_CONFIG, naming the invalid user or key
 */
export function parseUsersFile(text: string, path: string): UsersFile {
  const content = parseJson(text, path);
  if (!isMap(content) || !isMap(content["users"])) throw invalid(path, "it must have an object 'users'");
  const secret = typeof content["secret"] === "string" ? decodeBase64(content["secret"]) : null;
  if (secret?.length !== SECRET_BYTES) throw invalid(path, `its 'secret' must be ${SECRET_BYTES} bytes in base64`);
  const users = new Map<string, FileUser>();
  for (const [name, user] of Object.entries(content["users"])) {
    const { verifier, roles = [] } = isMap(user) ? user : {};
    const nameProblem = usernameProblem(name);
    if (nameProblem !== null) throw invalid(path, `the name of user ${JSON.stringify(name)} ${nameProblem}`);
    if (parseVerifier(verifier) === null) throw invalid(path, `user '${name}' has no valid verifier`);
    const problem = rolesProblem(roles);
    if (problem !== null) throw invalid(path, `the roles of user '${name}' ${problem}`);
    users.set(name, { verifier: verifier as string, roles: roles as readonly string[] });
  }
  return { secret, users };
}

function parseJson(text: string, path: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw invalid(path, messageOf(cause), cause);
  }
}

function invalid(path: string, why: string, cause?: unknown): ConduitError {
  const message = `The file of users ${path} is invalid: ${why}`;
  return new ConduitError(ErrorCode.INVALID_CONFIG, message, { cause });
}
