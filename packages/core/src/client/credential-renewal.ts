/** Provides a client's credentials, when it connects and when they expire. */

import type { LoginCredentials } from "../auth/client-handshake.ts";
import { isPrivate, type LoginTransport } from "../auth/login-methods.ts";
import type { ProtocolConnection } from "../connection/protocol-connection.ts";
import { ConduitError, ErrorCode } from "../errors.ts";
import { CREDENTIALS_FRAME, type Renewal, renewal } from "../extensions/renewal.ts";
import type { Awaitable } from "../util/awaitable.ts";
import { type ClientConfig, type Credentials, checkedCredentials } from "./client-options.ts";

/**
 * Minimum interval between requests for new credentials; earlier ones are ignored, because getting a token may be
 * expensive and servers accept one per second.
 */
const RENEW_EVERY_MS = 1000;

/** Result of an `onCredentialsExpiring` hook: new credentials, or nothing to use the option `credentials`. */
export type RenewedCredentials = Credentials | null | undefined;

/** A client's `onCredentialsExpiring`. */
export type RenewalHook = (expiresInMs: number) => RenewedCredentials | Promise<RenewedCredentials>;

/** Gets the credentials for a login; a promise if a function of the options is called, which rejects with its errors. */
export function credentialsOf(config: ClientConfig): LoginCredentials | Promise<LoginCredentials> {
  const { credentials, password, username } = config;
  if (typeof credentials === "function") return askCredentials(credentials);
  if (credentials !== undefined) return credentials;
  if (typeof password === "function") return askPassword(password, username);
  return { password: password as string, username };
}

async function askCredentials(ask: () => Awaitable<Credentials>): Promise<LoginCredentials> {
  return checkedCredentials(await ask());
}

async function askPassword(ask: () => Awaitable<string>, username: string | undefined): Promise<LoginCredentials> {
  return { password: await ask(), username };
}

/**
 * @throws ConduitError INSECURE_CONNECTION if a token would be sent over an insecure connection, or if TLS doesn't
 *   verify the server of a login by certificate
 */
export function mustBePrivate(credentials: LoginCredentials, stream: LoginTransport): void {
  if ("certificate" in credentials && stream.tls === null) {
    throw new ConduitError(
      ErrorCode.INSECURE_CONNECTION,
      "A login by certificate needs TLS, which verifies both sides: use the option tls",
    );
  }
  if (!("token" in credentials) || isPrivate(stream)) return;
  throw new ConduitError(
    ErrorCode.INSECURE_CONNECTION,
    "A token isn't sent over plain TCP, where others can read it: use the option tls, a Unix socket or the loopback address",
  );
}

/** Sends new credentials when the server announces that the client's token is about to expire. */
export class CredentialRenewal {
  readonly #config: ClientConfig;
  readonly #failed: (error: unknown) => void;
  #hook: RenewalHook | null = null;

  /** @param failed called with errors of the hook, the option and {@link mustBePrivate} */
  constructor(config: ClientConfig, failed: (error: unknown) => void) {
    this.#config = config;
    this.#failed = failed;
  }

  /** Replaces the hook. Returns a function that removes it. */
  setHook(hook: RenewalHook): () => void {
    this.#hook = hook;
    return () => {
      if (this.#hook === hook) this.#hook = null;
    };
  }

  /** The client has logged in. */
  watch(connection: Pick<ProtocolConnection<unknown>, "extension" | "stream">): void {
    const renewing = connection.extension(renewal);
    if (renewing !== undefined) renewing.expiring = (ms) => void this.#renew(renewing, connection.stream, ms);
  }

  async #renew(renewing: Renewal, stream: LoginTransport, expiresInMs: number): Promise<void> {
    const now = renewing.connection.context.runtime.now();
    if (renewing.isUnderWay || now < renewing.nextAtMs) return;
    renewing.isUnderWay = true;
    renewing.nextAtMs = now + RENEW_EVERY_MS;
    try {
      await this.#send(renewing, stream, expiresInMs);
    } catch (error) {
      this.#failed(error);
    } finally {
      renewing.isUnderWay = false;
    }
  }

  async #send({ connection }: Renewal, stream: LoginTransport, expiresInMs: number): Promise<void> {
    const renewed = (await this.#hook?.(expiresInMs)) ?? null;
    const credentials = renewed === null ? await credentialsOf(this.#config) : checkedCredentials(renewed);
    if (connection.isOpen && "token" in credentials) {
      mustBePrivate(credentials, stream);
      connection.sendPayload(CREDENTIALS_FRAME, { token: credentials.token });
    }
  }
}
