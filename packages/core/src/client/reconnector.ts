/** Decides when a client connects: on `connect()`, and automatically after a lost connection until it gives up. */

import type { CloseReason } from "../connection/close-reason.ts";
import { closeReason, errorOf } from "../connection/close-reason.ts";
import type { EndpointCore } from "../endpoint/endpoint-core.ts";
import { asError, ConduitError, codeOf, ErrorCode, isInstance, messageOf } from "../errors.ts";
import { STABLE_CONNECTION_MS } from "../limits.ts";
import type { Runtime } from "../runtime.ts";
import type { TimerHandle } from "../util/clock.ts";
import { retryAfterIn } from "../util/retry-after.ts";
import { CallbackTimer } from "../util/time.ts";
import type { ClientConfig } from "./client-options.ts";
import { DialController } from "./dial-controller.ts";

/** A failed attempt to reconnect. Another one follows unless `onError` gets RECONNECT_FAILED. */
export interface FailedAttempt {
  readonly error: Error;
  /** Number of attempts since the last stable connection, including this one. */
  readonly attempts: number;
}

/**
 * The next step after a failed attempt. `another`: the client retries automatically. `connect`: it waits for the
 * application to call `connect`. `none`: another attempt would fail in the same way, or the series has ended.
 */
export type AfterFailure = "another" | "connect" | "none";

/** Callbacks of {@link Reconnector} to its client. */
export interface ReconnectorHost {
  /** Closes the current connection, connects and logs in. Rejects on failure, and soon after an abort. */
  dial(abort: DialController): Promise<void>;
  /** Whether the server ended a login with this error and asked the client not to reconnect. */
  isFinal(error: unknown): boolean;
  /** A connection attempt, or the last one of a series, has failed. */
  dialFailed(error: ConduitError, next: AfterFailure): void;
  /**
   * Runs the hooks of a new connection; returns null if there are none.
   * @param again whether the client reconnected automatically
   */
  loginHooks(again: boolean): Promise<void> | null;
  /** An attempt to reconnect has failed. */
  attemptFailed(attempt: FailedAttempt): void;
}

/** Spreads clients that share the budget of one address. */
const RETRY_JITTER_MS = 250;

/** A series of attempts to reconnect, until one succeeds or the series is cancelled. */
interface Series {
  cancelled: boolean;
  /** Ends the delay before the next attempt. */
  wake: (() => void) | null;
  /** Restarts the timer of the delay. */
  rearm: (() => void) | null;
}

/** Manages a client's connection attempts. */
export class Reconnector<Peer> {
  readonly #core: EndpointCore<Peer>;
  readonly #config: ClientConfig;
  readonly #host: ReconnectorHost;
  #keepsRunning = true;
  /** The current attempt, including the hooks after it. */
  #connecting: Promise<void> | null = null;
  /** Aborts the current attempt; null once it has logged in. */
  #abort: DialController | null = null;
  #series: Series | null = null;
  /** Number of attempts since the last stable connection. */
  #attempts = 0;
  #loggedInAt = 0;
  /** `callOff` ran after the last `connect`, so the client doesn't reconnect. */
  #leaving = false;
  /** No attempt is expected unless the application calls `connect` again. */
  #hasGivenUp = false;

  constructor(core: EndpointCore<Peer>, config: ClientConfig, host: ReconnectorHost) {
    this.#core = core;
    this.#config = config;
    this.#host = host;
  }

  get #runtime(): Runtime {
    return this.#core.runtimeContext.runtime;
  }

  /** Whether waiting to reconnect keeps the process running. */
  get keepsRunning(): boolean {
    return this.#keepsRunning;
  }

  set keepsRunning(keepsRunning: boolean) {
    this.#keepsRunning = keepsRunning;
    this.#series?.rearm?.();
  }

  get attempts(): number {
    return this.#attempts;
  }

  /** Connects immediately, or joins the current attempt. */
  connect(): Promise<void> {
    this.#leaving = false;
    this.#hasGivenUp = false;
    this.#attempts = 0;
    this.#stopSeries();
    const current = this.#abort === null ? null : this.#connecting;
    if (current !== null && this.#abort?.aborted !== true) return current;
    return this.#start(false, current);
  }

  /** Dials. Records the attempt before state listeners run, because these may call `connect` or `callOff`. */
  #start(again: boolean, calledOff: Promise<void> | null): Promise<void> {
    let settle: (dial: Promise<void>) => void = noResult;
    const dialled = new Promise<void>((resolve) => {
      settle = resolve;
    });
    // Nothing else handles its rejection, so that a program that doesn't await it sees an unhandled rejection.
    const connecting = dialled.finally(() => {
      if (this.#connecting === connecting) this.#connecting = null;
    });
    this.#connecting = connecting;
    settle(this.#dial(again, calledOff));
    return connecting;
  }

  /**
   * Aborts the current attempt and disables reconnecting. Returns a promise that settles when the attempt has ended.
   */
  callOff(reason: () => ConduitError): Promise<void> | null {
    this.#leaving = true;
    this.#stopSeries();
    const dial = this.#abort === null ? null : this.#connecting;
    this.#abort?.abort(reason());
    return dial;
  }

  /** The current attempt has logged in. From here on, a lost connection starts a new series. */
  loggedIn(): void {
    this.#abort = null;
    this.#series = null;
    this.#loggedInAt = this.#runtime.now();
  }

  /**
   * A connection was lost. If the client reconnects, it does so after `hooks` have run.
   * @param hooks runs the disconnect hooks, whose messages are queued for the new connection
   * @param retryAfterMs how long the server asked the client to wait
   */
  lost(reason: CloseReason, hooks: () => Promise<void>, retryAfterMs: number = 0): void {
    const series: Series | null = this.#reconnectsAfter(reason) ? { cancelled: false, wake: null, rearm: null } : null;
    if (series !== null) this.#series = series;
    else if (this.#abort === null && this.#series === null) this.#hasGivenUp = true;
    const done = hooks();
    if (series === null) return;
    // A connection that ends soon after its login counts as another failed attempt.
    if (this.#runtime.now() - this.#loggedInAt >= STABLE_CONNECTION_MS) this.#attempts = 0;
    void done.then(() => this.#reconnect(series, reason, retryAfterMs));
  }

  /**
   * A `connect` has failed: retries as after a lost connection.
   * @returns false if another attempt would fail in the same way, or the client doesn't reconnect
   */
  tryAgain(error: unknown): boolean {
    if (this.#hasGivenUp || this.#endsReconnecting(error)) return false;
    const reason = closeReason({ code: toConduitError(error).code, message: messageOf(error), reconnect: true });
    if (!this.#reconnectsAfter(reason)) return false;
    this.lost(reason, () => Promise.resolve());
    return true;
  }

  /** Whether `callOff` ran after the last `connect`. */
  get isCalledOff(): boolean {
    return this.#leaving;
  }

  /** Whether a connection was lost, and the client keeps trying to replace it. */
  get isReconnecting(): boolean {
    return this.#series !== null;
  }

  /** Whether an attempt is in progress or will follow, except for one that `callOff` has just aborted. */
  get isConnecting(): boolean {
    return this.#series !== null || (this.#abort !== null && !this.#leaving);
  }

  /**
   * Whether the client may be connected again: it is connecting, it reconnects, or the application hasn't called
   * `connect` yet. False after `callOff`, and after it has given up.
   * @param closing why the current connection is closing, or null
   */
  mayConnect(closing: CloseReason | null): boolean {
    if (this.isConnecting) return true;
    if (this.#leaving || this.#hasGivenUp) return false;
    return closing === null || this.#reconnectsAfter(closing);
  }

  /** Whether the client reconnects after the server closes the connection, if the server allows it. */
  get mayReconnect(): boolean {
    return this.#config.reconnect.enabled && !this.#leaving;
  }

  /** Whether the client reconnects after a connection ended for this reason. */
  #reconnectsAfter(reason: CloseReason): boolean {
    if (!this.mayReconnect || !reason.reconnect) return false;
    // A current attempt already is the next one.
    return this.#series === null && this.#abort === null;
  }

  /**
   * Connects, logs in and runs the hooks.
   * @param again the client reconnects automatically
   * @param calledOff an aborted attempt to wait for first
   */
  async #dial(again: boolean, calledOff: Promise<void> | null): Promise<void> {
    const runtime = this.#runtime;
    const { connectTimeoutMs } = this.#config;
    const abort = new DialController();
    this.#abort = abort;
    const timer = runtime.setTimer(
      () => {
        const message = `Not connected to ${endpointOf(this.#config)} within connectTimeoutMs ${connectTimeoutMs}`;
        abort.abort(new ConduitError(ErrorCode.CONNECT_TIMEOUT, message));
      },
      connectTimeoutMs,
      true,
    );
    try {
      if (calledOff !== null) {
        await calledOff.then(noResult, noResult);
        abort.throwIfAborted();
      }
      await this.#open(abort);
      abort.throwIfAborted();
    } catch (error) {
      const failure: unknown = abort.aborted ? abort.reason : error;
      const isLast = this.#series === null && this.#endsReconnecting(failure);
      if (isLast) this.#hasGivenUp = true;
      const next = this.#series === null ? "connect" : "another";
      this.#host.dialFailed(toConduitError(failure), isLast ? "none" : next);
      throw failure;
    } finally {
      runtime.clearTimer(timer);
      if (this.#abort === abort) this.#abort = null;
    }
    const hooks = this.#host.loginHooks(again);
    if (hooks !== null) await hooks;
  }

  /**
   * Opens a connection. Retries later if wrong passwords from this address have used up the server's budget, and
   * immediately, with a new session, if the session expired during the login.
   */
  async #open(abort: DialController): Promise<void> {
    const endsAt = this.#runtime.now() + this.#config.connectTimeoutMs;
    // The next attempt requests no session, so if the server repeats that error, it isn't retried immediately.
    let hadSession = true;
    for (;;) {
      try {
        await this.#host.dial(abort);
        return;
      } catch (error) {
        const isExpired = codeOf(toConduitError(error)) === ErrorCode.SESSION_EXPIRED;
        const waitMs = isExpired && hadSession ? 0 : retryAfterMs(error);
        if (isExpired) hadSession = false;
        if (waitMs === null || abort.aborted || this.#runtime.now() + waitMs >= endsAt) throw error;
        this.#host.dialFailed(toConduitError(error), "another");
        await this.#sleep(abort, waitMs);
      }
    }
  }

  /** Resolves after this time. Rejects if the attempt is aborted first. */
  async #sleep(abort: DialController, delayMs: number): Promise<void> {
    const { wheel } = this.#core;
    let wake = noResult;
    const timer = new CallbackTimer(() => wake());
    wheel.schedule(timer, delayMs);
    try {
      await abort.wait<void>((resolve) => {
        wake = resolve;
      });
    } finally {
      wheel.cancel(timer);
    }
  }

  /**
   * Tries to reconnect until an attempt succeeds or the client gives up.
   * @param lost why the connection was lost
   * @param retryAfterMs added to the first delay
   */
  async #reconnect(series: Series, lost: CloseReason, retryAfterMs: number): Promise<void> {
    const { attempts, delayMs, maxDelayMs, multiplier, jitter } = this.#config.reconnect;
    let lastError: unknown = null;
    let leastMs = retryAfterMs;
    while (!series.cancelled && (attempts === 0 || this.#attempts < attempts)) {
      const bound = Math.min(maxDelayMs, delayMs * multiplier ** this.#attempts);
      // Full jitter spreads clients of a lost server evenly over the delay.
      await this.#pause(series, leastMs + (jitter ? Math.random() * bound : bound));
      leastMs = 0;
      if (series.cancelled) return;
      this.#attempts += 1;
      try {
        await this.#start(true, null);
        return;
      } catch (error) {
        // `disconnect` ended it, or `connect` joined it and rejects.
        if (series.cancelled) return;
        lastError = error;
        this.#host.attemptFailed({ error: asError(error), attempts: this.#attempts });
        if (this.#endsReconnecting(error)) break;
      }
    }
    if (series.cancelled) return;
    if (this.#series === series) this.#series = null;
    this.#hasGivenUp = true;
    // Without a failed attempt, each connection was established and lost again.
    const cause = lastError ?? errorOf(lost);
    const tries = this.#attempts === 1 ? "1 attempt" : `${this.#attempts} attempts`;
    const message = `Gave up reconnecting to ${endpointOf(this.#config)} after ${tries}: ${messageOf(cause)}`;
    const error = new ConduitError(ErrorCode.RECONNECT_FAILED, message, { cause });
    this.#host.dialFailed(error, "none");
    this.#core.report(error, { stage: "reconnect" });
  }

  #pause(series: Series, delayMs: number): Promise<void> {
    const runtime = this.#runtime;
    const endsAt = runtime.now() + delayMs;
    return new Promise((resolve) => {
      const arm = (leftMs: number): TimerHandle => runtime.setTimer(() => series.wake?.(), leftMs, this.#keepsRunning);
      let timer = arm(delayMs);
      series.rearm = () => {
        runtime.clearTimer(timer);
        timer = arm(Math.max(0, endsAt - runtime.now()));
      };
      series.wake = () => {
        runtime.clearTimer(timer);
        series.wake = null;
        series.rearm = null;
        resolve();
      };
    });
  }

  /** Whether further attempts would fail in the same way, which isn't certain if a function provides the credentials. */
  #endsReconnecting(error: unknown): boolean {
    if (this.#host.isFinal(error)) return true;
    const { password, credentials } = this.#config;
    return isLoginProblem(error) && typeof password !== "function" && typeof credentials !== "function";
  }

  #stopSeries(): void {
    const series = this.#series;
    if (series === null) return;
    this.#series = null;
    series.cancelled = true;
    series.wake?.();
  }
}

/** The error of attempts and waits that were ended by `disconnect()`. */
export function calledOff(): ConduitError {
  return new ConduitError(ErrorCode.CONNECTION_CLOSED, "disconnect() was called");
}

/** The server's address, for messages. */
export function endpointOf({ host, port, path }: ClientConfig): string {
  return path ?? (host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`);
}

const noResult = (): void => undefined;

function toConduitError(error: unknown): ConduitError {
  if (isInstance(error, ConduitError)) return error;
  return new ConduitError(ErrorCode.CONNECTION_ERROR, messageOf(error), { cause: error });
}

/** How long to wait if the server temporarily rejects logins from this address; null for other errors. */
function retryAfterMs(error: unknown): number | null {
  if (!isInstance(error, ConduitError)) return null;
  if (codeOf(error) !== ErrorCode.RATE_LIMITED) return null;
  const waitMs = retryAfterIn(error.details);
  return waitMs === null ? null : Math.max(waitMs, 50) + Math.random() * RETRY_JITTER_MS;
}

const loginProblems: ReadonlySet<number> = new Set<number>([
  ErrorCode.AUTH_FAILED,
  ErrorCode.PASSWORD_HASH_REFUSED,
  ErrorCode.SERVER_NOT_TRUSTED,
  ErrorCode.LOGIN_METHOD_REFUSED,
  ErrorCode.INSECURE_CONNECTION,
]);

function isLoginProblem(error: unknown): boolean {
  return isInstance(error, ConduitError) && loginProblems.has(codeOf(error));
}
