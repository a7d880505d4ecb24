/**
 * The users of a server: finds the keys that a login by name is checked against.
 *
 * A name that doesn't exist gets keys that no password fits, with a salt that only depends on the name, as PostgreSQL
 * does it. So a login with an unknown name looks like one with a wrong password, each time.
 */

import { ConduitError, ErrorCode } from "../errors.ts";
import type { RuntimeCrypto } from "../runtime.ts";
import { utf8 } from "../util/utf8.ts";
import { deriveServerKeys, SALT_BYTES, type ScramServerKeys } from "./scram-keys.ts";
import { makeUser, type User, usernameProblem } from "./user.ts";
import { formatVerifier, parseVerifier } from "./verifier.ts";

/** A user of the option `users`: `password` or `verifier`, and what it may do. */
export interface UserOptions {
  /** Not empty. Its keys are derived when the server starts, which takes some milliseconds for each user. */
  readonly password?: string | undefined;
  /** From `scramVerifier(password)`. */
  readonly verifier?: string | undefined;
  /** Default: none. */
  readonly roles?: readonly string[] | undefined;
  /** Facts about the user for your handlers, as `connection.user.claims`. Default: none. */
  readonly claims?: Readonly<Record<string, unknown>> | undefined;
}

/** A user as in the option `users`; a text is the verifier of a user without roles. */
export type UserEntry = UserOptions | string;

/** A user without its password: what other nodes of a cluster need to know. */
export interface VerifiedUser {
  readonly verifier: string;
  readonly roles: readonly string[];
  readonly claims: Readonly<Record<string, unknown>>;
}

/** A user that your program looked up: the verifier alone, or with what the user may do. */
export type Verifier =
  | string
  | {
      /** From `scramVerifier(password)`. */
      readonly verifier: string;
      readonly roles?: readonly string[] | undefined;
      readonly claims?: Readonly<Record<string, unknown>> | undefined;
      /** When the user ends, in Unix milliseconds: its logins fail then, and its connections end. Default: never. */
      readonly expiresAt?: number | undefined;
    };

/** Finds a user by name; null if there is none. */
export type VerifierLookup = (username: string) => Verifier | null | Promise<Verifier | null>;

/** The keys and the user that a login by name is checked against. */
export interface Credential {
  readonly keys: ScramServerKeys;
  /** Null if there is no such user: then the login fails, whatever its proof. */
  readonly user: User | null;
}

/** Inputs of {@link Users}. */
export interface UsersSettings {
  readonly crypto: RuntimeCrypto;
  /** PBKDF2 iterations for passwords, and for names that don't exist. */
  readonly iterations: number;
  /** Asked for each name; the table comes first. Null if there is none. */
  readonly lookup: VerifierLookup | null;
  /** Makes the salts of names that don't exist. The same secret gives the same salts. */
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

  /** Replaces the password by a verifier. @throws ConduitError INVALID_CONFIG */
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

  /** Returns whether there was such a user. */
  delete(name: string): boolean {
    return this.#table.delete(name);
  }

  /**
   * Takes the same steps for names that exist and for others, so that their time doesn't tell them apart: names of the
   * table are looked up, too. Rejects if the lookup does.
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
