/** The identity of a client. */

import { ConduitError, ErrorCode } from "../errors.ts";
import { isMap } from "../util/is-map.ts";
import type { AuthMethod } from "./peer-info.ts";

/** Limit of names in frames, logs and maps. */
const MAX_USERNAME_CHARS = 256;

/** The identity of a logged-in client, as in `connection.user`. Frozen. */
export interface User {
  /** Empty for a client that logged in with the shared password. */
  readonly name: string;
  readonly roles: readonly string[];
  /** How the client authenticated. */
  readonly method: AuthMethod;
  /** Data about the user from your program or a token; empty by default. */
  readonly claims: Readonly<Record<string, unknown>>;
  /** Expiry in Unix milliseconds, unless renewed; absent for none. */
  readonly expiresAt?: number;
}

/**
 * The owner of sessions and keys as a string for comparison: the login's method and the user's name. Names of
 * different methods come from different sources, such as `users` and tokens, and may belong to different people.
 */
export function identityOf({ method, name }: User): string {
  return JSON.stringify(name === "" ? ["", ""] : [method, name]);
}

/** The user's name in a result of {@link identityOf}. */
export function nameInIdentity(identity: string): string {
  return (JSON.parse(identity) as [string, string])[1];
}

/** A user as described by your program. */
export interface Identity {
  /** 1 to 256 characters, no control characters; not `"netconduit"`, which stands for the shared password. */
  readonly name: string;
  /** Default: none. */
  readonly roles?: readonly string[] | undefined;
  /** Default: none. */
  readonly claims?: Readonly<Record<string, unknown>> | undefined;
  /** Expiry in Unix milliseconds. The client is asked to renew it before that. Default: never. */
  readonly expiresAt?: number | undefined;
}

/** The name sent by clients without a user name, because RFC 5802 requires one. */
export const NO_USERNAME = "netconduit";

/** Whether a name stands for the shared password. */
export function isNobody(name: string): boolean {
  return name === NO_USERNAME || name === "";
}

/** The rule that a user name violates; null if it is valid. */
export function usernameProblem(name: unknown): string | null {
  if (typeof name !== "string" || name === "") return "must be a non-empty string";
  if (name.length > MAX_USERNAME_CHARS) return `must have at most ${MAX_USERNAME_CHARS} characters`;
  if (/[\p{Cc}\p{Surrogate}]/u.test(name)) return "must not contain control characters or half of a surrogate pair";
  if (name === NO_USERNAME) return `must not be "${NO_USERNAME}", which stands for the shared password`;
  return null;
}

/** The rule that a list of roles violates; null if it is valid. */
export function rolesProblem(roles: unknown): string | null {
  const isList = Array.isArray(roles) && roles.every((role) => typeof role === "string" && role !== "");
  return isList ? null : "must be an array of non-empty strings";
}

/** @throws ConduitError INVALID_CONFIG if the program's identity is invalid */
export function makeUser(identity: Identity, method: AuthMethod): User {
  const problem = identityProblem(identity);
  if (problem !== null) {
    throw new ConduitError(ErrorCode.INVALID_CONFIG, `Invalid identity from the option authenticate: ${problem}`);
  }
  const { name, roles = [], claims = {}, expiresAt } = identity;
  return Object.freeze({
    name,
    roles: Object.freeze([...roles]),
    method,
    claims: Object.freeze({ ...claims }),
    ...(expiresAt === undefined ? {} : { expiresAt }),
  });
}

/** In Unix seconds, these are times in 2001 to 5138; in milliseconds, in 1970 to 1973. */
const MIN_SECONDS = 1_000_000_000;
const MIN_MS = 100_000_000_000;

function identityProblem(identity: unknown): string | null {
  if (!isMap(identity)) return "it must be an object or null";
  const { name, roles = [], claims = {}, expiresAt = 0 } = identity;
  const problem = usernameProblem(name) ?? rolesProblem(roles);
  if (problem !== null) return `${usernameProblem(name) === null ? "roles" : "name"} ${problem}`;
  if (!isMap(claims)) return "claims must be a plain object";
  if (!Number.isFinite(expiresAt)) return "expiresAt must be a finite number of Unix milliseconds";
  // A JWT's `exp` is in seconds. Interpreted as milliseconds, it would silently make every token invalid.
  const isInSeconds = Number(expiresAt) > MIN_SECONDS && Number(expiresAt) < MIN_MS;
  return isInSeconds ? "expiresAt must be in milliseconds, and looks like seconds: multiply it by 1000" : null;
}

function nobody(method: AuthMethod): User {
  return Object.freeze({ name: "", roles: Object.freeze([]), method, claims: Object.freeze({}) });
}

/** Shared by all clients that log in with the shared password. */
export const NOBODY: { readonly scram: User; readonly "password-hash": User } = {
  scram: nobody("scram"),
  "password-hash": nobody("password-hash"),
};
