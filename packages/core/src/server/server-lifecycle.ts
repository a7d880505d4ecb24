/**
 * A server's life: from `start` to `stop`, whatever is called while something else is under way.
 */

import { ConduitError, ErrorCode } from "../errors.ts";
import type { Listener, Runtime } from "../runtime.ts";
import { withDeadline } from "../util/time.ts";

/** A server's life. */
export type ServerState = "stopped" | "starting" | "running" | "stopping";

/** Options of `stop`. */
export interface StopOptions {
  /** Milliseconds running handlers and shutdown hooks may take. Default: option `drainMs`. */
  readonly drainMs?: number | undefined;
}

/** What a server does at the stations of its life. */
export interface LifeHost {
  readonly runtime: Runtime;
  readonly config: { readonly drainMs: number; readonly handleSignals: boolean };
  /** All that comes before listening. What it throws is why there is no start. */
  prepare(): Promise<void>;
  listen(): Promise<Listener>;
  /** The `onListening` hooks. Never rejects. */
  listening(): Promise<void>;
  /** Clients that are logging in are turned away. */
  refuseLogins(): void;
  /** The `onShutdown` hooks. Never rejects. */
  shutdown(): Promise<void>;
  /** Connections take no new requests; resolves once none of them has any left. */
  drain(): Promise<unknown>;
  /** All connections end in order. */
  endAll(): Promise<void>;
  /** Resolves once the hooks of connections that have ended are done. */
  ended(): Promise<unknown>;
  /** The server's own `stop`, which may be one of a subclass. */
  stop(options: StopOptions): Promise<void>;
  /** It failed, and nobody waits for it. */
  stopFailed(error: unknown): void;
}

export class ServerLifecycle {
  readonly #host: LifeHost;
  #state: ServerState = "stopped";
  #listener: Listener | null = null;
  /** The start under way, which a second `start` joins. */
  #startup: Promise<boolean> | null = null;
  /** Identifies the start that is under way; null: none is. */
  #starting: object | null = null;
  #stopping: Promise<void> | null = null;
  /** Shortens the drain under way. */
  #hurry: ((drainMs: number) => void) | null = null;
  #whenStopped: (() => void)[] = [];

  constructor(host: LifeHost) {
    this.#host = host;
  }

  get state(): ServerState {
    return this.#state;
  }

  /** Clients get in. A worker of a cluster may be given some before it has heard that it listens. */
  get isOpen(): boolean {
    return this.#state === "running" || this.#starting !== null;
  }

  /** Where the server listens; null while it does not. */
  get address(): Listener["address"] | null {
    return this.#listener?.address ?? null;
  }

  /** As `Server.start`. */
  async start(): Promise<void> {
    if (await this.#started()) return;
    throw new ConduitError(ErrorCode.INVALID_STATE, "The server was stopped while it started");
  }

  /** Starts, or joins the start that is under way. @returns false if it was stopped meanwhile. */
  #started(): Promise<boolean> {
    if (this.#state !== "starting" || this.#startup === null) this.#startup = this.#start();
    return this.#startup;
  }

  async #start(): Promise<boolean> {
    if (this.#state === "running") return true;
    if (this.#state !== "stopped") {
      throw new ConduitError(ErrorCode.INVALID_STATE, `Cannot start a server that is ${this.#state}`);
    }
    this.#state = "starting";
    // After a stop() in the midst of it another start may be under way, so the state alone does not tell.
    const start = {};
    this.#starting = start;
    try {
      await this.#host.prepare();
      if (this.#starting !== start) return false;
      const listener = await this.#host.listen();
      if (this.#starting !== start) {
        await listener.close();
        if (this.#starting === null) await this.#host.endAll();
        return false;
      }
      this.#listener = listener;
      this.#state = "running";
      // From here on stop() has a listener to close.
      this.#starting = null;
      await this.#host.listening();
      return true;
    } catch (error) {
      if (this.#starting === start) this.#state = "stopped";
      throw error;
    } finally {
      if (this.#starting === start) this.#starting = null;
    }
  }

  /** As `Server.run`. */
  async run(options: { readonly signal?: AbortSignal } = {}): Promise<void> {
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

  /** As `Server.stop`. */
  stop(options: StopOptions = {}): Promise<void> {
    if (this.#state === "stopped") return Promise.resolve();
    if (this.#stopping !== null) {
      if (options.drainMs !== undefined) this.#hurry?.(options.drainMs);
      return this.#stopping;
    }
    // Before anything of the application runs, which may call this again.
    let begin: (stopping: Promise<void>) => void = () => undefined;
    const stopping = new Promise<void>((resolve) => {
      begin = resolve;
    });
    this.#stopping = stopping;
    begin(
      this.#stop(options.drainMs ?? this.#host.config.drainMs).finally(() => {
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

  async #stop(drainMs: number): Promise<void> {
    this.#state = "stopping";
    if (this.#starting !== null) {
      this.#starting = null;
      return;
    }
    const host = this.#host;
    const deadline = withDeadline(host.runtime, drainMs);
    this.#hurry = deadline.shorten;
    const listening = this.#listener?.close();
    host.refuseLogins();
    await deadline.race(host.shutdown());
    await deadline.race(host.drain());
    deadline.cancel();
    await host.endAll();
    await listening;
    this.#listener = null;
    const hooks = withDeadline(host.runtime, Math.max(drainMs, 1));
    this.#hurry = hooks.shorten;
    await hooks.race(host.ended());
    hooks.cancel();
  }
}
