/**
 * The server's side of the login, without I/O: payloads in, steps out.
 *
 * A client sends AUTH_REQUEST. If it offers `scram`, it gets a challenge and answers with AUTH_RESPONSE. If it only
 * sends netconduit's password hash, the hash is checked, provided the server allows it. Anything else ends the login,
 * including a frame that arrives while an earlier one is being processed.
 *
 * If the server has users, the name in `scram` selects the keys. Otherwise the name is ignored, and the password is
 * the shared one.
 */

import type { TlsInfo } from "../bytes/byte-stream.ts";
import { ConduitError, ErrorCode } from "../errors.ts";
import { passwordHash } from "../netconduit/password-hash.ts";
import type { RuntimeCrypto } from "../runtime.ts";
import { utf8 } from "../util/utf8.ts";
import { FrameType } from "../wire/constants.ts";
import { frameTypeText } from "../wire/frame-types.ts";
import { type CertificateCheck, isPrivate, type LoginTransport, type TokenCheck } from "./login-methods.ts";
import { type AuthMethod, isSamePeerInfo, type PeerInfo, parsePeerInfo } from "./peer-info.ts";
import { ScramServer } from "./scram.ts";
import { constantTimeEqual, deriveServerKeys, type ScramServerKeys } from "./scram-keys.ts";
import { parseClientFirst } from "./scram-messages.ts";
import { type Identity, isNobody, makeUser, NOBODY, type User } from "./user.ts";
import type { Credential, Users } from "./users.ts";

/** netconduit's wording. */
const INVALID_PASSWORD = "Invalid password";

/** Next action of the server. */
export type ServerStep =
  /** Send AUTH_CHALLENGE. */
  | {
      readonly kind: "challenge";
      readonly payload: { readonly data: string } | { readonly data?: undefined; readonly methods: readonly string[] };
    }
  /** The peer has authenticated. Send AUTH_SUCCESS, including the entries of `payload`. */
  | {
      readonly kind: "accepted";
      readonly user: User;
      readonly peer: PeerInfo;
      /** `extensions` of AUTH_REQUEST, not validated. */
      readonly offer: unknown;
      /** `resume` of AUTH_REQUEST, not validated. */
      readonly resume: unknown;
      readonly payload: { readonly scram?: string };
    }
  /** Send AUTH_FAILURE with `payload` and end the connection. `reason` is for this side's logs. */
  | {
      readonly kind: "refused";
      readonly code: number;
      readonly reason: string;
      readonly payload: {
        readonly reason: string;
        readonly code: number;
        readonly retry_after?: number;
        readonly methods?: readonly string[];
      };
    };

/** Inputs of {@link ServerAuthenticator.create}. */
export interface ServerAuthenticatorOptions {
  /** The shared password; null for none. */
  readonly password: string | null;
  /** Default: the server has no users. */
  readonly users?: Users | null;
  /** Default: tokens aren't accepted. */
  readonly token?: TokenCheck | undefined;
  /** Default: certificates aren't mapped to identities. */
  readonly certificate?: CertificateCheck | undefined;
  /** The clock of `expiresAt`. Default: nothing expires. */
  readonly wallClock?: () => number;
  readonly crypto: RuntimeCrypto;
  /** PBKDF2 rounds. */
  readonly iterations: number;
  /** Accept netconduit's replayable password hash. */
  readonly allowPasswordHash: boolean;
}

/** State shared by all logins of a server. Doesn't contain the password. */
export class ServerAuthenticator {
  /** Null if there is no shared password. */
  readonly #keys: ScramServerKeys | null;
  readonly #users: Users | null;
  readonly #options: ServerAuthenticatorOptions;
  readonly crypto: RuntimeCrypto;
  readonly #passwordHash: string | null;
  #lastPeerInfo: PeerInfo | null = null;

  private constructor(
    options: Omit<ServerAuthenticatorOptions, "password">,
    keys: ScramServerKeys | null,
    passwordHash: string | null,
  ) {
    this.#keys = keys;
    this.#users = options.users ?? null;
    this.#options = { ...options, password: null };
    this.crypto = options.crypto;
    this.#passwordHash = passwordHash;
  }

  /**
   * Derives the keys. Called once, when a server starts.
   * @throws ConduitError INVALID_CONFIG for an empty password.
   */
  static async create(options: ServerAuthenticatorOptions): Promise<ServerAuthenticator> {
    const { password, crypto, iterations, allowPasswordHash } = options;
    if (password === null) return new ServerAuthenticator(options, null, null);
    const keys = await deriveServerKeys(password, iterations, crypto);
    const hash = allowPasswordHash ? passwordHash(password, crypto) : null;
    return new ServerAuthenticator(options, keys, hash);
  }

  /** Whether a name and password can log in. */
  get takesPasswords(): boolean {
    return this.#keys !== null || this.#users !== null;
  }

  /** The login methods offered to clients over this connection. */
  methodsFor(transport: LoginTransport): string[] {
    const { token, certificate } = this.#options;
    const methods = this.takesPasswords ? ["scram"] : [];
    if (token !== undefined && isPrivate(transport)) methods.push("token");
    if (certificate !== undefined && transport.tls?.peerVerified === true) methods.push("certificate");
    return methods;
  }

  /** Returns a token's identity; null if the token is invalid. Rejects if the application's function does. */
  async userOfToken(token: string): Promise<User | null> {
    return this.#userOf((await this.#options.token?.(token)) ?? null, "token");
  }

  /** Returns a verified certificate's identity; null if it has none. Rejects if the application's function does. */
  async userOfCertificate(tls: TlsInfo): Promise<User | null> {
    return this.#userOf((await this.#options.certificate?.(tls)) ?? null, "certificate");
  }

  #userOf(identity: Identity | null, method: AuthMethod): User | null {
    if (identity === null) return null;
    const user = makeUser(identity, method);
    const now = this.#options.wallClock?.() ?? 0;
    return user.expiresAt !== undefined && user.expiresAt <= now ? null : user;
  }

  /** Returns the keys for verifying a SCRAM login, and their user. Rejects if the application's look-up does. */
  async credentialOf(username: string): Promise<Credential> {
    if (this.#keys !== null && (this.#users === null || isNobody(username))) {
      return { keys: this.#keys, user: NOBODY.scram };
    }
    // A server that accepts passwords has a shared one or users.
    return await (this.#users as Users).find(username);
  }

  /** Returns a shared copy of equal infos, which saves 0.15 KiB per connection for clients of the same program. */
  sharedPeerInfo(info: PeerInfo): PeerInfo {
    if (this.#lastPeerInfo === null || !isSamePeerInfo(this.#lastPeerInfo, info)) this.#lastPeerInfo = info;
    return this.#lastPeerInfo;
  }

  get allowsPasswordHash(): boolean {
    return this.#passwordHash !== null;
  }

  /** Whether `hash` is netconduit's hash of the password, in constant time. False if hashes aren't allowed. */
  matchesPasswordHash(hash: string): boolean {
    return this.#passwordHash !== null && constantTimeEqual(utf8(hash), utf8(this.#passwordHash));
  }
}

/** Data of an AUTH_REQUEST other than credentials. */
interface Introduction {
  readonly peer: PeerInfo;
  readonly offer: unknown;
  readonly resume: unknown;
}

/** The frame that a login waits for, and the state needed until it arrives. */
type Stage =
  | { readonly awaits: "request" | "nothing" }
  | { readonly awaits: "token"; readonly introduction: Introduction }
  | {
      readonly awaits: "proof";
      readonly introduction: Introduction;
      readonly scram: ScramServer;
      /** Null if the user doesn't exist. */
      readonly user: User | null;
      /** Null for the shared password. */
      readonly username: string | null;
    };

const AWAITED_FRAMES = {
  request: "AUTH_REQUEST",
  token: "AUTH_RESPONSE",
  proof: "AUTH_RESPONSE",
  nothing: "no frame",
} as const;

/** One login. */
export class ServerHandshake {
  readonly #authenticator: ServerAuthenticator;
  readonly #transport: LoginTransport;
  #stage: Stage = { awaits: "request" };

  constructor(authenticator: ServerAuthenticator, transport: LoginTransport) {
    this.#authenticator = authenticator;
    this.#transport = transport;
  }

  /** The user whose password is verified; null for the shared one. */
  get username(): string | null {
    return this.#stage.awaits === "proof" ? this.#stage.username : null;
  }

  /** Whether the answer to this frame reveals if a password is correct. Tokens are too long to be guessed. */
  isGuess(frameType: number, payload: Record<string, unknown> | null): boolean {
    const { awaits } = this.#stage;
    if (awaits === "proof") return frameType === FrameType.AUTH_RESPONSE;
    return awaits === "request" && payload?.scram == null && payload?.password_hash != null;
  }

  /** Processes a frame that is a guess, synchronously. */
  guess(frameType: number, payload: Record<string, unknown> | null): ServerStep {
    return this.receive(frameType, payload) as ServerStep;
  }

  /**
   * Processes one frame. Returns a promise if the application's functions or users are needed, which isn't the case
   * for guesses. Fails only if these or the runtime's cryptography fail; any input from the peer results in a step.
   * @param payload the decoded payload; null if it isn't a valid map
   */
  receive(frameType: number, payload: Record<string, unknown> | null): ServerStep | Promise<ServerStep> {
    const stage = this.#stage;
    // Another frame before this one is processed is a protocol error.
    this.#stage = { awaits: "nothing" };
    if (stage.awaits === "request" && frameType === FrameType.AUTH_REQUEST) return this.#request(payload);
    if (stage.awaits === "token" && frameType === FrameType.AUTH_RESPONSE) return this.#judgeToken(payload, stage);
    if (stage.awaits === "proof" && frameType === FrameType.AUTH_RESPONSE) return this.#judgeProof(payload, stage);
    const message = `Login expects ${AWAITED_FRAMES[stage.awaits]}, got frame type ${frameTypeText(frameType)}`;
    return refused(ErrorCode.UNEXPECTED_FRAME, message);
  }

  #request(payload: Record<string, unknown> | null): ServerStep | Promise<ServerStep> {
    if (payload === null) return malformed("The payload of AUTH_REQUEST must be a MessagePack map");
    const { client_info, extensions: offer, resume } = payload;
    const scram = payload.scram ?? undefined;
    const password_hash = payload.password_hash ?? undefined;
    if (scram !== undefined && typeof scram !== "string") return malformed("scram of AUTH_REQUEST must be a string");
    if (password_hash !== undefined && typeof password_hash !== "string") {
      return malformed("password_hash of AUTH_REQUEST must be a string");
    }
    const peer = this.#authenticator.sharedPeerInfo(parsePeerInfo(client_info, offer));
    const introduction = { peer, offer, resume };
    if (scram !== undefined && this.#authenticator.takesPasswords) return this.#findKeys(scram, introduction);
    if (scram !== undefined) return this.#refuseMethod("passwords");
    if (password_hash !== undefined) return this.#judgeHash(password_hash, introduction);
    if (Array.isArray(payload.methods)) return this.#startMethod(payload.methods, introduction);
    return refused(ErrorCode.AUTH_REQUIRED, "AUTH_REQUEST carries neither scram nor password_hash");
  }

  #findKeys(clientFirst: string, introduction: Introduction): ServerStep | Promise<ServerStep> {
    let username: string;
    try {
      username = parseClientFirst(clientFirst).username;
    } catch (error) {
      if (error instanceof ConduitError) return refused(error.code, error.message);
      throw error;
    }
    const challenge = ({ keys, user }: Credential): ServerStep => {
      const scram = new ScramServer(keys, this.#authenticator.crypto);
      // Unknown names are also challenged.
      this.#stage = { awaits: "proof", introduction, scram, user, username: user === NOBODY.scram ? null : username };
      return { kind: "challenge", payload: { data: scram.first(clientFirst) } };
    };
    const credential = this.#authenticator.credentialOf(username);
    return credential instanceof Promise ? credential.then(challenge) : challenge(credential);
  }

  /** Starts a login by one of the client's other methods, before it has sent any secret. */
  async #startMethod(theirs: readonly unknown[], introduction: Introduction): Promise<ServerStep> {
    const methods = this.#authenticator.methodsFor(this.#transport);
    const { tls } = this.#transport;
    if (theirs.includes("certificate") && methods.includes("certificate") && tls !== null) {
      const user = await this.#authenticator.userOfCertificate(tls);
      if (user !== null) return { kind: "accepted", user, ...introduction, payload: {} };
      return refused(ErrorCode.AUTH_FAILED, "The client's certificate doesn't belong to a user");
    }
    if (theirs.includes("token") && methods.includes("token")) {
      this.#stage = { awaits: "token", introduction };
      return { kind: "challenge", payload: { methods } };
    }
    return this.#refuseMethod("the client's login methods");
  }

  #refuseMethod(what: string): ServerStep {
    const code = ErrorCode.LOGIN_METHOD_REFUSED;
    const methods = this.#authenticator.methodsFor(this.#transport);
    const reason = `This server doesn't take ${what} over this connection; it takes: ${methods.join(", ") || "nothing"}`;
    return { kind: "refused", code, reason, payload: { reason, code, methods } };
  }

  async #judgeToken(
    payload: Record<string, unknown> | null,
    { introduction }: Stage & { readonly awaits: "token" },
  ): Promise<ServerStep> {
    const token = payload?.token;
    if (typeof token !== "string") return malformed("The payload of AUTH_RESPONSE must be a map with a string token");
    const user = await this.#authenticator.userOfToken(token);
    if (user === null) return refused(ErrorCode.AUTH_FAILED, "The token isn't valid", "Invalid token");
    return { kind: "accepted", user, ...introduction, payload: {} };
  }

  #judgeHash(hash: string, introduction: Introduction): ServerStep {
    if (!this.#authenticator.allowsPasswordHash) {
      return refused(
        ErrorCode.PASSWORD_HASH_REFUSED,
        "This server does not accept password_hash, which can be replayed; its option allowPasswordHash: true lets peers of Python's netconduit in",
      );
    }
    if (!this.#authenticator.matchesPasswordHash(hash)) return wrongPassword(INVALID_PASSWORD);
    return { kind: "accepted", user: NOBODY["password-hash"], ...introduction, payload: {} };
  }

  #judgeProof(
    payload: Record<string, unknown> | null,
    { introduction, scram, user }: Stage & { readonly awaits: "proof" },
  ): ServerStep {
    const data = payload?.data;
    if (typeof data !== "string") {
      return malformed("The payload of AUTH_RESPONSE must be a MessagePack map with a string data");
    }
    try {
      const serverFinal = scram.final(data);
      if (user === null) return wrongPassword("There is no such user");
      return { kind: "accepted", user, ...introduction, payload: { scram: serverFinal } };
    } catch (error) {
      if (error instanceof ConduitError) return wrongPassword(error.message);
      throw error;
    }
  }
}

function malformed(message: string): ServerStep {
  return refused(ErrorCode.INVALID_PAYLOAD_SHAPE, message);
}

/** @param reason for this side's logs; not sent, so that the peer can't tell a wrong proof from an unknown user */
export function wrongPassword(reason: string): ServerStep {
  return refused(ErrorCode.AUTH_FAILED, reason, INVALID_PASSWORD);
}

/** @param told the reason sent to the peer, if it differs */
export function refused(code: number, reason: string, told: string = reason): ServerStep {
  return { kind: "refused", code, reason, payload: { reason: told, code } };
}
