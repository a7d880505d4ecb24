/**
 * The server's side of the login, without I/O: payloads in, steps out.
 *
 * A client sends AUTH_REQUEST. If it offers `scram`, it receives a challenge and answers with AUTH_RESPONSE. If it only
 * has netconduit's password hash, the hash decides, provided the server allows it. Anything else ends the login,
 * including a frame that arrives while an earlier one is being processed.
 *
 * If the server has users, the name in `scram` chooses the keys. Without them it is ignored, and the password is shared.
 */

import type { TlsInfo } from "../bytes/byte-stream.ts";
import { ConduitError, ErrorCode } from "../errors.ts";
import { passwordHash } from "../netconduit/password-hash.ts";
import type { RuntimeCrypto } from "../runtime.ts";
import { utf8 } from "../util/utf8.ts";
import { FrameType } from "../wire/constants.ts";
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
  /** The peer has proved who it is. Send AUTH_SUCCESS, including the keys of `payload`. */
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
  /** The shared one; null if there is none. */
  readonly password: string | null;
  /** Default: the server has no users. */
  readonly users?: Users | null;
  /** Default: it takes no tokens. */
  readonly token?: TokenCheck | undefined;
  /** Default: it maps no certificates. */
  readonly certificate?: CertificateCheck | undefined;
  /** The clock of `expiresAt`. Default: nothing expires. */
  readonly wallClock?: () => number;
  readonly crypto: RuntimeCrypto;
  /** PBKDF2 rounds. */
  readonly iterations: number;
  /** Accept netconduit's password hash, which can be replayed. */
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

  /** Login methods that are possible over this connection, as clients are told. */
  methodsFor(transport: LoginTransport): string[] {
    const { token, certificate } = this.#options;
    const methods = this.takesPasswords ? ["scram"] : [];
    if (token !== undefined && isPrivate(transport)) methods.push("token");
    if (certificate !== undefined && transport.tls?.peerVerified === true) methods.push("certificate");
    return methods;
  }

  /** The identity of a token; null if it isn't valid. Rejects if your function does. */
  async userOfToken(token: string): Promise<User | null> {
    return this.#userOf((await this.#options.token?.(token)) ?? null, "token");
  }

  /** The identity of a verified certificate; null if it has none. Rejects if your function does. */
  async userOfCertificate(tls: TlsInfo): Promise<User | null> {
    return this.#userOf((await this.#options.certificate?.(tls)) ?? null, "certificate");
  }

  #userOf(identity: Identity | null, method: AuthMethod): User | null {
    if (identity === null) return null;
    const user = makeUser(identity, method);
    const now = this.#options.wallClock?.() ?? 0;
    return user.expiresAt !== undefined && user.expiresAt <= now ? null : user;
  }

  /** The keys that check a login by SCRAM, and whose they are. Rejects if your lookup of users does. */
  async credentialOf(username: string): Promise<Credential> {
    if (this.#keys !== null && (this.#users === null || isNobody(username))) {
      return { keys: this.#keys, user: NOBODY.scram };
    }
    // A server that takes passwords has a shared one or users.
    return await (this.#users as Users).find(username);
  }

  /** Clients of one program send the same info. One object for all of them saves 0.15 KiB per connection. */
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

/** The frame that a login waits for, with the state that is needed only until it comes. */
type Stage =
  | { readonly awaits: "request" | "nothing" }
  | { readonly awaits: "token"; readonly introduction: Introduction }
  | {
      readonly awaits: "proof";
      readonly introduction: Introduction;
      readonly scram: ScramServer;
      /** Null if there is no such user. */
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

  /** The user whose password is judged; null for the shared one. */
  get username(): string | null {
    return this.#stage.awaits === "proof" ? this.#stage.username : null;
  }

  /** Whether the answer to this frame tells the client if its password is right. Tokens are too long to be guessed. */
  isGuess(frameType: number, payload: Record<string, unknown> | null): boolean {
    const { awaits } = this.#stage;
    if (awaits === "proof") return frameType === FrameType.AUTH_RESPONSE;
    return awaits === "request" && payload?.scram == null && payload?.password_hash != null;
  }

  /** Processes a frame that is a guess: digests judge it at once. */
  guess(frameType: number, payload: Record<string, unknown> | null): ServerStep {
    return this.receive(frameType, payload) as ServerStep;
  }

  /**
   * Processes one frame. Returns a promise if your functions or users are asked, which no guess does. Fails only if they
   * do, or the runtime's cryptography; any input from the peer leads to a step.
   * @param payload the decoded payload; null if it isn't a valid map
   */
  receive(frameType: number, payload: Record<string, unknown> | null): ServerStep | Promise<ServerStep> {
    const stage = this.#stage;
    // Until this frame is processed, another one is out of turn.
    this.#stage = { awaits: "nothing" };
    if (stage.awaits === "request" && frameType === FrameType.AUTH_REQUEST) return this.#request(payload);
    if (stage.awaits === "token" && frameType === FrameType.AUTH_RESPONSE) return this.#judgeToken(payload, stage);
    if (stage.awaits === "proof" && frameType === FrameType.AUTH_RESPONSE) return this.#judgeProof(payload, stage);
    const type = `0x${frameType.toString(16).padStart(4, "0")}`;
    const message = `Login expects ${AWAITED_FRAMES[stage.awaits]}, got frame type ${type}`;
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
      // A name that doesn't exist is challenged, too.
      this.#stage = { awaits: "proof", introduction, scram, user, username: user === NOBODY.scram ? null : username };
      return { kind: "challenge", payload: { data: scram.first(clientFirst) } };
    };
    const credential = this.#authenticator.credentialOf(username);
    return credential instanceof Promise ? credential.then(challenge) : challenge(credential);
  }

  /** The client can log in by one of these methods, and has sent no secret yet. */
  async #startMethod(theirs: readonly unknown[], introduction: Introduction): Promise<ServerStep> {
    const methods = this.#authenticator.methodsFor(this.#transport);
    const { tls } = this.#transport;
    if (theirs.includes("certificate") && methods.includes("certificate") && tls !== null) {
      const user = await this.#authenticator.userOfCertificate(tls);
      if (user !== null) return { kind: "accepted", user, ...introduction, payload: {} };
      return refused(ErrorCode.AUTH_FAILED, "The client's certificate stands for nobody here");
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

/** @param reason for this side's logs: the peer isn't told what is wrong with its proof, or that a user doesn't exist */
export function wrongPassword(reason: string): ServerStep {
  return refused(ErrorCode.AUTH_FAILED, reason, INVALID_PASSWORD);
}

/** @param told the reason that the peer is told, if it is another one */
export function refused(code: number, reason: string, told: string = reason): ServerStep {
  return { kind: "refused", code, reason, payload: { reason: told, code } };
}
