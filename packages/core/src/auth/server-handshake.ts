/**
 * The server's side of the login, no I/O: payloads in, steps out.
 *
 * A client sends AUTH_REQUEST. If it offers `scram`, it is challenged and answers with AUTH_RESPONSE; if it has been
 * challenged in advance, at its last login, its answer comes with the request. If all it has is netconduit's password
 * hash, that decides at once, provided the server allows it. Anything else ends the login; so does a frame that comes
 * while an earlier one is still being worked on, because no honest client knows what to send.
 */

import { type Extensions, isMap, negotiate, toPayload } from "../connection/extensions.ts";
import { ConduitError, ErrorCode } from "../errors.ts";
import { passwordHash } from "../netconduit/password-hash.ts";
import type { RuntimeCrypto } from "../runtime.ts";
import { FrameType } from "../wire/constants.ts";
import type { AcceptedPayload } from "./auth-success.ts";
import { type AuthMethod, type PeerInfo, parsePeerInfo } from "./peer-info.ts";
import {
  constantTimeEqual,
  judgeAhead,
  parseAhead,
  type ScramAhead,
  type ScramResult,
  ScramServer,
  ScramServerKeys,
} from "./scram.ts";
import { utf8 } from "./scram-keys.ts";
import { ServerNonces } from "./server-nonces.ts";

/** netconduit's own words. */
const INVALID_PASSWORD = "Invalid password";

/** What a server does next. */
export type ServerStep =
  /** Send AUTH_CHALLENGE. */
  | { readonly kind: "challenge"; readonly payload: { readonly data: string } }
  /** The peer knows the password. Send AUTH_SUCCESS with session token, server info and the keys of `payload`. */
  | {
      readonly kind: "accepted";
      readonly method: AuthMethod;
      readonly peer: PeerInfo;
      readonly extensions: Extensions;
      readonly payload: AcceptedPayload;
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
  /** Monotonic milliseconds. */
  readonly now: () => number;
  /** PBKDF2 rounds, 4096 to 1,000,000. Default 15,000. */
  readonly iterations?: number | undefined;
  /** Let netconduit peers log in with their replayable hash. */
  readonly allowPasswordHash: boolean;
}

/** What all logins of one server share. Holds no password. */
export class ServerAuthenticator {
  readonly keys: ScramServerKeys;
  readonly crypto: RuntimeCrypto;
  /** Challenges of logins to come. */
  readonly nonces: ServerNonces;
  readonly #passwordHash: Uint8Array | null;

  private constructor(keys: ScramServerKeys, crypto: RuntimeCrypto, nonces: ServerNonces, hash: Uint8Array | null) {
    this.keys = keys;
    this.crypto = crypto;
    this.nonces = nonces;
    this.#passwordHash = hash;
  }

  /**
   * Derives the keys, once, when a server starts.
   * @throws ConduitError INVALID_CONFIG for an empty password or iterations out of range.
   */
  static async create(options: ServerAuthenticatorOptions): Promise<ServerAuthenticator> {
    const { password, crypto, now, iterations, allowPasswordHash } = options;
    const keys = await ScramServerKeys.derive({ password, crypto, iterations });
    const hash = allowPasswordHash ? utf8(await passwordHash(password, crypto)) : null;
    return new ServerAuthenticator(keys, crypto, new ServerNonces(crypto, now), hash);
  }

  get allowsPasswordHash(): boolean {
    return this.#passwordHash !== null;
  }

  /** Whether `hash` is netconduit's hash of the password, in constant time. False if hashes are not allowed. */
  matchesPasswordHash(hash: string): boolean {
    return this.#passwordHash !== null && constantTimeEqual(utf8(hash), this.#passwordHash);
  }
}

interface Request {
  readonly scram: string | undefined;
  readonly passwordHash: string | undefined;
  /** A client-final-message in advance, where the client offers `advance`. */
  readonly proof: string | undefined;
  readonly peer: PeerInfo;
  readonly extensions: Extensions;
}

/** An AUTH_REQUEST, looked at when it arrived. */
interface Arrival {
  /** Or what is wrong with it. */
  readonly request: Request | ConduitError;
  readonly ahead: ScramAhead | null;
  /** Whether the challenge that `ahead` answers was one of this server's, and unused. */
  readonly redeemed: boolean | Promise<boolean>;
}

/** One login. */
export class ServerHandshake {
  readonly #authenticator: ServerAuthenticator;
  readonly #mayAdvance: boolean;
  #expecting: "request" | "response" | "nothing" = "request";
  #arrival: Arrival | null = null;
  #scram: ScramServer | null = null;

  /** @param mayAdvance the server allows `advance`, and nobody can read or hold back what is sent */
  constructor(authenticator: ServerAuthenticator, mayAdvance: boolean) {
    this.#authenticator = authenticator;
    this.#mayAdvance = mayAdvance;
  }

  /**
   * Takes note of an AUTH_REQUEST that is here, though it may have to wait for `receive`, or be refused without it. The
   * challenge that it answers is used up now, whatever becomes of it: whoever recorded it could play it again.
   */
  arrived(payload: Record<string, unknown> | null): void {
    this.#arrival ??= readRequest(payload, this.#authenticator.nonces, this.#mayAdvance);
  }

  /**
   * Takes one frame. Rejects, or throws, only if the runtime's cryptography does; whatever a peer sends ends in a step.
   * @param payload the decoded payload; null for a frame without one, or one that is not a map.
   * @returns a promise only where the runtime's cryptography answers by promises.
   */
  receive(frameType: number, payload: Record<string, unknown> | null): ServerStep | Promise<ServerStep> {
    const expecting = this.#expecting;
    this.#expecting = "nothing";
    if (expecting === "request" && frameType === FrameType.AUTH_REQUEST) return this.#onRequest(payload);
    if (expecting === "response" && frameType === FrameType.AUTH_RESPONSE) return this.#onResponse(payload);
    const type = `0x${frameType.toString(16).padStart(4, "0")}`;
    const wanted = expecting === "nothing" ? "no frame" : `AUTH_${expecting.toUpperCase()}`;
    return refused(ErrorCode.UNEXPECTED_FRAME, `Login expects ${wanted}, got frame type ${type}`);
  }

  #onRequest(payload: Record<string, unknown> | null): ServerStep | Promise<ServerStep> {
    this.arrived(payload);
    const { request, ahead, redeemed } = this.#arrival as Arrival;
    if (request instanceof ConduitError) return refused(request.code, request.message);
    if (redeemed instanceof Promise) return redeemed.then(this.#decideLate.bind(this, request, ahead));
    return this.#decide(request, redeemed === true ? ahead : null);
  }

  #decideLate(request: Request, ahead: ScramAhead | null, redeemed: boolean): ServerStep | Promise<ServerStep> {
    return this.#decide(request, redeemed ? ahead : null);
  }

  /** @param ahead the proof in advance that is to decide; null: none is */
  #decide(request: Request, ahead: ScramAhead | null): ServerStep | Promise<ServerStep> {
    const authenticator = this.#authenticator;
    if (ahead !== null) return this.#judged(request, judgeAhead(authenticator.keys, authenticator.crypto, ahead));
    if (request.scram !== undefined) return this.#challenge(request.scram);
    if (request.passwordHash === undefined) {
      return refused(ErrorCode.AUTH_REQUIRED, "AUTH_REQUEST carries neither scram nor password_hash");
    }
    if (!authenticator.allowsPasswordHash) {
      return refused(
        ErrorCode.PASSWORD_HASH_REFUSED,
        "This server does not accept password_hash, which can be replayed; its option allowPasswordHash: true lets peers of Python's netconduit in",
      );
    }
    if (!authenticator.matchesPasswordHash(request.passwordHash)) return wrongPassword();
    return accepted("password-hash", request, withExtensions(request, {}));
  }

  #challenge(clientFirst: string): ServerStep {
    const scram = new ScramServer(this.#authenticator.keys, this.#authenticator.crypto);
    try {
      const data = scram.first(clientFirst);
      this.#scram = scram;
      this.#expecting = "response";
      return { kind: "challenge", payload: { data } };
    } catch (error) {
      if (error instanceof ConduitError) return refused(error.code, error.message);
      throw error;
    }
  }

  #onResponse(payload: Record<string, unknown> | null): ServerStep | Promise<ServerStep> {
    const request = this.#arrival?.request;
    const scram = this.#scram;
    const data = payload?.data;
    if (request === undefined || request instanceof ConduitError || scram === null || typeof data !== "string") {
      return refused(ErrorCode.INVALID_PAYLOAD_SHAPE, "AUTH_RESPONSE must be a map with a string data");
    }
    return this.#judged(request, scram.final(data));
  }

  #judged(request: Request, result: ScramResult | Promise<ScramResult>): ServerStep | Promise<ServerStep> {
    if (result instanceof Promise) return result.then(this.#judged.bind(this, request));
    if (!result.ok) return wrongPassword(result.reason);
    const { serverFinal } = result;
    if (!request.extensions.advance) return accepted("scram", request, withExtensions(request, { scram: serverFinal }));
    const next = this.#authenticator.nonces.issue();
    if (next instanceof Promise) return next.then(advanced.bind(null, request, serverFinal));
    return advanced(request, serverFinal, next);
  }
}

/** @throws ConduitError INVALID_PAYLOAD_SHAPE. */
function parseRequest(payload: Record<string, unknown> | null, mayAdvance: boolean): Request {
  if (!isMap(payload)) throw misshapen("AUTH_REQUEST must be a map");
  const { scram, password_hash, client_info, extensions: offer } = payload;
  if (scram !== undefined && typeof scram !== "string") throw misshapen("scram of AUTH_REQUEST must be a string");
  if (password_hash !== undefined && typeof password_hash !== "string") {
    throw misshapen("password_hash of AUTH_REQUEST must be a string");
  }
  const extensions = negotiate(offer, mayAdvance);
  const proof = extensions.advance ? payload.proof : undefined;
  if (proof !== undefined && typeof proof !== "string") throw misshapen("proof of AUTH_REQUEST must be a string");
  return { scram, passwordHash: password_hash, proof, peer: parsePeerInfo(client_info, offer), extensions };
}

function misshapen(message: string): ConduitError {
  return new ConduitError(ErrorCode.INVALID_PAYLOAD_SHAPE, message);
}

function readRequest(payload: Record<string, unknown> | null, nonces: ServerNonces, mayAdvance: boolean): Arrival {
  try {
    const request = parseRequest(payload, mayAdvance);
    if (request.scram === undefined || request.proof === undefined) return { request, ahead: null, redeemed: false };
    const ahead = parseAhead(request.scram, request.proof);
    const redeemed = nonces.redeem(ahead.clientFinal, ahead.serverNonceStart, ahead.nonceEnd);
    // Whoever goes on with this request hears of it; the others have no use for it.
    if (redeemed instanceof Promise) redeemed.catch(() => undefined);
    return { request, ahead, redeemed };
  } catch (error) {
    if (error instanceof ConduitError) return { request: error, ahead: null, redeemed: false };
    throw error;
  }
}

/** A login by SCRAM after which the next one takes one round trip. */
function advanced(request: Request, scram: string, next: string): ServerStep {
  // All at once: whoever knows this extension names some.
  return accepted("scram", request, { scram, next, extensions: toPayload(request.extensions) });
}

function withExtensions({ peer, extensions }: Request, payload: AcceptedPayload): AcceptedPayload {
  return peer.netconduit ? payload : { ...payload, extensions: toPayload(extensions) };
}

function accepted(method: AuthMethod, { peer, extensions }: Request, payload: AcceptedPayload): ServerStep {
  return { kind: "accepted", method, peer, extensions, payload };
}

/** The peer is told what netconduit tells it; the details (what was wrong with a proof) are not for a stranger. */
function wrongPassword(reason: string = INVALID_PASSWORD): ServerStep {
  return refused(ErrorCode.AUTH_FAILED, reason, INVALID_PASSWORD);
}

function refused(code: number, reason: string, told: string = reason): ServerStep {
  return { kind: "refused", code, reason, payload: { reason: told, code } };
}
