/**
 * Accepts or rejects logins: handles connections from the accept to the login.
 *
 * Theory of operation. A connection is pending from `begin` until it has logged in or ended. Each of its login frames
 * becomes a step of the handshake. Steps from one address run one at a time, each after the delay caused by failed
 * logins, so that many connections can't guess faster than one.
 */

import { ServerAuthenticator, ServerHandshake, type ServerStep } from "../auth/server-handshake.ts";
import { AuthThrottle, throttleKey } from "../auth/throttle.ts";
import { formatAddress } from "../bytes/address.ts";
import type { ByteStream } from "../bytes/byte-stream.ts";
import type { ProtocolConnection } from "../connection/protocol-connection.ts";
import type { RuntimeContext } from "../context/runtime-context.ts";
import { ConduitError, ErrorCode, errorCodeName } from "../errors.ts";
import type { Runtime } from "../runtime.ts";
import { sleep } from "../util/time.ts";
import { FrameType } from "../wire/constants.ts";
import type { ServerConfig } from "./server-options.ts";

/** A connection that was rejected. */
export interface Rejection {
  /** `host:port` of the peer. */
  readonly remoteAddress: string;
  /** `AUTH_FAILED`, `SERVER_FULL`, `AUTH_TIMEOUT`, `PASSWORD_HASH_REFUSED`, `SERVER_STOPPING`, … */
  readonly code: number;
  /** The code's name, for logs. */
  readonly codeName: string;
  readonly message: string;
}

/** The last step of a successful login. */
export type AcceptedStep = ServerStep & { readonly kind: "accepted" };

/** Callbacks of {@link LoginManager} to its server. */
export interface LoginManagerHost<Peer> {
  readonly runtime: Runtime;
  readonly runtimeContext: RuntimeContext;
  readonly config: ServerConfig;
  /** The reason why no more clients are accepted now; null if another one is. */
  refusal(): { readonly code: number; readonly message: string } | null;
  /**
   * The client knows the password. The host takes over the connection by {@link LoginManager.leave}, or rejects it.
   * @param acceptedAt when its stream was accepted, in monotonic milliseconds
   */
  admit(connection: ProtocolConnection<Peer>, step: AcceptedStep, acceptedAt: number): void;
  rejected(rejection: Rejection): void;
}

interface PendingLogin {
  readonly handshake: ServerHandshake;
  /** The throttle's key of the client's address. */
  readonly address: string;
  /** Monotonic milliseconds. */
  readonly acceptedAt: number;
}

/** A server's connections that haven't logged in. */
export class LoginManager<Peer> {
  readonly #host: LoginManagerHost<Peer>;
  /** Oldest first. */
  readonly #pending = new Map<ProtocolConnection<Peer>, PendingLogin>();
  readonly #throttle = new AuthThrottle();
  /** By address: settles when the last current or waiting step has finished. */
  readonly #turns = new Map<string, Promise<void>>();
  #authenticator: ServerAuthenticator | null = null;
  #authFailures = 0;
  #rejections = 0;

  constructor(host: LoginManagerHost<Peer>) {
    this.#host = host;
  }

  /** Logins rejected because of a wrong password. */
  get authFailures(): number {
    return this.#authFailures;
  }

  /** Connections rejected for any reason, including wrong passwords. */
  get rejections(): number {
    return this.#rejections;
  }

  /** Pending connections, oldest first. */
  get pending(): ProtocolConnection<Peer>[] {
    return [...this.#pending.keys()];
  }

  /** Derives the keys for verifying logins. Call it before each start, before any connection. */
  async prepare(): Promise<void> {
    const { config, runtime } = this.#host;
    const { password, allowPasswordHash, scramIterations: iterations } = config;
    const { crypto } = runtime;
    this.#authenticator ??= await ServerAuthenticator.create({ password, crypto, iterations, allowPasswordHash });
  }

  /** Rejects a stream that was accepted while the server isn't running. */
  turnAway(stream: ByteStream): void {
    const code = ErrorCode.SERVER_STOPPING;
    const message = "The server is stopping";
    stream.destroy(new ConduitError(code, message));
    this.rejected(stream, code, message);
  }

  /** Starts a connection's login. If too many are pending, the oldest one is closed. */
  begin(connection: ProtocolConnection<Peer>): void {
    const { config, runtime } = this.#host;
    if (this.#pending.size >= config.maxPendingLogins) this.#dropOldest();
    const handshake = new ServerHandshake(this.#authenticator as ServerAuthenticator);
    const acceptedAt = runtime.now();
    this.#pending.set(connection, { handshake, address: throttleKey(connection.stream.remote), acceptedAt });
    connection.start(config.authTimeoutMs);
  }

  /** The connection has logged in or ended. */
  leave(connection: ProtocolConnection<Peer>): void {
    this.#pending.delete(connection);
  }

  /** Processes a login frame. Rejects only if the runtime's cryptography fails. */
  async handshakeFrame(
    connection: ProtocolConnection<Peer>,
    type: number,
    payload: Record<string, unknown> | null,
  ): Promise<void> {
    const login = this.#pending.get(connection);
    if (login === undefined) return;
    if (type === FrameType.AUTH_REQUEST && this.#isRefused(connection)) return;
    const step = await this.#judgeInTurn(connection, login.address, () => login.handshake.receive(type, payload));
    if (step === null || !isPending(connection)) return;
    if (step.kind === "challenge") {
      connection.sendPayload(FrameType.AUTH_CHALLENGE, step.payload);
    } else if (step.kind === "refused") {
      this.refuse(connection, step.code, step.reason, step.payload);
    } else if (!this.#isRefused(connection)) {
      // No `await` since the check, so that logins finishing in the same turn can't exceed the limit.
      this.#throttle.succeeded(login.address);
      this.#host.admit(connection, step, login.acceptedAt);
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

  #dropOldest(): void {
    const [connection] = this.#pending.keys();
    if (connection === undefined) return;
    const message = `${this.#pending.size} newer logins are under way`;
    // A rejected login was already reported, and is only closing.
    if (connection.state === "authenticating") this.rejected(connection.stream, ErrorCode.SERVER_FULL, message);
    connection.destroy(new ConduitError(ErrorCode.SERVER_FULL, message));
  }

  #isRefused(connection: ProtocolConnection<Peer>): boolean {
    const refusal = this.#host.refusal();
    if (refusal !== null) this.refuse(connection, refusal.code, refusal.message);
    return refusal !== null;
  }

  /**
   * Runs one step of a login, after the delay for its address. While one login waits, others from its address may go
   * first.
   * @returns null if the connection has ended, or was rejected because the delay exceeds half of `authTimeoutMs`
   */
  async #judgeInTurn(
    connection: ProtocolConnection<Peer>,
    address: string,
    judge: () => Promise<ServerStep>,
  ): Promise<ServerStep | null> {
    const { runtime, runtimeContext, config } = this.#host;
    const patienceEndsAt = runtime.now() + config.authTimeoutMs / 2;
    for (;;) {
      const endTurn = await this.#turn(address);
      let waitMs: number;
      try {
        if (!isPending(connection)) return null;
        waitMs = this.#throttle.delayMs(address, runtime.now());
        if (waitMs === 0) return this.#recordResult(address, await judge());
      } finally {
        endTurn();
      }
      if (runtime.now() + waitMs > patienceEndsAt) {
        this.refuse(connection, ErrorCode.RATE_LIMITED, "Too many failed logins from this address; try again later");
        return null;
      }
      await sleep(runtimeContext.wheel, waitMs);
    }
  }

  /** Waits for earlier steps from an address. Returns a function that ends this step. */
  async #turn(address: string): Promise<() => void> {
    const before = this.#turns.get(address);
    let end: () => void = () => undefined;
    const turn = new Promise<void>((resolve) => {
      end = resolve;
    });
    this.#turns.set(address, turn);
    await before;
    return () => {
      if (this.#turns.get(address) === turn) this.#turns.delete(address);
      end();
    };
  }

  /** Counts a wrong password against the address. */
  #recordResult(address: string, step: ServerStep): ServerStep {
    if (step.kind === "refused" && step.code === ErrorCode.AUTH_FAILED) {
      this.#authFailures += 1;
      this.#throttle.failed(address, this.#host.runtime.now());
    }
    return step;
  }
}

/** Whether the connection is neither logged in nor ending. */
function isPending<Peer>(connection: ProtocolConnection<Peer>): boolean {
  return !connection.isOver && connection.state === "authenticating";
}
