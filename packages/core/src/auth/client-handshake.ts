/**
 * The client's side of the login, no I/O: payloads in, steps out.
 *
 * AUTH_REQUEST offers SCRAM, and netconduit's password hash beside it where `allowPasswordHash` says so. A server of
 * ours challenges and, in AUTH_SUCCESS, proves that it knows the password too; a netconduit server ignores `scram` and
 * decides by the hash. Who has logged in to a server before may have its next challenge already, and answers that in
 * AUTH_REQUEST; a server that knows nothing of it challenges as ever. Without `allowPasswordHash` no server gets in that
 * has not proved itself, whatever it sends.
 */

import { type Extensions, isMap, negotiate, offered } from "../connection/extensions.ts";
import { ConduitError, ErrorCode, errorCodeName } from "../errors.ts";
import { passwordHash } from "../netconduit/password-hash.ts";
import type { RuntimeCrypto } from "../runtime.ts";
import { FrameType } from "../wire/constants.ts";
import type { NextLogins } from "./next-logins.ts";
import {
  type AuthMethod,
  clippedText,
  infoPayload,
  type LocalInfo,
  type PeerInfo,
  parsePeerInfo,
} from "./peer-info.ts";
import { isNonce, ScramClient, type ScramKeyCache } from "./scram.ts";
import { SERVER_NONCE_CHARS } from "./server-nonces.ts";

/** SCRAM wants a user name, this protocol has none: there is one password. */
const USERNAME = "netconduit";

const frameTypes: ReadonlySet<number> = new Set(Object.values(FrameType));

/** Codes of AUTH_FAILURE that become the error's code; any other becomes AUTH_FAILED. */
export const failureCodes: ReadonlySet<unknown> = new Set<number>([
  ErrorCode.AUTH_FAILED,
  ErrorCode.SERVER_FULL,
  ErrorCode.AUTH_TIMEOUT,
  ErrorCode.PASSWORD_HASH_REFUSED,
  ErrorCode.SERVER_STOPPING,
  ErrorCode.RATE_LIMITED,
]);

/** What a client does next. */
export type ClientStep =
  | {
      readonly kind: "send";
      readonly type: typeof FrameType.AUTH_RESPONSE;
      readonly payload: { readonly data: string };
    }
  | {
      readonly kind: "accepted";
      readonly sessionToken: string;
      readonly server: PeerInfo;
      readonly extensions: Extensions;
      readonly method: AuthMethod;
    }
  | { readonly kind: "failed"; readonly error: ConduitError };

/** Inputs of {@link ClientHandshake}. */
export interface ClientHandshakeOptions {
  readonly password: string;
  readonly info: LocalInfo;
  /** Also send netconduit's replayable hash, to whoever answers at the address. */
  readonly allowPasswordHash: boolean;
  readonly crypto: RuntimeCrypto;
  /** Lives as long as the client, so that a reconnect skips PBKDF2. */
  readonly cache: ScramKeyCache;
  /** Where challenges of logins to come are remembered; only where `advance` is allowed. Default: nowhere. */
  readonly next?: NextLoginOptions | undefined;
}

/** How a client remembers the challenge of its next login. */
export interface NextLoginOptions {
  readonly logins: NextLogins;
  /** Name of the server, of `loginTarget`. */
  readonly target: string;
  /** Monotonic milliseconds. */
  readonly now: () => number;
}

/** One login. */
export class ClientHandshake {
  readonly #options: ClientHandshakeOptions;
  readonly #scram: ScramClient;
  /** AUTH_REQUEST carried the answer to a challenge of an earlier login. */
  #answeredAhead = false;
  /** `requested`: AUTH_REQUEST is out. `answering`: a challenge is being worked on. `answered`: it is answered. */
  #stage: "new" | "requested" | "answering" | "answered" | "over" = "new";

  /** @throws ConduitError INVALID_CONFIG for an empty password. */
  constructor(options: ClientHandshakeOptions) {
    this.#options = options;
    this.#scram = new ScramClient({
      username: USERNAME,
      password: options.password,
      crypto: options.crypto,
      cache: options.cache,
    });
  }

  /**
   * The payload of AUTH_REQUEST. Call it once, before anything is received.
   * @returns a promise only for `allowPasswordHash`, and where the runtime's cryptography answers by promises.
   * @throws ConduitError INVALID_STATE the second time.
   */
  start(): Record<string, unknown> | Promise<Record<string, unknown>> {
    if (this.#stage !== "new") throw new ConduitError(ErrorCode.INVALID_STATE, "The login has been started already");
    this.#stage = "requested";
    const { password, allowPasswordHash, crypto } = this.#options;
    if (allowPasswordHash) return passwordHash(password, crypto).then((hash) => this.#request(hash));
    return this.#request(null);
  }

  #request(hash: string | null): Record<string, unknown> | Promise<Record<string, unknown>> {
    const proof = this.#proof();
    return proof instanceof Promise ? proof.then((late) => this.#payload(hash, late)) : this.#payload(hash, proof);
  }

  #proof(): string | null | Promise<string | null> {
    const { next } = this.#options;
    if (next === undefined) return null;
    const { logins, target } = next;
    const derivation = logins.peek(target, next.now());
    if (derivation === null) return null;
    return this.#scram.answerAhead(derivation, () => logins.take(target, derivation));
  }

  /** netconduit's keys come first and in its order, so its server sees the request that its own client sends. */
  #payload(hash: string | null, proof: string | null): Record<string, unknown> {
    this.#answeredAhead = proof !== null;
    const client_info = infoPayload(this.#options.info);
    const scram = this.#scram.clientFirst;
    const extensions = offered(this.#options.next !== undefined);
    const payload: Record<string, unknown> =
      hash === null ? { client_info, scram } : { password_hash: hash, client_info, scram };
    if (proof !== null) payload.proof = proof;
    payload.extensions = extensions;
    return payload;
  }

  /**
   * Takes one frame. Rejects, or throws, only if the runtime's cryptography does; whatever a peer sends ends in a step.
   * @param payload the decoded payload; null for a frame without one, or one that is not a map.
   * @returns a promise for a challenge.
   */
  receive(type: number, payload: Record<string, unknown> | null): ClientStep | Promise<ClientStep> {
    try {
      const step = this.#take(type, payload);
      return step instanceof Promise ? step.catch((error: unknown) => this.#failed(error)) : step;
    } catch (error) {
      return this.#failed(error);
    }
  }

  #failed(error: unknown): ClientStep {
    this.#stage = "over";
    if (error instanceof ConduitError) return { kind: "failed", error };
    throw error;
  }

  #take(type: number, payload: Record<string, unknown> | null): ClientStep | Promise<ClientStep> {
    const stage = this.#stage;
    // A server may give up at any time, also while a challenge is being worked on: it is full, stops, or lost patience.
    if (type === FrameType.AUTH_FAILURE && stage !== "new" && stage !== "over") throw this.#refusal(payload);
    if (type === FrameType.AUTH_CHALLENGE && stage === "requested") return this.#answer(payload);
    if (type === FrameType.AUTH_SUCCESS && (stage === "requested" || stage === "answered"))
      return this.#accept(payload);
    const name = `0x${type.toString(16).padStart(4, "0")}`;
    if (!frameTypes.has(type)) {
      throw new ConduitError(ErrorCode.NOT_NETCONDUIT, `The server answers the login with unknown frame type ${name}`);
    }
    throw new ConduitError(ErrorCode.UNEXPECTED_FRAME, `The server sent frame type ${name} out of turn in the login`);
  }

  async #answer(payload: Record<string, unknown> | null): Promise<ClientStep> {
    this.#stage = "answering";
    if (this.#answeredAhead) this.#forget();
    const challenge = payload?.data;
    if (typeof challenge !== "string") {
      throw new ConduitError(ErrorCode.INVALID_PAYLOAD_SHAPE, "AUTH_CHALLENGE must be a map with a string data");
    }
    const data = await this.#scram.challenge(challenge);
    // Asked through a method: another frame may have ended the login while the keys were derived.
    if (this.#isOver())
      throw new ConduitError(ErrorCode.INVALID_STATE, "The login ended before its challenge was answered");
    this.#stage = "answered";
    return { kind: "send", type: FrameType.AUTH_RESPONSE, payload: { data } };
  }

  #isOver(): boolean {
    return this.#stage === "over";
  }

  #accept(payload: Record<string, unknown> | null): ClientStep {
    const challenged = this.#stage === "answered";
    this.#stage = "over";
    if (!isMap(payload)) throw new ConduitError(ErrorCode.INVALID_PAYLOAD_SHAPE, "AUTH_SUCCESS must be a map");
    const { scram, session_token, server_info, extensions, next } = payload;
    const proven = (challenged || this.#answeredAhead) && typeof scram === "string";
    if (proven) {
      this.#scram.verify(scram);
    } else if (challenged || !this.#options.allowPasswordHash) {
      throw new ConduitError(
        ErrorCode.SERVER_NOT_TRUSTED,
        "The server accepted the login without proving that it knows the password",
      );
    } else {
      // It looked at the hash alone. A proof would be lost on it the next time, too.
      this.#forget();
    }
    if (typeof session_token !== "string") {
      throw new ConduitError(ErrorCode.INVALID_PAYLOAD_SHAPE, "session_token of AUTH_SUCCESS must be a string");
    }
    const agreed = negotiate(extensions, this.#options.next !== undefined);
    if (proven && agreed.advance) this.#remember(next);
    return {
      kind: "accepted",
      sessionToken: session_token,
      server: parsePeerInfo(server_info, extensions),
      extensions: agreed,
      method: proven ? "scram" : "password-hash",
    };
  }

  #remember(nonce: unknown): void {
    const { next } = this.#options;
    const { derivation } = this.#scram;
    if (next === undefined || derivation === null) return;
    if (typeof nonce !== "string" || nonce.length !== SERVER_NONCE_CHARS || !isNonce(nonce)) return;
    next.logins.add(next.target, derivation, nonce, next.now());
  }

  #forget(): void {
    const { next } = this.#options;
    next?.logins.forget(next.target);
  }

  #refusal(payload: Record<string, unknown> | null): ConduitError {
    const code = payload?.code;
    const reason = clippedText(payload?.reason) || "no reason given";
    if (code === undefined && this.#stage === "requested" && !this.#options.allowPasswordHash) {
      return new ConduitError(
        ErrorCode.PASSWORD_HASH_REFUSED,
        `The server refused the login (${reason}). It looks like a server of Python's netconduit, which knows only the password hash; ` +
          "the client's option allowPasswordHash: true sends it",
      );
    }
    if (typeof code === "number" && failureCodes.has(code)) {
      return new ConduitError(code, `The server refused the login with ${errorCodeName(code)}: ${reason}`);
    }
    return new ConduitError(
      ErrorCode.AUTH_FAILED,
      `The server refused the login: ${reason}`,
      code === undefined ? {} : { details: { code } },
    );
  }
}
