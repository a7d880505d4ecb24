/** Finds the servers of a pool: those given by address, and one at each address of a name that resolves to several. */

import { formatEndpoint } from "../bytes/address.ts";
import type { TcpTarget, UnixTarget } from "../client/client-options.ts";
import type { Runtime } from "../runtime.ts";
import type { TimerHandle } from "../util/clock.ts";
import { ipFamily } from "../util/ip-address.ts";

/** Minimum time between a look-up and the next one caused by a lost server. */
const MIN_INTERVAL_MS = 5000;

/** A server to connect to. */
export interface PoolServer {
  /** Its address, unique in the pool: `10.0.0.1:8080`, `unix:/run/app.sock`. */
  readonly address: string;
  readonly target: TcpTarget | UnixTarget;
  /** The name whose addresses include `target.host`; null if the server wasn't found by name. */
  readonly name: string | null;
}

/** Settings of a {@link ServerLookup}. */
export interface LookupSettings {
  readonly servers: readonly (TcpTarget | UnixTarget)[];
  /** Whether to resolve IPv6 addresses only. */
  readonly ipv6: boolean;
  /** 0: never look up names. */
  readonly lookupIntervalMs: number;
  /** How long `start` waits for a look-up. */
  readonly connectTimeoutMs: number;
}

export class ServerLookup {
  readonly #runtime: Runtime;
  readonly #settings: LookupSettings;
  readonly #found: (servers: readonly PoolServer[]) => void;
  /** The last known servers of each entry in the option `servers`. */
  readonly #known: Map<TcpTarget | UnixTarget, readonly PoolServer[]>;
  #underWay: Promise<void> | null = null;
  #isRunning = false;
  #timer: TimerHandle | null = null;
  /** When the timer fires, and when the last look-up ended, in monotonic milliseconds. */
  #dueAtMs = 0;
  #endedAtMs = 0;

  /** @param found called after every look-up, and immediately with each name as one server */
  constructor(runtime: Runtime, settings: LookupSettings, found: (servers: readonly PoolServer[]) => void) {
    this.#runtime = runtime;
    this.#settings = settings;
    this.#found = found;
    this.#known = new Map(settings.servers.map((target) => [target, [serverAt(target, null)]]));
    this.#report();
  }

  /** Looks up all names, now and periodically. Resolves after the first look-up, or after `connectTimeoutMs`. */
  async start(): Promise<void> {
    this.#isRunning = true;
    if (!this.#hasNames) return;
    await this.#waitAtMost(this.#lookUp(), this.#settings.connectTimeoutMs);
  }

  stop(): void {
    this.#isRunning = false;
    this.#clearTimer();
  }

  /** Looks up names soon, because a server was lost or is leaving. */
  lookUpSoon(): void {
    if (this.#timer === null) return;
    this.#schedule(Math.max(0, this.#endedAtMs + MIN_INTERVAL_MS - this.#runtime.now()));
  }

  get #hasNames(): boolean {
    return this.#settings.lookupIntervalMs > 0 && this.#settings.servers.some((target) => nameIn(target) !== null);
  }

  /** Never rejects: a name that can't be looked up keeps its last known servers. */
  #lookUp(): Promise<void> {
    this.#clearTimer();
    this.#underWay ??= Promise.all(this.#settings.servers.map((target) => this.#resolve(target))).then(() => {
      this.#underWay = null;
      if (!this.#isRunning) return;
      this.#endedAtMs = this.#runtime.now();
      this.#schedule(this.#settings.lookupIntervalMs);
      this.#report();
    });
    return this.#underWay;
  }

  async #resolve(target: TcpTarget | UnixTarget): Promise<void> {
    const name = nameIn(target);
    if (name === null) return;
    const addresses = await this.#addressesOf(name);
    if (addresses.length === 0) return;
    const { port } = target as TcpTarget;
    const servers =
      addresses.length === 1 ? [serverAt(target, null)] : addresses.map((host) => serverAt({ host, port }, name));
    this.#known.set(target, servers);
  }

  /** IPv4 addresses if there are any, else IPv6, so that a dual-stack server counts as one. Empty if the look-up fails. */
  async #addressesOf(name: string): Promise<readonly string[]> {
    for (const family of this.#settings.ipv6 ? ([6] as const) : ([4, 6] as const)) {
      const addresses = await this.#runtime.lookup(name, family).catch(noAddresses);
      if (addresses.length > 0) return [...new Set(addresses)];
    }
    return [];
  }

  #report(): void {
    const servers = new Map([...this.#known.values()].flat().map((server) => [server.address, server]));
    this.#found([...servers.values()]);
  }

  /** The timer doesn't keep the process running: connections do. */
  #schedule(delayMs: number): void {
    const dueAtMs = this.#runtime.now() + delayMs;
    if (this.#timer !== null && this.#dueAtMs <= dueAtMs) return;
    this.#clearTimer();
    this.#dueAtMs = dueAtMs;
    this.#timer = this.#runtime.setTimer(() => void this.#lookUp(), delayMs, false);
  }

  #clearTimer(): void {
    if (this.#timer !== null) this.#runtime.clearTimer(this.#timer);
    this.#timer = null;
  }

  #waitAtMost(step: Promise<void>, ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = this.#runtime.setTimer(resolve, ms, true);
      void step.then(() => {
        this.#runtime.clearTimer(timer);
        resolve();
      });
    });
  }
}

/** The host name of a target; null if it is an address or a path. */
function nameIn(target: TcpTarget | UnixTarget): string | null {
  return ("path" in target && target.path !== undefined) || ipFamily((target as TcpTarget).host) !== 0
    ? null
    : (target as TcpTarget).host;
}

function serverAt(target: TcpTarget | UnixTarget, name: string | null): PoolServer {
  return { address: formatEndpoint(target), target, name };
}

/** Ignores the error: the client that connects to the name reports it. */
function noAddresses(): readonly string[] {
  return [];
}
