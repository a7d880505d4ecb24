/**
 * Accepts or rejects logins. Manages connections from the accept to the login.
 *
 * Theory of operation. A connection is pending from `begin` until it has logged in or ended. Each of its login frames
 * becomes a step of the handshake. Each address and each user has a budget of wrong passwords, and each address a share
 * of the pending logins.
 */

import {
  refused,
  ServerAuthenticator,
  ServerHandshake,
  type ServerStep,
  wrongPassword,
} from "../auth/server-handshake.ts";
import { AuthThrottle, throttleKey } from "../auth/throttle.ts";
import type { User } from "../auth/user.ts";
import { Users, type VerifiedUser } from "../auth/users.ts";
import { formatAddress } from "../bytes/address.ts";
import type { ByteStream } from "../bytes/byte-stream.ts";
import type { ProtocolConnection } from "../connection/protocol-connection.ts";
import type { ConnectionLogin } from "../connection/receive/frame-receiver.ts";
import type { RuntimeContext } from "../context/runtime-context.ts";
import { ConduitError, ErrorCode, errorCodeName } from "../errors.ts";
import type { Runtime } from "../runtime.ts";
import { PendingByAddress } from "../util/pending-by-address.ts";
import { utf8 } from "../util/utf8.ts";
import { FrameType } from "../wire/constants.ts";
import { LoginChecks } from "./login-checks.ts";
import type { ServerConfig } from "./server-options.ts";
import type { RecalledSession } from "./stored-sessions.ts";

const SECRET_BYTES = 32;
/**
 * A client whose user was replaced during its login is told to retry after this time, with the new password if it has
 * one.
 */
const CHANGED_RETRY_MS = 100;
/** A client that logs in while too many logins are being checked is told to retry after this time. */
const BUSY_RETRY_MS = 500;

/** A rejected connection. */
export interface Rejection {
  /** The peer's address as text: `127.0.0.1:50312`, `[::1]:50312`, `unix:`. */
  readonly remoteAddress: string;
  /** An `ErrorCode`: AUTH_FAILED, SERVER_FULL, AUTH_TIMEOUT, PASSWORD_HASH_REFUSED, SERVER_STOPPING, … */
  readonly code: number;
  /** The code's name, for logs. */
  readonly codeName: string;
  /** For logs; may contain more than was sent to the peer. */
  readonly message: string;
}

/** The last step of a successful login. */
export type AcceptedStep = ServerStep & { readonly kind: "accepted" };

/** Callbacks of {@link LoginManager} to its server. */
export interface LoginManagerHost<Peer> {
  readonly runtime: Runtime;
  readonly runtimeContext: RuntimeContext;
  readonly config: ServerConfig;
  /**
   * Why no more clients are accepted at the moment; null if one more is.
   * @param resume the client's resume request, not validated
   */
  refusal(resume: unknown): { readonly code: number; readonly message: string } | null;
  /**
   * The client has authenticated. The host takes over the connection by {@link LoginManager.leave}, or rejects it.
   * @param acceptedAt when the stream was accepted, in monotonic milliseconds
   */
  admit(
    connection: ProtocolConnection<Peer>,
    step: AcceptedStep,
    acceptedAt: number,
    recalled: RecalledSession | null,
  ): void;
  /** Whether a client requests a session that another process may have had. */
  mustRecall(step: AcceptedStep): boolean;
  /** Looks up that session; null if it isn't found within `timeoutMs`. Never rejects. */
  recall(step: AcceptedStep, timeoutMs: number): Promise<RecalledSession | null>;
  rejected(rejection: Rejection): void;
  /** A function of the option `authenticate` failed. */
  lookupFailed(error: unknown, stream: ByteStream): void;
}

interface PendingLogin<Peer> extends ConnectionLogin {
  readonly connection: ProtocolConnection<Peer>;
  readonly handshake: ServerHandshake;
  /** The throttle's key for the client's address; null if it isn't throttled. */
  readonly addressKey: string | null;
  /** Monotonic milliseconds. */
  readonly acceptedAt: number;
  /** Users that were replaced or revoked since, with the last change of each; null if there are none. */
  changes: Map<string, "replaced" | "revoked"> | null;
  recalled: RecalledSession | null;
  /** Called when the connection has logged in or ended. */
  onLeave: () => void;
}

/** A server's connections that haven't logged in. */
export class LoginManager<Peer> {
  readonly #host: LoginManagerHost<Peer>;
  readonly #pending = new PendingByAddress<PendingLogin<Peer>>();
  readonly #throttle = new AuthThrottle();
  /** Null without functions of the application, because other checks take no time. */
  readonly #checks: LoginChecks | null;
  /** Limits logins that wait for the store, or for another node to end their session. */
  readonly #recalls: LoginChecks;
  #authenticator: ServerAuthenticator | null = null;
  #users: Users | null = null;
  #authFailures = 0;
  #rejections = 0;

  constructor(host: LoginManagerHost<Peer>) {
    this.#host = host;
    const { authenticate, maxPendingLogins } = host.config;
    this.#checks = authenticate === null ? null : new LoginChecks(maxPendingLogins);
    // The other half remains for logins that don't need the store, even if it is slow.
    this.#recalls = new LoginChecks(Math.ceil(maxPendingLogins / 2));
  }

  /** Logins rejected with AUTH_FAILED. */
  get authFailures(): number {
    return this.#authFailures;
  }

  /** Connections rejected for any reason, including AUTH_FAILED. */
  get rejections(): number {
    return this.#rejections;
  }

  /** Number of pending connections. */
  get size(): number {
    return this.#pending.size;
  }

  /** Pending connections, grouped by address, oldest first. */
  get pending(): ProtocolConnection<Peer>[] {
    return this.#pending.entries.map(({ connection }) => connection);
  }

  /** Derives the keys for verifying logins. Must be called before each start, before any connection. */
  async prepare(): Promise<void> {
    const { config, runtime } = this.#host;
    const { password = null, allowPasswordHash, scramIterations: iterations } = config;
    const { crypto } = runtime;
    if (this.#authenticator !== null) return;
    const users = await this.#makeUsers();
    this.#users = users;
    const { token, certificate } = config.authenticate ?? {};
    this.#authenticator = await ServerAuthenticator.create({
      password,
      users,
      token,
      certificate,
      wallClock: () => runtime.wallClock(),
      crypto,
      iterations,
      allowPasswordHash,
    });
  }

  /**
   * Returns the identity of a token that renews a client's; null if it is invalid. Rejects if the application's
   * function does, and with RATE_LIMITED if too many checks are running, because checks continue after their clients
   * have disconnected.
   */
  async userOfToken(token: string, { remote }: Pick<ByteStream, "remote">): Promise<User | null> {
    const address = throttleKey(remote) ?? "";
    if (this.#checks?.begin(address) === false) {
      throw new ConduitError(ErrorCode.RATE_LIMITED, "A new token wasn't checked: too many logins are being checked");
    }
    try {
      return (await this.#authenticator?.userOfToken(token)) ?? null;
    } finally {
      this.#checks?.end(address);
    }
  }

  /** The users. @throws ConduitError INVALID_STATE if the server has no users */
  users(): Users {
    if (this.#users !== null) return this.#users;
    const message = "Cannot set a user: the server was made without the option users";
    throw new ConduitError(ErrorCode.INVALID_STATE, message);
  }

  /**
   * Adds or replaces a user. Its pending logins are told to retry.
   * @throws ConduitError INVALID_CONFIG, INVALID_STATE
   */
  setUser(name: string, user: VerifiedUser): void {
    this.users().put(name, user);
    this.#failPending(name, "replaced");
  }

  /** Removes a user and fails its pending logins. */
  revoke(name: string): void {
    this.#users?.delete(name);
    this.#failPending(name, "revoked");
  }

  /** Makes all pending logins fail if they turn out to be this user's. */
  #failPending(name: string, change: "replaced" | "revoked"): void {
    for (const login of this.#pending.entries) {
      login.changes ??= new Map();
      login.changes.set(name, change);
    }
  }

  async #makeUsers(): Promise<Users | null> {
    const { users: table, authenticate, scramIterations: iterations } = this.#host.config;
    const lookup = authenticate?.scram ?? null;
    if (table === null && lookup === null) return null;
    const { runtime } = this.#host;
    const { crypto } = runtime;
    const given = authenticate?.secret;
    const secret = given === undefined ? crypto.randomBytes(SECRET_BYTES) : crypto.sha256(utf8(given));
    const users = new Users({ crypto, iterations, lookup, secret, wallClock: () => runtime.wallClock() });
    for (const [name, options] of Object.entries(table ?? {})) await users.set(name, options);
    return users;
  }

  /** Rejects a stream accepted while the server isn't running. */
  turnAway(stream: ByteStream): void {
    const code = ErrorCode.SERVER_STOPPING;
    const message = "The server is stopping";
    stream.destroy(new ConduitError(code, message));
    this.rejected(stream, code, message);
  }

  /** Starts a connection's login. If too many are pending, closes the oldest of the address that has most. */
  begin(connection: ProtocolConnection<Peer>): void {
    const { config, runtime } = this.#host;
    if (this.#pending.size >= config.maxPendingLogins) this.dropOldest();
    const handshake = new ServerHandshake(this.#authenticator as ServerAuthenticator, connection.stream);
    const acceptedAt = runtime.now();
    const addressKey = throttleKey(connection.stream.remote);
    const login: PendingLogin<Peer> = {
      connection,
      handshake,
      addressKey,
      acceptedAt,
      changes: null,
      recalled: null,
      onLeave: nothing,
      receive: (type, payload) => this.#receive(login, type, payload),
    };
    this.#pending.add(login, addressKey ?? "");
    connection.login = login;
    connection.start(config.authTimeoutMs);
  }

  /** The connection has logged in or ended. */
  leave(connection: ProtocolConnection<Peer>): void {
    const login = connection.login as PendingLogin<Peer> | null;
    if (login === null) return;
    connection.login = null;
    this.#pending.delete(login, login.addressKey ?? "");
    login.onLeave();
  }

  /** Processes a login frame. Returns a promise only if the users, the application or the store are asked. */
  #receive(login: PendingLogin<Peer>, type: number, payload: Record<string, unknown> | null): void | Promise<void> {
    if (type === FrameType.AUTH_REQUEST && this.#refuseIfClosed(login.connection, payload?.["resume"])) return;
    const step = this.#step(login, type, payload);
    return step instanceof Promise ? step.then((judged) => this.#judged(login, judged)) : this.#judged(login, step);
  }

  #judged(login: PendingLogin<Peer>, step: ServerStep): void | Promise<void> {
    const asksForSession = step.kind === "accepted" && isPending(login.connection) && this.#host.mustRecall(step);
    return asksForSession ? this.#recall(login, step).then((last) => this.#act(login, last)) : this.#act(login, step);
  }

  /** Carries out a step of the handshake, unless the user was changed in the meantime. */
  #act(login: PendingLogin<Peer>, judged: ServerStep): void {
    const { connection } = login;
    const step = judged.kind === "accepted" ? unlessChanged(login, judged) : judged;
    if (isAuthFailure(step)) this.#authFailures += 1;
    if (!isPending(connection)) return;
    if (step.kind === "challenge") {
      connection.sendPayload(FrameType.AUTH_CHALLENGE, step.payload);
    } else if (step.kind === "refused") {
      this.refuse(connection, step.code, step.reason, step.payload);
    } else if (!this.#refuseIfClosed(connection, step.resume)) {
      // No `await` since the check, so that logins finishing in the same turn can't exceed the limit.
      this.#host.admit(connection, step, login.acceptedAt, login.recalled);
    }
  }

  /** Sends the reason to the peer, and closes the connection. */
  refuse(
    connection: ProtocolConnection<Peer>,
    code: number,
    message: string,
    payload: Record<string, unknown> = { reason: message, code },
  ): void {
    if (!isPending(connection)) return;
    connection.sendPayload(FrameType.AUTH_FAILURE, payload);
    this.rejected(connection.stream, code, message);
    // The handshake doesn't await this, because the peer may close slowly.
    void connection.close({ code, message, reconnect: true });
  }

  /** Counts and reports a rejected connection. */
  rejected(stream: ByteStream, code: number, message: string): void {
    this.#rejections += 1;
    const remoteAddress = formatAddress(stream.remote);
    this.#host.rejected({ remoteAddress, code, codeName: errorCodeName(code), message });
  }

  /** Closes the oldest login of the address that has most. Returns false if none is pending. */
  dropOldest(): boolean {
    const connection = this.#pending.oldestOfLargest()?.connection;
    if (connection === undefined) return false;
    const message = `${this.#pending.size} logins are under way, most of them from this address`;
    // A rejected login has already been reported, and is only closing.
    if (connection.state === "authenticating") this.rejected(connection.stream, ErrorCode.SERVER_FULL, message);
    connection.destroy(new ConduitError(ErrorCode.SERVER_FULL, message));
    return true;
  }

  /** Rejects a login if the server is stopping or full. Returns whether it did. */
  #refuseIfClosed(connection: ProtocolConnection<Peer>, resume: unknown): boolean {
    const refusal = this.#host.refusal(resume);
    if (refusal !== null) this.refuse(connection, refusal.code, refusal.message);
    return refusal !== null;
  }

  /** Processes one frame of a login. An error in a function of the application ends it. */
  #step(
    login: PendingLogin<Peer>,
    type: number,
    payload: Record<string, unknown> | null,
  ): ServerStep | Promise<ServerStep> {
    const { handshake, addressKey } = login;
    try {
      if (addressKey !== null && handshake.isGuess(type, payload))
        return this.#judge(handshake, addressKey, type, payload);
      if (this.#checks !== null) return this.#check(login, this.#checks, type, payload);
      const step = handshake.receive(type, payload);
      return step instanceof Promise ? step.catch((error: unknown) => this.#failed(login, error)) : step;
    } catch (error) {
      return this.#failed(login, error);
    }
  }

  #failed({ connection }: PendingLogin<Peer>, error: unknown): ServerStep {
    this.#host.lookupFailed(error, connection.stream);
    return refused(ErrorCode.INTERNAL, "Internal server error");
  }

  /** Processes a frame for which a function of the application may be called. */
  async #check(
    login: PendingLogin<Peer>,
    checks: LoginChecks,
    type: number,
    payload: Record<string, unknown> | null,
  ): Promise<ServerStep> {
    const address = login.addressKey ?? "";
    if (!checks.begin(address)) {
      return tryLater("Too many logins are being checked; try again later", BUSY_RETRY_MS);
    }
    try {
      return await login.handshake.receive(type, payload);
    } catch (error) {
      return this.#failed(login, error);
    } finally {
      checks.end(address);
    }
  }

  /**
   * The client has authenticated and requests a session of another process. The login waits for it, for at most half
   * of its remaining time.
   */
  async #recall(login: PendingLogin<Peer>, step: AcceptedStep): Promise<ServerStep> {
    const address = login.addressKey ?? "";
    if (!this.#recalls.begin(address)) {
      return tryLater("Too many logins wait for the store of sessions; try again later", BUSY_RETRY_MS);
    }
    try {
      login.recalled = await this.#recallOrLeave(login, step);
    } finally {
      this.#recalls.end(address);
    }
    return step;
  }

  /** Like `recall`, but resolves with null when the connection ends. */
  async #recallOrLeave(login: PendingLogin<Peer>, step: AcceptedStep): Promise<RecalledSession | null> {
    const { config, runtime } = this.#host;
    const remainingMs = login.acceptedAt + config.authTimeoutMs - runtime.now();
    const ended = new Promise<null>((resolve) => {
      login.onLeave = () => resolve(null);
    });
    return await Promise.race([this.#host.recall(step, Math.max(1, Math.floor(remainingMs / 2))), ended]);
  }

  /**
   * Verifies a proof of the password, which needs a guess from the budgets of its address and user. This is
   * synchronous, so a login never finds a guess taken by another one that is still being verified.
   */
  #judge(
    handshake: ServerHandshake,
    address: string,
    type: number,
    payload: Record<string, unknown> | null,
  ): ServerStep {
    const now = this.#host.runtime.now();
    const guess = this.#throttle.take(address, handshake.username, now);
    if (guess.waitMs > 0) return tooManyGuesses(guess.waitMs);
    let step: ServerStep | null = null;
    try {
      step = handshake.guess(type, payload);
      return step;
    } finally {
      if (step?.kind === "accepted") guess.accepted(now);
      else if (step === null || !isAuthFailure(step)) guess.giveBack(now);
    }
  }
}

/** The accepted login, or a rejection if the user was changed since it started. */
function unlessChanged<Peer>({ changes }: PendingLogin<Peer>, step: AcceptedStep): ServerStep {
  const change = changes?.get(step.user.name);
  if (change === undefined) return step;
  if (change === "replaced") return tryLater("The user was changed during the login; try again", CHANGED_RETRY_MS);
  return wrongPassword("The user was revoked during the login");
}

function isAuthFailure(step: ServerStep): boolean {
  return step.kind === "refused" && step.code === ErrorCode.AUTH_FAILED;
}

function tooManyGuesses(waitMs: number): ServerStep {
  return tryLater("Too many wrong passwords from this address or of this user; try again later", waitMs);
}

function nothing(): void {
  // Nothing waits for this login to end.
}

/** A rejection after which clients retry automatically after this time. */
function tryLater(reason: string, waitMs: number): ServerStep {
  const code = ErrorCode.RATE_LIMITED;
  return { kind: "refused", code, reason, payload: { reason, code, retry_after: waitMs / 1000 } };
}

/** Whether the connection is neither logged in nor ending. */
function isPending<Peer>(connection: ProtocolConnection<Peer>): boolean {
  return !connection.isOver && connection.state === "authenticating";
}
