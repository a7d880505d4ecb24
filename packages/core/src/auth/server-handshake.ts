/**
 * The server's side of the login, no I/O: payloads in, steps out.
 *
 * A client sends AUTH_REQUEST. If it offers `scram`, it is challenged and answers with AUTH_RESPONSE. If all it has is
 * netconduit's password hash, that decides at once, provided the server allows it. Anything else ends the login; so does
 * a frame that comes while an earlier one is still being worked on.
 */

import { ConduitError, ErrorCode } from "../errors.ts";
import { passwordHash } from "../netconduit/password-hash.ts";
import type { RuntimeCrypto } from "../runtime.ts";
import { utf8 } from "../util/utf8.ts";
import { FrameType } from "../wire/constants.ts";
import { type AuthMethod, type PeerInfo, parsePeerInfo } from "./peer-info.ts";
import { ScramServer } from "./scram.ts";
import { constantTimeEqual, deriveServerKeys, type ScramServerKeys } from "./scram-keys.ts";

/** netconduit's own words. */
const INVALID_PASSWORD = "Invalid password";

/** What a server does next. */
export type ServerStep =
  /** Send AUTH_CHALLENGE. */
  | { readonly kind: "challenge"; readonly payload: { readonly data: string } }
  /** The peer knows the password. Send AUTH_SUCCESS, with the keys of `payload` in it. */
  | {
      readonly kind: "accepted";
      readonly method: AuthMethod;
      readonly peer: PeerInfo;
      /** `extensions` of AUTH_REQUEST, as it came. */
      readonly offer: unknown;
      readonly payload: { readonly scram?: string };
    }
  /** Send AUTH_FAILURE with `payload` and end the connection. `reason` is for this side's log. */
  | {
      readonly kind: "refused";
      readonly code: number;
      readonly reason: string;
      readonly payload: { readonly reason: string; readonly code: number };
    };

/** Inputs of {@link ServerAuthenticator.create}. */
export interface ServerAuthenticatorOptions {
  readonly password: string;
  readonly crypto: RuntimeCrypto;
  /** PBKDF2 rounds. */
  readonly iterations: number;
  /** Let netconduit peers log in with their hash, which can be replayed. */
  readonly allowPasswordHash: boolean;
}

/** What all logins of one server share. Holds no password. */
export class ServerAuthenticator {
  readonly keys: ScramServerKeys;
  readonly crypto: RuntimeCrypto;
  readonly #passwordHash: string | null;

  private constructor(keys: ScramServerKeys, crypto: RuntimeCrypto, hash: string | null) {
    this.keys = keys;
    this.crypto = crypto;
    this.#passwordHash = hash;
  }

  /**
   * Derives the keys, once, when a server starts.
   * @throws ConduitError INVALID_CONFIG for an empty password.
   */
  static async create(options: ServerAuthenticatorOptions): Promise<ServerAuthenticator> {
    const { password, crypto, iterations, allowPasswordHash } = options;
    const keys = await deriveServerKeys(password, iterations, crypto);
    return new ServerAuthenticator(keys, crypto, allowPasswordHash ? await passwordHash(password, crypto) : null);
  }

  get allowsPasswordHash(): boolean {
    return this.#passwordHash !== null;
  }

  /** Whether `hash` is netconduit's hash of the password, in constant time. False if hashes are not allowed. */
  matchesPasswordHash(hash: string): boolean {
    return this.#passwordHash !== null && constantTimeEqual(utf8(hash), utf8(this.#passwordHash));
  }
}

/** What an AUTH_REQUEST says beside its credentials. */
interface Introduction {
  readonly peer: PeerInfo;
  readonly offer: unknown;
}

/** One login. */
export class ServerHandshake {
  readonly #authenticator: ServerAuthenticator;
  /** The challenge that is out. */
  #challenge: { readonly scram: ScramServer; readonly introduction: Introduction } | null = null;
  #expecting: "request" | "response" | "nothing" = "request";

  constructor(authenticator: ServerAuthenticator) {
    this.#authenticator = authenticator;
  }

  /**
   * Takes one frame. Rejects only if the runtime's cryptography does; whatever a peer sends ends in a step.
   * @param payload the decoded payload; null for a frame without one, or one that is not a map.
   */
  async receive(frameType: number, payload: Record<string, unknown> | null): Promise<ServerStep> {
    const expecting = this.#expecting;
    this.#expecting = "nothing";
    if (expecting === "request" && frameType === FrameType.AUTH_REQUEST) return this.#request(payload);
    if (expecting === "response" && frameType === FrameType.AUTH_RESPONSE) return this.#response(payload);
    const type = `0x${frameType.toString(16).padStart(4, "0")}`;
    const wanted = expecting === "nothing" ? "no frame" : `AUTH_${expecting.toUpperCase()}`;
    return refused(ErrorCode.UNEXPECTED_FRAME, `Login expects ${wanted}, got frame type ${type}`);
  }

  #request(payload: Record<string, unknown> | null): ServerStep {
    if (payload === null) return malformed("AUTH_REQUEST must be a map");
    const { scram, password_hash, client_info, extensions: offer } = payload;
    if (scram !== undefined && typeof scram !== "string") return malformed("scram of AUTH_REQUEST must be a string");
    if (password_hash !== undefined && typeof password_hash !== "string") {
      return malformed("password_hash of AUTH_REQUEST must be a string");
    }
    const introduction = { peer: parsePeerInfo(client_info, offer), offer };
    if (scram !== undefined) return this.#issueChallenge(scram, introduction);
    if (password_hash !== undefined) return this.#judgeHash(password_hash, introduction);
    return refused(ErrorCode.AUTH_REQUIRED, "AUTH_REQUEST carries neither scram nor password_hash");
  }

  #issueChallenge(clientFirst: string, introduction: Introduction): ServerStep {
    const scram = new ScramServer(this.#authenticator.keys, this.#authenticator.crypto);
    try {
      const data = scram.first(clientFirst);
      this.#challenge = { scram, introduction };
      this.#expecting = "response";
      return { kind: "challenge", payload: { data } };
    } catch (error) {
      if (error instanceof ConduitError) return refused(error.code, error.message);
      throw error;
    }
  }

  #judgeHash(hash: string, introduction: Introduction): ServerStep {
    if (!this.#authenticator.allowsPasswordHash) {
      return refused(
        ErrorCode.PASSWORD_HASH_REFUSED,
        "This server does not accept password_hash, which can be replayed; its option allowPasswordHash: true lets peers of Python's netconduit in",
      );
    }
    if (!this.#authenticator.matchesPasswordHash(hash)) return wrongPassword(INVALID_PASSWORD);
    return { kind: "accepted", method: "password-hash", ...introduction, payload: {} };
  }

  async #response(payload: Record<string, unknown> | null): Promise<ServerStep> {
    const challenge = this.#challenge;
    const data = payload?.data;
    if (challenge === null || typeof data !== "string") {
      return malformed("AUTH_RESPONSE must be a map with a string data");
    }
    try {
      const scram = await challenge.scram.final(data);
      return { kind: "accepted", method: "scram", ...challenge.introduction, payload: { scram } };
    } catch (error) {
      if (error instanceof ConduitError) return wrongPassword(error.message);
      throw error;
    }
  }
}

function malformed(message: string): ServerStep {
  return refused(ErrorCode.INVALID_PAYLOAD_SHAPE, message);
}

/** The peer is told what netconduit tells it; the details (what was wrong with a proof) are not for a stranger. */
function wrongPassword(reason: string): ServerStep {
  return refused(ErrorCode.AUTH_FAILED, reason, INVALID_PASSWORD);
}

function refused(code: number, reason: string, told: string = reason): ServerStep {
  return { kind: "refused", code, reason, payload: { reason: told, code } };
}
