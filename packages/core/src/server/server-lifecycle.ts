/** A server's life cycle from `start` to `stop`, including overlapping calls such as `stop` during `start`. */

import type { DrainNotice } from "../connection/extension.ts";
import { ConduitError, ErrorCode } from "../errors.ts";
import type { Listener, Runtime } from "../runtime.ts";
import { describeValue } from "../text/describe-value.ts";
import { MAX_TIMER_MS } from "../util/clock.ts";
import { KnownOptions } from "../util/known-options.ts";
import { withDeadline } from "../util/time.ts";

/** State of a server. */
export type ServerState = "stopped" | "starting" | "running" | "stopping";

/** Options of `stop`. */
export interface StopOptions {
  /** Time limit in milliseconds for running handlers and shutdown hooks. Default: option `drainMs`. */
  readonly drainMs?: number | undefined;
  /** How long clients should wait before they reconnect, in milliseconds after the close. Default 0. */
  readonly retryAfterMs?: number | undefined;
}

const STOP = new KnownOptions<StopOptions>("server.stop", { drainMs: true, retryAfterMs: true });
const RUN = new KnownOptions<{ signal: AbortSignal }>("server.run", { signal: true });

/** The steps of a server's life cycle, implemented by the server. */
export interface ServerLifecycleHost {
  readonly runtime: Runtime;
  readonly config: { readonly drainMs: number; readonly handleSignals: boolean; readonly resume: object | null };
  /** Reserves exclusive resources. Returns a function that releases them. @throws ConduitError */
  claim(): () => void;
  /** Runs everything before listening. If it throws, the start fails with that error. */
  prepare(): Promise<void>;
  listen(): Promise<Listener>;
  /** Runs the `onListening` hooks. Never rejects. */
  listening(): Promise<void>;
  /** Rejects clients that are logging in. */
  beginStop(): void;
  /** Runs the `onShutdown` hooks. Never rejects. */
  shutdown(): Promise<void>;
  /** Asks clients to stop sending. Resolves when no connection has requests left, and no call or message with a key is running. */
  drain(notice: DrainNotice): Promise<unknown>;
  /** Closes all connections gracefully. */
  endAll(): Promise<void>;
  /** Resolves when the hooks of all ended connections have finished. */
  ended(): Promise<unknown>;
  /** Calls the server's `stop`, which a subclass may override. */
  stop(options: StopOptions): Promise<void>;
  /** A start has failed or was stopped: undoes `prepare`. */
  notStarted(): void;
  /** Reports that `stop` failed when no caller is waiting for it. */
  stopFailed(error: unknown): void;
}

export class ServerLifecycle {
  readonly #host: ServerLifecycleHost;
  #state: ServerState = "stopped";
  #listener: Listener | null = null;
  /** The current start, which a second `start` joins. */
  #startup: Promise<boolean> | null = null;
  /** Identifies the current start; null if there is none. */
  #starting: object | null = null;
  #stopping: Promise<void> | null = null;
  /** Releases the reserved resources; null while the server isn't running. */
  #release: (() => void) | null = null;
  /** Shortens the current drain. */
  #hurry: ((drainMs: number) => void) | null = null;
  #whenStopped: (() => void)[] = [];

  constructor(host: ServerLifecycleHost) {
    this.#host = host;
  }

  get state(): ServerState {
    return this.#state;
  }

  /** Whether clients are accepted. A cluster worker may receive connections before its own listen completes. */
  get isOpen(): boolean {
    return this.#state === "running" || this.#starting !== null;
  }

  /** The listener while the server is running. */
  get listener(): Listener | null {
    return this.#listener;
  }

  /** The listening address; null if the server isn't listening. */
  get address(): Listener["address"] | null {
    return this.#listener?.address ?? null;
  }

  /** See `Server.start`. */
  async start(): Promise<void> {
    if (await this.#started()) return;
    throw new ConduitError(ErrorCode.INVALID_STATE, "The server was stopped while starting");
  }

  /** Starts, or joins the current start. Returns false if `stop` ran in the meantime. */
  #started(): Promise<boolean> {
    if (this.#state !== "starting" || this.#startup === null) this.#startup = this.#start();
    return this.#startup;
  }

  async #start(): Promise<boolean> {
    if (this.#state === "running") return true;
    if (this.#state !== "stopped") {
      throw new ConduitError(
        ErrorCode.INVALID_STATE,
        `Cannot start a server that is ${this.#state}: await stop() first`,
      );
    }
    this.#state = "starting";
    // After a stop() in between, another start may be current, so comparing states isn't enough.
    const start = {};
    this.#starting = start;
    let release: (() => void) | null = null;
    try {
      release = this.#host.claim();
      await this.#host.prepare();
      if (this.#starting !== start) return false;
      const listener = await this.#host.listen();
      if (this.#starting !== start) {
        await listener.close();
        if (this.#starting === null) await this.#host.endAll();
        return false;
      }
      this.#listener = listener;
      this.#release = release;
      release = null;
      this.#state = "running";
      // From here on, stop() has a listener to close.
      this.#starting = null;
      await this.#host.listening();
      return true;
    } catch (error) {
      if (this.#starting === start) this.#state = "stopped";
      throw error;
    } finally {
      release?.();
      if (this.#starting === start) this.#starting = null;
      if (this.#state === "stopped" && this.#starting === null) this.#host.notStarted();
    }
  }

  /** See `Server.run`. */
  async run(options: { readonly signal?: AbortSignal } = {}): Promise<void> {
    RUN.check(options);
    const host = this.#host;
    const { config, runtime } = host;
    let count = 0;
    const stop = (): void => {
      count += 1;
      host.stop(count > 1 ? { drainMs: 0 } : {}).catch((error: unknown) => host.stopFailed(error));
    };
    const removeSignals = config.handleSignals ? runtime.onTerminate(stop) : null;
    options.signal?.addEventListener("abort", stop, { once: true });
    try {
      const started = await this.#started();
      if (started && options.signal?.aborted === true) stop();
      await new Promise<void>((resolve) => {
        if (this.#state === "stopped") resolve();
        else this.#whenStopped.push(resolve);
      });
    } finally {
      removeSignals?.();
      options.signal?.removeEventListener("abort", stop);
    }
  }

  /** See `Server.stop`. */
  stop(options: StopOptions = {}): Promise<void> {
    try {
      STOP.check(options);
      checkDelay("drainMs", options.drainMs);
      checkDelay("retryAfterMs", options.retryAfterMs);
    } catch (error) {
      return Promise.reject(error);
    }
    if (this.#state === "stopped") return Promise.resolve();
    if (this.#stopping !== null) {
      if (options.drainMs !== undefined) this.#hurry?.(options.drainMs);
      return this.#stopping;
    }
    // Set before any application code runs, because that may call stop() again.
    let begin: (stopping: Promise<void>) => void = () => undefined;
    const stopping = new Promise<void>((resolve) => {
      begin = resolve;
    });
    this.#stopping = stopping;
    begin(
      this.#stop(options.drainMs ?? this.#host.config.drainMs, options.retryAfterMs ?? 0).finally(() => {
        this.#release?.();
        this.#release = null;
        this.#state = "stopped";
        this.#stopping = null;
        this.#hurry = null;
        const waiting = this.#whenStopped;
        this.#whenStopped = [];
        for (const resolve of waiting) resolve();
      }),
    );
    return stopping;
  }

  async #stop(drainMs: number, retryAfterMs: number): Promise<void> {
    this.#state = "stopping";
    if (this.#starting !== null) {
      this.#starting = null;
      return;
    }
    const host = this.#host;
    const deadline = withDeadline(host.runtime, drainMs);
    this.#hurry = deadline.shorten;
    // Clients whose streams are lost during the drain reconnect to the same address.
    const staysReachable = host.config.resume !== null && drainMs > 0;
    let listening = staysReachable ? undefined : this.#listener?.close();
    host.beginStop();
    await deadline.race(host.shutdown());
    let isDrained = false;
    const drained = host.drain({ endsInMs: deadline.leftMs, retryAfterMs }).then(() => {
      isDrained = true;
    });
    if (drainMs > 0) await deadline.race(drained);
    deadline.cancel();
    // Handlers that have just finished send their answers in this turn.
    if (!isDrained) await new Promise<void>((resolve) => host.runtime.nextTurn(resolve));
    if (staysReachable) listening = this.#listener?.close();
    await host.endAll();
    await listening;
    this.#listener = null;
    const hooks = withDeadline(host.runtime, Math.max(drainMs, 1));
    this.#hurry = hooks.shorten;
    await hooks.race(host.ended());
    hooks.cancel();
  }
}

/** @throws ConduitError INVALID_CONFIG */
function checkDelay(option: string, value: unknown): void {
  if (value === undefined || (typeof value === "number" && value >= 0 && value <= MAX_TIMER_MS)) return;
  const rule = `must be a number from 0 to ${MAX_TIMER_MS}`;
  const message = `Invalid option ${option} of server.stop(): ${rule}, got ${describeValue(value)}`;
  throw new ConduitError(ErrorCode.INVALID_CONFIG, message);
}
