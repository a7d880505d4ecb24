/**
 * The client's side of the login, without I/O: payloads in, steps out.
 *
 * AUTH_REQUEST offers SCRAM and, with `allowPasswordHash`, netconduit's password hash as well. A server of this
 * library sends a challenge and proves in AUTH_SUCCESS that it also knows the password. A netconduit server ignores
 * `scram` and checks the hash. Without `allowPasswordHash`, the client never accepts a server without that proof.
 */

import { ConduitError, ErrorCode, errorCodeName } from "../errors.ts";
import { passwordHash } from "../netconduit/password-hash.ts";
import type { RuntimeCrypto } from "../runtime.ts";
import { FrameType } from "../wire/constants.ts";
import { frameTypeText } from "../wire/frame-types.ts";
import {
  type AuthMethod,
  clippedText,
  infoPayload,
  type LocalInfo,
  type PeerInfo,
  parsePeerInfo,
} from "./peer-info.ts";
import { ScramClient } from "./scram.ts";

const frameTypes: ReadonlySet<number> = new Set(Object.values(FrameType));

/** Codes of AUTH_FAILURE that become the error's code; all others become AUTH_FAILED. */
export const failureCodes: ReadonlySet<unknown> = new Set<number>([
  ErrorCode.AUTH_FAILED,
  ErrorCode.SERVER_FULL,
  ErrorCode.AUTH_TIMEOUT,
  ErrorCode.PASSWORD_HASH_REFUSED,
  ErrorCode.LOGIN_METHOD_REFUSED,
  ErrorCode.SERVER_STOPPING,
  ErrorCode.RATE_LIMITED,
  ErrorCode.INTERNAL,
]);

/** The next login contains the token, which has to fit into a login frame. */
const MAX_TOKEN_CHARS = 1024;

/** Next action of the client. */
export type ClientStep =
  | {
      readonly kind: "send";
      readonly type: typeof FrameType.AUTH_RESPONSE;
      readonly payload: { readonly data: string } | { readonly data?: undefined; readonly token: string };
    }
  | {
      readonly kind: "accepted";
      readonly sessionToken: string;
      readonly server: PeerInfo;
      /** `extensions` of AUTH_SUCCESS, not validated. */
      readonly extensions: unknown;
      /** `resumed` and `expired` of AUTH_SUCCESS, not validated. */
      readonly resumed: unknown;
      readonly expired: unknown;
      readonly method: AuthMethod;
    }
  | { readonly kind: "failed"; readonly error: ConduitError };

/** A client's credentials. A password without a user name is the shared one. */
export type LoginCredentials =
  | { readonly password: string; readonly username?: string | undefined }
  | { readonly token: string }
  | { readonly certificate: true };

/** Inputs of {@link ClientHandshake}. */
export interface ClientHandshakeOptions {
  readonly credentials: LoginCredentials;
  readonly info: LocalInfo;
  /** The map of extensions that the client offers. */
  readonly offer: Readonly<Record<string, unknown>>;
  /** The session to resume. Default: none. */
  readonly resume?: { readonly token: string; readonly received: number } | undefined;
  /** Also sends netconduit's replayable hash to any server at the address. */
  readonly allowPasswordHash: boolean;
  readonly crypto: RuntimeCrypto;
}

/** One login. */
export class ClientHandshake {
  readonly #options: ClientHandshakeOptions;
  /** Null for a login by token or certificate. */
  readonly #scram: ScramClient | null;
  /**
   * `requested`: AUTH_REQUEST was sent. `answering`: a challenge is being processed. `answered`: AUTH_RESPONSE was
   * sent.
   */
  #stage: "new" | "requested" | "answering" | "answered" | "over" = "new";

  /** @throws ConduitError INVALID_CONFIG for an empty password. */
  constructor(options: ClientHandshakeOptions) {
    this.#options = options;
    const { credentials, crypto } = options;
    this.#scram = "password" in credentials ? new ScramClient(credentials.password, crypto, credentials) : null;
  }

  /**
   * Returns the payload of AUTH_REQUEST. Must be called once, before anything is received.
   * @throws ConduitError INVALID_STATE if called twice
   */
  start(): Record<string, unknown> {
    if (this.#stage !== "new") throw new ConduitError(ErrorCode.INVALID_STATE, "The login has been started already");
    this.#stage = "requested";
    const { credentials, info, offer, resume, allowPasswordHash, crypto } = this.#options;
    const session = resume === undefined ? {} : { resume };
    if (!("password" in credentials) || this.#scram === null) {
      const methods = "token" in credentials ? ["token"] : ["certificate"];
      return { client_info: infoPayload(info), methods, extensions: offer, ...session };
    }
    const { password } = credentials;
    const request = { client_info: infoPayload(info), scram: this.#scram.clientFirst, extensions: offer, ...session };
    // netconduit's keys come first and in its order, so that its server sees the same request as from its own client.
    return allowPasswordHash ? { password_hash: passwordHash(password, crypto), ...request } : request;
  }

  /**
   * Processes one frame. Returns a promise if the password's keys must be derived first. Fails only if the runtime's
   * cryptography does; any input from the peer results in a step.
   * @param payload the decoded payload; null if the frame has none, or if it isn't a map
   */
  receive(type: number, payload: Record<string, unknown> | null): ClientStep | Promise<ClientStep> {
    try {
      const step = this.#next(type, payload);
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

  #next(type: number, payload: Record<string, unknown> | null): ClientStep | Promise<ClientStep> {
    const stage = this.#stage;
    // A server that is full, is stopping or has timed out may reject the login at any time, even while a challenge is being processed.
    if (type === FrameType.AUTH_FAILURE && stage !== "new" && stage !== "over") {
      this.#stage = "over";
      return { kind: "failed", error: this.#refusal(payload, stage === "requested") };
    }
    if (type === FrameType.AUTH_CHALLENGE && stage === "requested") return this.#answer(payload);
    if (type === FrameType.AUTH_SUCCESS && (stage === "requested" || stage === "answered")) {
      this.#stage = "over";
      return this.#accept(payload, stage === "answered");
    }
    const name = frameTypeText(type);
    if (!frameTypes.has(type)) {
      throw new ConduitError(ErrorCode.NOT_NETCONDUIT, `The server answers the login with unknown frame type ${name}`);
    }
    throw new ConduitError(ErrorCode.UNEXPECTED_FRAME, `The server sent frame type ${name} out of turn in the login`);
  }

  #answer(payload: Record<string, unknown> | null): ClientStep | Promise<ClientStep> {
    this.#stage = "answering";
    const { credentials } = this.#options;
    if (this.#scram === null) return this.#sendToken(payload, credentials);
    const challenge = payload?.data;
    if (typeof challenge !== "string") {
      throw new ConduitError(ErrorCode.INVALID_PAYLOAD_SHAPE, "AUTH_CHALLENGE must be a map with a string data");
    }
    const data = this.#scram.challenge(challenge);
    return typeof data === "string" ? this.#sendProof(data) : data.then((proof) => this.#sendProof(proof));
  }

  #sendProof(data: string): ClientStep {
    if (this.#stage === "over") {
      throw new ConduitError(ErrorCode.INVALID_STATE, "The login ended before its challenge was answered");
    }
    this.#stage = "answered";
    return { kind: "send", type: FrameType.AUTH_RESPONSE, payload: { data } };
  }

  /** The server accepts tokens over this connection. */
  #sendToken(payload: Record<string, unknown> | null, credentials: LoginCredentials): ClientStep {
    const methods = payload?.methods;
    if (!("token" in credentials) || !Array.isArray(methods) || !methods.includes("token")) {
      throw new ConduitError(
        ErrorCode.UNEXPECTED_FRAME,
        "The server sent AUTH_CHALLENGE, and this login has no answer",
      );
    }
    this.#stage = "answered";
    return { kind: "send", type: FrameType.AUTH_RESPONSE, payload: { token: credentials.token } };
  }

  #accept(payload: Record<string, unknown> | null, isChallenged: boolean): ClientStep {
    const { session_token, server_info, scram, extensions, resumed, expired } = payload ?? {};
    if (this.#scram === null) {
      // TLS has verified the server, or the server is on this machine.
      if (isChallenged !== "token" in this.#options.credentials) {
        throw new ConduitError(ErrorCode.UNEXPECTED_FRAME, "The server accepted a login that this client didn't send");
      }
    } else if (isChallenged && typeof scram === "string") {
      this.#scram.verify(scram);
    } else if (isChallenged || !this.#options.allowPasswordHash) {
      throw new ConduitError(
        ErrorCode.SERVER_NOT_TRUSTED,
        "The server accepted the login without proving that it knows the password",
      );
    }
    if (typeof session_token !== "string" || session_token.length > MAX_TOKEN_CHARS) {
      const message = `session_token of AUTH_SUCCESS must be a string of at most ${MAX_TOKEN_CHARS} characters`;
      throw new ConduitError(ErrorCode.INVALID_PAYLOAD_SHAPE, message);
    }
    return {
      kind: "accepted",
      sessionToken: session_token,
      server: parsePeerInfo(server_info, extensions),
      extensions,
      resumed,
      expired,
      method: this.#method(isChallenged),
    };
  }

  #method(isChallenged: boolean): AuthMethod {
    if (this.#scram === null) return isChallenged ? "token" : "certificate";
    return isChallenged ? "scram" : "password-hash";
  }

  /** @param isFirstAnswer whether the server sent no challenge, so it may be a netconduit server */
  #refusal(payload: Record<string, unknown> | null, isFirstAnswer: boolean): ConduitError {
    const code = payload?.code;
    const reason = clippedText(payload?.reason) || "no reason given";
    if (code === undefined && isFirstAnswer && this.#scram === null) {
      const message = `The server refused the login (${reason}). It takes neither tokens nor certificates`;
      return new ConduitError(ErrorCode.LOGIN_METHOD_REFUSED, message);
    }
    if (code === undefined && isFirstAnswer && !this.#options.allowPasswordHash) {
      return new ConduitError(
        ErrorCode.PASSWORD_HASH_REFUSED,
        `The server refused the login (${reason}). It looks like a server of Python's netconduit, which knows only the password hash; ` +
          "the client's option allowPasswordHash: true sends it",
      );
    }
    if (typeof code === "number" && failureCodes.has(code)) {
      const message = `The server refused the login with ${errorCodeName(code)}: ${reason}`;
      const { retry_after, methods } = payload ?? {};
      if (Array.isArray(methods)) return new ConduitError(code, message, { details: { methods } });
      return new ConduitError(code, message, typeof retry_after === "number" ? { details: { retry_after } } : {});
    }
    return new ConduitError(
      ErrorCode.AUTH_FAILED,
      `The server refused the login: ${reason}`,
      code === undefined ? {} : { details: { code } },
    );
  }
}
