/**
 * SCRAM-SHA-256 (RFC 5802, RFC 7677), both roles, without I/O: messages in, messages out.
 *
 *   client-first   n,,n=user,r=<client nonce>
 *   server-first   r=<client nonce><server nonce>,s=<salt>,i=<iterations>
 *   client-final   c=biws,r=<both nonces>,p=<proof that the client knows the password>
 *   server-final   v=<proof that the server does>
 *
 * The password is never sent. The messages are bound to both nonces, so they can't be replayed. Channel binding isn't
 * offered (gs2 header `n,,`), because not all runtimes expose the TLS data it needs.
 */
import { ConduitError, ErrorCode } from "../errors.ts";
import type { RuntimeCrypto } from "../runtime.ts";
import { encodeBase64 } from "../util/base64.ts";
import { utf8 } from "../util/utf8.ts";
import {
  constantTimeEqual,
  keyCacheOf,
  normalizePassword,
  type ScramKeys,
  type ScramServerKeys,
} from "./scram-keys.ts";
import {
  CHANNEL_BINDING,
  escapeUsername,
  GS2_HEADER,
  isNoncePart,
  parseClientFinal,
  parseClientFirst,
  parseServerFinal,
  parseServerFirst,
} from "./scram-messages.ts";
import { NO_USERNAME } from "./user.ts";

/** The client's side of a login. Create a new one for each login. */
export class ScramClient {
  /** The first message of the login. */
  readonly clientFirst: string;
  readonly #bare: string;
  readonly #nonce: string;
  readonly #password: string;
  readonly #crypto: RuntimeCrypto;
  /** Expected signature of the server; set after the challenge was answered, until it is compared. */
  #serverSignature: Uint8Array | null = null;

  /**
   * @param options.username default: none, for the shared password.
   * @param options.nonce default: a random UUID. Set it in tests only.
   * @throws ConduitError INVALID_CONFIG for an empty password.
   */
  constructor(
    password: string,
    crypto: RuntimeCrypto,
    options: { readonly username?: string | undefined; readonly nonce?: string } = {},
  ) {
    this.#password = normalizePassword(password);
    this.#crypto = crypto;
    this.#nonce = options.nonce ?? randomNonce();
    this.#bare = `n=${escapeUsername(options.username ?? NO_USERNAME)},r=${this.#nonce}`;
    this.clientFirst = GS2_HEADER + this.#bare;
  }

  /**
   * Answers the server-first-message.
   * @returns the client-final-message; a promise if the keys of the password must be derived first.
   * @throws ConduitError INVALID_PAYLOAD_SHAPE for a malformed message or an unknown mandatory extension;
   *   SERVER_NOT_TRUSTED for a nonce that doesn't extend ours, or iterations out of range
   */
  challenge(serverFirst: string): string | Promise<string> {
    const { nonce, salt, iterations } = parseServerFirst(serverFirst);
    if (!nonce.startsWith(this.#nonce) || !isNoncePart(nonce.slice(this.#nonce.length))) {
      const message = "SCRAM: the server's nonce does not extend the client's by an allowed number of characters";
      throw new ConduitError(ErrorCode.SERVER_NOT_TRUSTED, message);
    }
    const keys = keyCacheOf(this.#crypto).get(this.#password, salt, iterations);
    if (keys instanceof Promise) return keys.then((derived) => this.#answer(derived, serverFirst, nonce));
    return this.#answer(keys, serverFirst, nonce);
  }

  #answer({ clientKey, storedKey, serverKey }: ScramKeys, serverFirst: string, nonce: string): string {
    const crypto = this.#crypto;
    const withoutProof = `c=${CHANNEL_BINDING},r=${nonce}`;
    const authMessage = utf8(`${this.#bare},${serverFirst},${withoutProof}`);
    const clientSignature = crypto.hmacSha256(storedKey, authMessage);
    this.#serverSignature = crypto.hmacSha256(serverKey, authMessage);
    return `${withoutProof},p=${encodeBase64(xor(clientKey, clientSignature))}`;
  }

  /**
   * Verifies the server-final-message. Returns only if the server has proved that it knows the password.
   * @throws ConduitError SERVER_NOT_TRUSTED for a wrong signature or a message out of turn; AUTH_FAILED for the
   *   server's `e=`; INVALID_PAYLOAD_SHAPE for a malformed message.
   */
  verify(serverFinal: string): void {
    const expected = this.#serverSignature;
    // Clear it before the comparison, so that a login can't be finished twice.
    this.#serverSignature = null;
    const signature = parseServerFinal(serverFinal);
    if (expected === null || !constantTimeEqual(signature, expected)) {
      throw new ConduitError(
        ErrorCode.SERVER_NOT_TRUSTED,
        "SCRAM: the server did not prove that it knows the password",
      );
    }
  }
}

/** The server's side of a login. Create a new one for each login. */
export class ScramServer {
  readonly #keys: ScramServerKeys;
  readonly #crypto: RuntimeCrypto;
  readonly #ownNonce: string;
  /** The pending challenge: its nonce, and AuthMessage up to that point. */
  #challenge: { readonly nonce: string; readonly signed: string } | null = null;

  /** @param nonce the server's part; default: a random UUID. Set it in tests only. */
  constructor(keys: ScramServerKeys, crypto: RuntimeCrypto, nonce: string = randomNonce()) {
    this.#keys = keys;
    this.#crypto = crypto;
    this.#ownNonce = nonce;
  }

  /**
   * Answers the client-first-message.
   * @returns the server-first-message.
   * @throws ConduitError INVALID_PAYLOAD_SHAPE for a malformed message, channel binding, another identity to act
   *   as, or an unknown mandatory extension.
   */
  first(clientFirst: string): string {
    const { bare, nonce: clientNonce } = parseClientFirst(clientFirst);
    const nonce = clientNonce + this.#ownNonce;
    const serverFirst = `r=${nonce},s=${encodeBase64(this.#keys.salt)},i=${this.#keys.iterations}`;
    this.#challenge = { nonce, signed: `${bare},${serverFirst}` };
    return serverFirst;
  }

  /**
   * Verifies the client-final-message. Each challenge can be answered once.
   * @returns the server-final-message.
   * @throws ConduitError INVALID_PAYLOAD_SHAPE for a malformed message; AUTH_FAILED for a wrong proof, another
   *   challenge's nonce, or an unexpected message. The error's message is for logs, not for the peer
   */
  final(clientFinal: string): string {
    const challenge = this.#challenge;
    this.#challenge = null;
    if (challenge === null) throw new ConduitError(ErrorCode.AUTH_FAILED, "SCRAM: no challenge is open");
    const { nonce, withoutProof, proof } = parseClientFinal(clientFinal);
    if (nonce !== challenge.nonce) {
      throw new ConduitError(ErrorCode.AUTH_FAILED, "SCRAM: the nonce is not that of the challenge");
    }
    const crypto = this.#crypto;
    const { storedKey, serverKey } = this.#keys;
    const authMessage = utf8(`${challenge.signed},${withoutProof}`);
    const clientSignature = crypto.hmacSha256(storedKey, authMessage);
    const provenKey = crypto.sha256(xor(proof, clientSignature));
    if (!constantTimeEqual(provenKey, storedKey)) {
      throw new ConduitError(ErrorCode.AUTH_FAILED, "Invalid password");
    }
    return `v=${encodeBase64(crypto.hmacSha256(serverKey, authMessage))}`;
  }
}

/** 122 random bits. */
function randomNonce(): string {
  return crypto.randomUUID();
}

/** XOR of two byte strings of equal length. */
function xor(a: Uint8Array, b: Uint8Array): Uint8Array {
  return a.map((byte, index) => byte ^ (b[index] ?? 0));
}
