/** Who a client is. */

import { ConduitError, ErrorCode } from "../errors.ts";
import { isMap } from "../util/is-map.ts";
import type { AuthMethod } from "./peer-info.ts";

/** Bounds a name in frames, logs and maps. */
export const MAX_USERNAME_CHARS = 256;

/** The identity of a logged-in client, as in `connection.user`. Frozen. */
export interface User {
  /** Empty for a client that logged in with the shared password: it is nobody in particular. */
  readonly name: string;
  readonly roles: readonly string[];
  /** How the client proved it. */
  readonly method: AuthMethod;
  /** Facts that your program or a token states about the user; empty by default. */
  readonly claims: Readonly<Record<string, unknown>>;
}

/** What your program knows about a user. */
export interface Identity {
  /** 1 to 256 characters, no control characters; not `"netconduit"`, which stands for the shared password. */
  readonly name: string;
  /** Default: none. */
  readonly roles?: readonly string[] | undefined;
  /** Default: none. */
  readonly claims?: Readonly<Record<string, unknown>> | undefined;
}

/** The name that clients without a user name send; RFC 5802 requires one. */
export const NO_USERNAME = "netconduit";

/** Whether a name stands for the shared password. */
export function isNobody(name: string): boolean {
  return name === NO_USERNAME || name === "";
}

/** The rule that a user name breaks; null if it is allowed. */
export function usernameProblem(name: unknown): string | null {
  if (typeof name !== "string" || name === "") return "must be a non-empty string";
  if (name.length > MAX_USERNAME_CHARS) return `must have at most ${MAX_USERNAME_CHARS} characters`;
  if (/[\p{Cc}\p{Surrogate}]/u.test(name)) return "must not contain control characters or half of a surrogate pair";
  if (name === NO_USERNAME) return `must not be "${NO_USERNAME}", which stands for the shared password`;
  return null;
}

/** The rule that a list of roles breaks; null if it is allowed. */
export function rolesProblem(roles: unknown): string | null {
  const isList = Array.isArray(roles) && roles.every((role) => typeof role === "string" && role !== "");
  return isList ? null : "must be an array of non-empty strings";
}

/** @throws ConduitError INVALID_CONFIG if the program's identity isn't one */
export function makeUser(identity: Identity, method: AuthMethod): User {
  const { name, roles = [], claims = {} } = isMap(identity) ? (identity as unknown as Identity) : { name: undefined };
  const problem =
    usernameProblem(name) ?? rolesProblem(roles) ?? (isMap(claims) ? null : "must have a plain object as claims");
  if (problem !== null) {
    throw new ConduitError(ErrorCode.INVALID_CONFIG, `Invalid identity from the option authenticate: it ${problem}`);
  }
  return Object.freeze({
    name: name as string,
    roles: Object.freeze([...roles]),
    method,
    claims: Object.freeze({ ...claims }),
  });
}

function nobody(method: AuthMethod): User {
  return Object.freeze({ name: "", roles: Object.freeze([]), method, claims: Object.freeze({}) });
}

/** Shared by all clients that log in with the shared password. */
export const NOBODY: { readonly scram: User; readonly "password-hash": User } = {
  scram: nobody("scram"),
  "password-hash": nobody("password-hash"),
};
