/**
 * When a client dials: as it is told, and by itself after a connection was lost; and how long it goes on.
 */

import { errorOf } from "../connection/close.ts";
import type { CloseReason } from "../connection/connection-delegate.ts";
import type { EndpointCore } from "../endpoint/endpoint-core.ts";
import { asError, ConduitError, ErrorCode } from "../errors.ts";
import { STABLE_CONNECTION_MS } from "../limits.ts";
import type { Runtime } from "../runtime.ts";
import type { ClientConfig } from "./client-options.ts";
import { DialController } from "./dial-controller.ts";

/** What {@link Reconnector} asks of its client. */
export interface DiallingOwner {
  /** Ends the link that there is, dials and logs in. Rejects otherwise, at the latest soon after it is called off. */
  open(abort: DialController): Promise<void>;
  /**
   * A dial has failed, or the last one of a series has.
   * @param isLast nothing will try again by itself
   */
  failed(error: ConduitError, isLast: boolean): void;
  /**
   * Runs the hooks of a connection that is open; null: there are none.
   * @param again the client dialled by itself
   */
  opened(again: boolean): Promise<void> | null;
}

/** Attempts to reconnect, until one succeeds or they are called off. */
interface Series {
  cancelled: boolean;
  /** Ends the wait before the next attempt. */
  wake: (() => void) | null;
}

/** The dials of a client. */
export class Reconnector<Peer> {
  readonly #core: EndpointCore<Peer>;
  readonly #config: ClientConfig;
  readonly #owner: DiallingOwner;
  /** The dial under way, with the hooks that follow it. */
  #connecting: Promise<void> | null = null;
  /** Calls off the dial under way; null once it has logged in. */
  #abort: DialController | null = null;
  #series: Series | null = null;
  /** Attempts since the last connection that lasted. */
  #attempts = 0;
  #loggedInAt = 0;
  /** Called off after the last `connect`: whatever ends now, nothing is dialled again. */
  #leaving = false;

  constructor(core: EndpointCore<Peer>, config: ClientConfig, owner: DiallingOwner) {
    this.#core = core;
    this.#config = config;
    this.#owner = owner;
  }

  get #runtime(): Runtime {
    return this.#core.runtimeContext.runtime;
  }

  get attempts(): number {
    return this.#attempts;
  }

  /** Dials at once, or joins the dial under way. */
  connect(): Promise<void> {
    this.#leaving = false;
    this.#attempts = 0;
    this.#stopSeries();
    const under = this.#abort === null ? null : this.#connecting;
    if (under !== null && this.#abort?.aborted !== true) return under;
    // Nothing else may handle its rejection: a program that does not wait for it is to recordReceive of that from the runtime.
    const connecting = this.#dial(false, under).finally(() => {
      if (this.#connecting === connecting) this.#connecting = null;
    });
    this.#connecting = connecting;
    return connecting;
  }

  /** Ends the dial under way and all that would follow by itself. @returns what settles when that dial has ended */
  callOff(reason: () => ConduitError): Promise<void> | null {
    this.#leaving = true;
    this.#stopSeries();
    const dialling = this.#abort === null ? null : this.#connecting;
    this.#abort?.abort(reason());
    return dialling;
  }

  /** The dial under way has logged in. From here on a lost connection begins a series of its own. */
  loggedIn(): void {
    this.#abort = null;
    this.#series = null;
    this.#loggedInAt = this.#runtime.now();
  }

  /**
   * A connection was lost. If the client comes back, it dials when `hooks` have run.
   * @param hooks what they send is queued already
   */
  lost(reason: CloseReason, hooks: () => Promise<void>): void {
    const series: Series | null = this.#comesBack(reason) ? { cancelled: false, wake: null } : null;
    if (series !== null) this.#series = series;
    const done = hooks();
    if (series === null) return;
    // A connection that ends soon after its login counts as one more failed attempt of the same series.
    if (this.#runtime.now() - this.#loggedInAt >= STABLE_CONNECTION_MS) this.#attempts = 0;
    void done.then(() => this.#reconnect(series, reason));
  }

  /**
   * Whether a connection is on its way.
   * @param closing why the present link is closing, if it is
   */
  isReturning(closing: CloseReason | null): boolean {
    return this.#series !== null || this.#abort !== null || (closing !== null && this.#comesBack(closing));
  }

  /** Whether the end of a connection for this reason begins a series of attempts to reconnect. */
  #comesBack(reason: CloseReason): boolean {
    if (!this.#config.reconnect.enabled || !reason.reconnect || this.#leaving) return false;
    // A dial that is under way, by connect() or by a series, is the next attempt already.
    return this.#series === null && this.#abort === null;
  }

  /**
   * Dials, logs in, runs the hooks.
   * @param again the client does it by itself
   * @param calledOff a dial that was called off, and that ends first
   */
  async #dial(again: boolean, calledOff: Promise<void> | null): Promise<void> {
    const runtime = this.#runtime;
    const { connectTimeoutMs } = this.#config;
    const abort = new DialController();
    this.#abort = abort;
    const timer = runtime.setTimer(
      () => {
        const message = `No usable connection to ${endpointOf(this.#config)} within connectTimeoutMs ${connectTimeoutMs}`;
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
      await this.#owner.open(abort);
      abort.throwIfAborted();
    } catch (error) {
      const failure: unknown = abort.aborted ? abort.reason : error;
      this.#owner.failed(toConduitError(failure), this.#series === null);
      throw failure;
    } finally {
      runtime.clearTimer(timer);
      if (this.#abort === abort) this.#abort = null;
    }
    const hooks = this.#owner.opened(again);
    if (hooks !== null) await hooks;
  }

  /** @param lost why the connection was lost */
  async #reconnect(series: Series, lost: CloseReason): Promise<void> {
    const { attempts, delayMs, maxDelayMs, multiplier, jitter } = this.#config.reconnect;
    let lastError: unknown = null;
    while (!series.cancelled && (attempts === 0 || this.#attempts < attempts)) {
      const bound = Math.min(maxDelayMs, delayMs * multiplier ** this.#attempts);
      // Full jitter: clients that lost the same server spread evenly over the whole delay.
      await this.#pause(series, jitter ? Math.random() * bound : bound);
      if (series.cancelled) return;
      this.#attempts += 1;
      const dial = this.#dial(true, null);
      this.#connecting = dial;
      try {
        await dial;
        return;
      } catch (error) {
        lastError = error;
        this.#core.report(error, { stage: "reconnect" });
        if (endsReconnecting(error) && typeof this.#config.password !== "function") break;
      } finally {
        if (this.#connecting === dial) this.#connecting = null;
      }
    }
    if (series.cancelled) return;
    if (this.#series === series) this.#series = null;
    // Without a failed dial, connections came up and were lost at once, over and over.
    const cause = lastError ?? errorOf(lost);
    const tries = this.#attempts === 1 ? "1 attempt" : `${this.#attempts} attempts`;
    const message = `Gave up reconnecting to ${endpointOf(this.#config)} after ${tries}: ${asError(cause).message}`;
    const error = new ConduitError(ErrorCode.RECONNECT_FAILED, message, { cause });
    this.#owner.failed(error, true);
    this.#core.report(error, { stage: "reconnect" });
  }

  #pause(series: Series, delayMs: number): Promise<void> {
    const runtime = this.#runtime;
    return new Promise((resolve) => {
      // Keeps the process running: a client that waits to reconnect is at work.
      const timer = runtime.setTimer(() => series.wake?.(), delayMs, true);
      series.wake = () => {
        runtime.clearTimer(timer);
        series.wake = null;
        resolve();
      };
    });
  }

  #stopSeries(): void {
    const series = this.#series;
    if (series === null) return;
    this.#series = null;
    series.cancelled = true;
    series.wake?.();
  }
}

/** What a client connects to, in words. */
export function endpointOf({ host, port, path }: ClientConfig): string {
  return path ?? (host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`);
}

const noResult = (): void => undefined;

function toConduitError(error: unknown): ConduitError {
  if (error instanceof ConduitError) return error;
  return new ConduitError(ErrorCode.CONNECTION_ERROR, asError(error).message, { cause: error });
}

/** The same attempt would fail the same way, however often it is made. */
function endsReconnecting(error: unknown): boolean {
  if (!(error instanceof ConduitError)) return false;
  return (
    error.code === ErrorCode.AUTH_FAILED ||
    error.code === ErrorCode.PASSWORD_HASH_REFUSED ||
    error.code === ErrorCode.SERVER_NOT_TRUSTED
  );
}
