/**
 * A server's users: finds the keys for verifying a login by name.
 *
 * As in PostgreSQL, an unknown name gets keys that no password matches, with a salt that only depends on the name, so
 * that a login with an unknown name always looks like one with a wrong password.
 */

import { ConduitError, ErrorCode } from "../errors.ts";
import type { RuntimeCrypto } from "../runtime.ts";
import { utf8 } from "../util/utf8.ts";
import { deriveServerKeys, SALT_BYTES, type ScramServerKeys } from "./scram-keys.ts";
import { makeUser, type User, usernameProblem } from "./user.ts";
import { formatVerifier, parseVerifier } from "./verifier.ts";

/** A user in the option `users`, with either `password` or `verifier`. */
export interface UserOptions {
  /** Not empty. Its keys are derived when the server starts, which takes some milliseconds per user. */
  readonly password?: string | undefined;
  /** From `scramVerifier(password)`. */
  readonly verifier?: string | undefined;
  /** Default: none. */
  readonly roles?: readonly string[] | undefined;
  /** Data about the user for your handlers, available as `connection.user.claims`. Default: none. */
  readonly claims?: Readonly<Record<string, unknown>> | undefined;
}

/** A user in the option `users`; a string is the verifier of a user without roles. */
export type UserEntry = UserOptions | string;

/** A user with a verifier instead of a password, as sent to other nodes of a cluster. */
export interface VerifiedUser {
  readonly verifier: string;
  readonly roles: readonly string[];
  readonly claims: Readonly<Record<string, unknown>>;
}

/** The result of a look-up: just the verifier, or with roles and claims. */
export type Verifier =
  | string
  | {
      /** From `scramVerifier(password)`. */
      readonly verifier: string;
      readonly roles?: readonly string[] | undefined;
      readonly claims?: Readonly<Record<string, unknown>> | undefined;
      /** Expiry in Unix milliseconds, after which logins fail and connections end. Default: never. */
      readonly expiresAt?: number | undefined;
    };

/** Finds a user by name; null if it doesn't exist. */
export type VerifierLookup = (username: string) => Verifier | null | Promise<Verifier | null>;

/** The keys and the user for verifying a login by name. */
export interface Credential {
  readonly keys: ScramServerKeys;
  /** Null if the user doesn't exist, in which case the login fails regardless of its proof. */
  readonly user: User | null;
}

/** Inputs of {@link Users}. */
export interface UsersSettings {
  readonly crypto: RuntimeCrypto;
  /** PBKDF2 iterations for passwords and for unknown names. */
  readonly iterations: number;
  /** Called for each name, although users in the table take precedence. Null for none. */
  readonly lookup: VerifierLookup | null;
  /** Derives the salts of unknown names. The same secret results in the same salts. */
  readonly secret: Uint8Array;
  /** The clock of `expiresAt`. */
  readonly wallClock: () => number;
}

export class Users {
  readonly #settings: UsersSettings;
  readonly #table = new Map<string, Credential>();

  constructor(settings: UsersSettings) {
    this.#settings = settings;
  }

  /** Adds or replaces a user. @throws ConduitError INVALID_CONFIG */
  async set(name: string, user: UserEntry): Promise<void> {
    this.put(name, await this.verified(name, user));
  }

  /** Converts a password to a verifier. @throws ConduitError INVALID_CONFIG */
  async verified(name: string, user: UserEntry): Promise<VerifiedUser> {
    const options: UserOptions = typeof user === "string" ? { verifier: user } : user;
    const { password, verifier = "", ...rest } = options;
    const { roles, claims } = makeUser({ ...rest, name }, "scram");
    if (password === undefined) return { verifier, roles, claims };
    const { iterations, crypto } = this.#settings;
    return { verifier: formatVerifier(await deriveServerKeys(password, iterations, crypto)), roles, claims };
  }

  /** Adds or replaces a user. @throws ConduitError INVALID_CONFIG */
  put(name: string, { verifier, roles, claims }: VerifiedUser): void {
    const keys = parseVerifier(verifier);
    if (keys === null) throw invalidVerifier(name);
    this.#table.set(name, { keys, user: makeUser({ name, roles, claims }, "scram") });
  }

  /** Removes a user. Returns whether it existed. */
  delete(name: string): boolean {
    return this.#table.delete(name);
  }

  /**
   * Takes the same steps for known and unknown names, so that timing doesn't distinguish them; names in the table are
   * looked up as well. Rejects if the look-up does.
   */
  async find(name: string): Promise<Credential> {
    const madeUp = this.#madeUp(name);
    const { lookup, wallClock } = this.#settings;
    const found = lookup === null || usernameProblem(name) !== null ? null : ((await lookup(name)) ?? null);
    const known = this.#table.get(name);
    if (known !== undefined) return known;
    if (found === null) return madeUp;
    const { verifier, ...rest } = typeof found === "string" ? { verifier: found } : found;
    const keys = parseVerifier(verifier);
    if (keys === null) throw invalidVerifier(name);
    const user = makeUser({ ...rest, name }, "scram");
    return user.expiresAt !== undefined && user.expiresAt <= wallClock() ? madeUp : { keys, user };
  }

  #madeUp(name: string): Credential {
    const { crypto, secret, iterations } = this.#settings;
    const derive = (what: string): Uint8Array => crypto.hmacSha256(secret, utf8(`${what},${name}`));
    const salt = derive("salt").slice(0, SALT_BYTES);
    return { keys: { salt, iterations, storedKey: derive("stored"), serverKey: derive("server") }, user: null };
  }
}

function invalidVerifier(name: string): ConduitError {
  return new ConduitError(
    ErrorCode.INVALID_CONFIG,
    `The verifier of user '${name}' is invalid: make it with scramVerifier(password)`,
  );
}
