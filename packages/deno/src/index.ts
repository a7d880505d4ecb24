/** netconduit on Deno. @module */

import { readFile } from "node:fs/promises";
import {
  type ClientInit,
  type Contract,
  Client as CoreClient,
  ClientPool as CoreClientPool,
  Server as CoreServer,
  type PoolInit,
  type ServerInit,
  scramVerifier as scramVerifierOn,
  type UsersFileLookup,
  type VerifierOptions,
} from "@netconduit/core";
import { usersFile as usersFileOn } from "@netconduit/core/adapter";
import { denoRuntime } from "./runtime.ts";

export * from "@netconduit/core";
export { fileStore } from "./file-store.ts";
export { denoRuntime } from "./runtime.ts";

/** A server on `Deno.listen` and `Deno.listenTls`. See `Server` in the core for its documentation. */
export class Server<C extends Contract = Contract, D extends object = Record<string, unknown>> extends CoreServer<
  C,
  D
> {
  /** @throws ConduitError INVALID_CONFIG, naming each invalid option with its rule and value. */
  constructor(options: ServerInit<C, D>) {
    super(options, denoRuntime);
  }
}

/** A client on `Deno.connect`, `Deno.startTls` and `Deno.connectTls`. See `Client` in the core for its documentation. */
export class Client<C extends Contract = Contract> extends CoreClient<C> {
  /** @throws ConduitError INVALID_CONFIG, naming each invalid option with its rule and value. */
  constructor(options: ClientInit<C>) {
    super(options, denoRuntime);
  }
}

/** A pool of clients on `Deno.connect`, `Deno.startTls` and `Deno.connectTls`. See `ClientPool` in the core for its documentation. */
export class ClientPool<C extends Contract = Contract> extends CoreClientPool<C> {
  /** @throws ConduitError INVALID_CONFIG, naming each invalid option with its rule and value. */
  constructor(options: PoolInit<C>) {
    super(options, denoRuntime);
  }
}

/**
 * Creates a verifier of a user's password with a new random salt. A server keeps it instead of the password.
 * @throws ConduitError INVALID_CONFIG for an empty password, or iterations out of range
 */
export function scramVerifier(password: string, options?: VerifierOptions): Promise<string> {
  return scramVerifierOn(password, denoRuntime, options);
}

/**
 * Reads a file written by the command `netconduit-users`, for a server's option `authenticate`.
 * @throws ConduitError INVALID_CONFIG if it can't be read or is invalid
 */
export function usersFile(path: string): Promise<UsersFileLookup> {
  return usersFileOn(path, (file) => readFile(file, "utf8"));
}
