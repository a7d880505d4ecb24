/**
 * Who gets in: what happens between an accepted stream and a client that is logged in, or is not.
 */

import { ServerAuthenticator, ServerHandshake, type ServerStep } from "../auth/server-handshake.ts";
import { AuthThrottle, throttleKey } from "../auth/throttle.ts";
import { formatAddress, isPrivate } from "../bytes/address.ts";
import type { ByteStream } from "../bytes/byte-stream.ts";
import type { ProtocolConnection } from "../connection/protocol-connection.ts";
import type { RuntimeContext } from "../connection/runtime-context.ts";
import { ConduitError, ErrorCode, errorCodeName } from "../errors.ts";
import type { Runtime } from "../runtime.ts";
import { sleep } from "../util/time.ts";
import { FrameType } from "../wire/constants.ts";
import type { ServerConfig } from "./server-options.ts";

/** A connection that was not let in. */
export interface Rejection {
  /** `host:port` of the peer. */
  readonly remoteAddress: string;
  /** `AUTH_FAILED`, `SERVER_FULL`, `AUTH_TIMEOUT`, `PASSWORD_HASH_REFUSED`, `SERVER_STOPPING`, … */
  readonly code: number;
  /** The code's name, for logs. */
  readonly codeName: string;
  readonly message: string;
}

/** The step of a handshake by which a client is logged in. */
export type AcceptedStep = ServerStep & { readonly kind: "accepted" };

/** What {@link LoginManager} asks of its server. */
export interface LoginManagerHost<Peer> {
  readonly runtime: Runtime;
  readonly runtimeContext: RuntimeContext;
  readonly config: ServerConfig;
  /** Why no client gets in at present; null: one more does. */
  refusal(): { readonly code: number; readonly message: string } | null;
  /**
   * The client has logged in: takes the link over by {@link LoginManager.leave}, or refuses it after all.
   * @param acceptedAt when its stream was accepted, in monotonic milliseconds
   */
  admit(link: ProtocolConnection<Peer>, step: AcceptedStep, acceptedAt: number): void;
  rejected(rejection: Rejection): void;
}

/** A login that is under way, among the others in the order in which they came. */
export interface Login<Peer> {
  readonly link: ProtocolConnection<Peer>;
  readonly handshake: ServerHandshake;
  /** Monotonic milliseconds. */
  readonly acceptedAt: number;
  older: Login<Peer> | null;
  newer: Login<Peer> | null;
}

/** The links of a server that have not logged in. */
export class LoginManager<Peer> {
  readonly #owner: LoginManagerHost<Peer>;
  // A list of its own making: a map that comes and goes with each login is made anew after some dozens of them.
  #oldest: Login<Peer> | null = null;
  #newest: Login<Peer> | null = null;
  #count = 0;
  readonly #throttle = new AuthThrottle();
  /** By address: settles when the last login attempt that is being judged has been. */
  readonly #judging = new Map<string, Promise<void>>();
  #authenticator: ServerAuthenticator | null = null;
  #authFailures = 0;
  #rejections = 0;

  constructor(owner: LoginManagerHost<Peer>) {
    this.#owner = owner;
  }

  /** Logins refused for a wrong password. */
  get authFailures(): number {
    return this.#authFailures;
  }

  /** Connections not let in for any reason, wrong passwords included. */
  get rejections(): number {
    return this.#rejections;
  }

  /** The links that log in, oldest first. */
  get links(): ProtocolConnection<Peer>[] {
    const links: ProtocolConnection<Peer>[] = [];
    for (let login = this.#oldest; login !== null; login = login.newer) links.push(login.link);
    return links;
  }

  /** Makes the keys that logins are judged by. Before each start, and before any link. */
  async prepare(): Promise<void> {
    const { config, runtime } = this.#owner;
    const { password, allowPasswordHash, scramIterations: iterations } = config;
    const { crypto } = runtime;
    // When the frame came in that is being judged, or a later one: asking the runtime leaves garbage.
    const { runtimeContext } = this.#owner;
    runtimeContext.recordReceive();
    const now = (): number => runtimeContext.receivedAtMs;
    this.#authenticator ??= await ServerAuthenticator.create({ password, crypto, now, iterations, allowPasswordHash });
    // What a stopping server did not read can be played to it no more.
    this.#authenticator.nonces.beginAnew();
  }

  /** A stream that comes while the server is not running. */
  turnAway(stream: ByteStream): void {
    const code = ErrorCode.SERVER_STOPPING;
    const message = "The server is stopping";
    stream.destroy(new ConduitError(code, message));
    this.rejected(stream, code, message);
  }

  /** A link's login begins. It makes room for itself: whoever logs in at once is not the oldest. */
  begin(link: ProtocolConnection<Peer>): void {
    const { config, runtime } = this.#owner;
    if (this.#count >= config.maxPendingLogins) this.#dropOldest();
    const mayAdvance = config.enableFastLogin && isPrivate(link.stream);
    const handshake = new ServerHandshake(this.#authenticator as ServerAuthenticator, mayAdvance);
    const now = runtime.now();
    const login: Login<Peer> = { link, handshake, acceptedAt: now, older: this.#newest, newer: null };
    if (this.#newest === null) this.#oldest = login;
    else this.#newest.newer = login;
    this.#newest = login;
    this.#count += 1;
    link.login = login;
    link.start(config.authTimeoutMs, now);
  }

  /** The link logs in no more: it has, or it is over. */
  leave(link: ProtocolConnection<Peer>): void {
    const { login } = link;
    if (login === null) return;
    link.login = null;
    if (login.older === null) this.#oldest = login.newer;
    else login.older.newer = login.newer;
    if (login.newer === null) this.#newest = login.older;
    else login.newer.older = login.older;
    this.#count -= 1;
  }

  /**
   * Takes a frame of a link that logs in. Throws, or rejects, only if the runtime's cryptography does.
   * @returns null if it was dealt with at once
   */
  handshakeFrame(
    link: ProtocolConnection<Peer>,
    type: number,
    payload: Record<string, unknown> | null,
  ): Promise<void> | null {
    const { login } = link;
    if (login === null) return null;
    const { handshake } = login;
    if (type === FrameType.AUTH_REQUEST) {
      handshake.arrived(payload);
      if (this.#isRefused(link)) return null;
    }
    if (this.#mustWait(link)) return this.#inTurn(link, login, handshake.receive.bind(handshake, type, payload));
    if (link.isOver || link.state !== "authenticating") return null;
    const step = handshake.receive(type, payload);
    if (step instanceof Promise) return this.#inTurn(link, login, constant(step));
    this.#judged(link, step);
    this.#take(link, login, step);
    return null;
  }

  /** Whether a login of the link's address is being judged, or some have failed so often that the next one waits. */
  #mustWait(link: ProtocolConnection<Peer>): boolean {
    if (this.#judging.size === 0 && this.#throttle.size === 0) return false;
    const key = throttleKey(link.stream.remote);
    return this.#judging.has(key) || this.#throttle.delayMs(key, this.#owner.runtime.now()) > 0;
  }

  async #inTurn(
    link: ProtocolConnection<Peer>,
    login: Login<Peer>,
    judge: () => ServerStep | Promise<ServerStep>,
  ): Promise<void> {
    const step = await this.#afterOthers(link, judge);
    if (step !== null) this.#take(link, login, step);
  }

  #take(link: ProtocolConnection<Peer>, login: Login<Peer>, step: ServerStep): void {
    if (link.isOver || link.state !== "authenticating") return;
    if (step.kind === "challenge") {
      link.sendPayload(FrameType.AUTH_CHALLENGE, step.payload);
    } else if (step.kind === "refused") {
      this.refuse(link, step.code, step.reason, step.payload);
    } else if (!this.#isRefused(link)) {
      // Nothing is awaited in between: of several logins that end in one turn no more get in than there is room for.
      if (this.#throttle.size > 0) this.#throttle.succeeded(throttleKey(link.stream.remote));
      this.#owner.admit(link, step, login.acceptedAt);
    }
  }

  /** Notes whether a password was wrong. */
  #judged(link: ProtocolConnection<Peer>, step: ServerStep): void {
    if (step.kind !== "refused" || step.code !== ErrorCode.AUTH_FAILED) return;
    this.#authFailures += 1;
    this.#throttle.failed(throttleKey(link.stream.remote), this.#owner.runtime.now());
  }

  /** Tells the peer why, and ends the connection. */
  refuse(
    link: ProtocolConnection<Peer>,
    code: number,
    message: string,
    payload: Record<string, unknown> = { reason: message, code },
  ): void {
    if (link.isOver || link.state !== "authenticating") return;
    link.sendPayload(FrameType.AUTH_FAILURE, payload);
    this.rejected(link.stream, code, message);
    // Not awaited by the handshake: the peer may take its time to close.
    void link.close({ code, message, reconnect: true });
  }

  /** Counts and reports that whoever is at the other end of `stream` was not let in. */
  rejected(stream: ByteStream, code: number, message: string): void {
    this.#rejections += 1;
    const remoteAddress = formatAddress(stream.remote);
    this.#owner.rejected({ remoteAddress, code, codeName: errorCodeName(code), message });
  }

  #dropOldest(): void {
    const link = this.#oldest?.link;
    if (link === undefined) return;
    const message = `${this.#count} newer logins are under way`;
    // One that has been refused has been reported, and is only being closed.
    if (link.state === "authenticating") this.rejected(link.stream, ErrorCode.SERVER_FULL, message);
    link.destroy(new ConduitError(ErrorCode.SERVER_FULL, message));
  }

  #isRefused(link: ProtocolConnection<Peer>): boolean {
    const refusal = this.#owner.refusal();
    if (refusal !== null) this.refuse(link, refusal.code, refusal.message);
    return refusal !== null;
  }

  /**
   * Judges one step of a login, after what its address has to wait for its failures. Attempts of one address are judged
   * one after the other, so that many at once don't get round the wait; while one waits, others may go ahead.
   * @returns null if the link is over, or was refused because the wait is longer than a login may take.
   */
  async #afterOthers(
    link: ProtocolConnection<Peer>,
    judge: () => ServerStep | Promise<ServerStep>,
  ): Promise<ServerStep | null> {
    const { runtime, runtimeContext, config } = this.#owner;
    const key = throttleKey(link.stream.remote);
    const patienceEndsAt = runtime.now() + config.authTimeoutMs / 2;
    for (;;) {
      const before = this.#judging.get(key);
      let done: () => void = () => undefined;
      const turn = new Promise<void>((resolve) => {
        done = resolve;
      });
      this.#judging.set(key, turn);
      try {
        if (before !== undefined) await before;
        if (link.isOver || link.state !== "authenticating") return null;
        const waitMs = this.#throttle.delayMs(key, runtime.now());
        if (waitMs === 0) {
          const step = await judge();
          this.#judged(link, step);
          return step;
        }
        if (runtime.now() + waitMs > patienceEndsAt) {
          this.refuse(link, ErrorCode.RATE_LIMITED, "Too many failed logins from this address; try again later");
          return null;
        }
        done();
        await sleep(runtimeContext.wheel, waitMs);
      } finally {
        done();
        if (this.#judging.get(key) === turn) this.#judging.delete(key);
      }
    }
  }
}

/** A function that returns `value`. Made here, so that memory for what it captures is taken only where there is one. */
function constant<T>(value: T): () => T {
  return () => value;
}
