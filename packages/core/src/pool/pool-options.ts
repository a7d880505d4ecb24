import * as v from "valibot";
import {
  type ClientConfig,
  type ClientSettings,
  parseClientOptions,
  type TcpTarget,
  type UnixTarget,
} from "../client/client-options.ts";
import { sealConfig } from "../endpoint/endpoint-options.ts";
import { OptionProblems } from "../endpoint/option-problems.ts";
import { group, hostName, milliseconds, oneOf, text, wholeNumber } from "../endpoint/option-rules.ts";
import type { PoolStrategy } from "./strategy.ts";

/** Options of a pool: its clients' options, and the servers. */
export interface PoolOptions extends Omit<ClientSettings, "path"> {
  /** The servers, at least one. A name with several addresses counts as one server at each. Required. */
  readonly servers: readonly (TcpTarget | UnixTarget)[];
  /** Connections to each server; 1 to 1,000. Default 1. */
  readonly size?: number | undefined;
  /**
   * How the connection for the next call or message is chosen: in turn (`"round-robin"`), at random (`"random"`), by
   * the fewest pending calls (`"least-pending"`), or by expected latency (`"least-latency"`), which is the average
   * time of heartbeats and calls times the number of pending calls plus one. Default `"round-robin"`.
   */
  readonly strategy?: PoolStrategy | undefined;
  /**
   * Interval between look-ups of the servers' names. A lost server causes one sooner, but no earlier than 5 seconds
   * after the last one. 0 disables look-ups: each name is one server, at whichever address connects. Default 30,000
   * ms.
   */
  readonly lookupIntervalMs?: number | undefined;
}

/**
 * All options of a pool with defaults filled in, as in `pool.config`. Frozen; `password`, `credentials` and `tls.key`
 * aren't enumerable, so that logging the config doesn't print secrets.
 */
export interface PoolConfig extends Omit<ClientConfig, "host" | "port" | "path"> {
  readonly servers: readonly (TcpTarget | UnixTarget)[];
  readonly size: number;
  readonly strategy: PoolStrategy;
  readonly lookupIntervalMs: number;
}

const MAX_SIZE = 1000;
const DEFAULT_LOOKUP_INTERVAL_MS = 30_000;

const serverEntries = {
  host: v.optional(hostName()),
  port: v.optional(wholeNumber(1, 65_535)),
  path: v.optional(text()),
};

const entries = {
  servers: v.pipe(
    v.array(group(serverEntries, "must be an object ({ host, port } or { path })"), "must be an array"),
    v.minLength(1, "must list at least one server"),
  ),
  size: v.optional(wholeNumber(1, MAX_SIZE), 1),
  strategy: v.optional(oneOf(["round-robin", "random", "least-latency", "least-pending"]), "round-robin"),
  lookupIntervalMs: v.optional(milliseconds(0), DEFAULT_LOOKUP_INTERVAL_MS),
} satisfies Record<Exclude<keyof PoolOptions, keyof ClientSettings>, unknown>;

const schema = group(entries);
const known = Object.keys(entries);

/**
 * Checks a pool's options, without `contract`, and fills in the defaults.
 *
 * @throws ConduitError INVALID_CONFIG, like `parseClientOptions`
 */
export function parsePoolOptions(options: unknown): PoolConfig {
  const given = Object.entries(options ?? {});
  const own = Object.fromEntries(given.filter(([name]) => known.includes(name)));
  const forClients = Object.fromEntries(given.filter(([name]) => !known.includes(name)));
  const problems = new OptionProblems("the pool", known, []);
  const result = v.safeParse(schema, typeof options === "object" && options !== null ? own : options);
  if (!result.success) problems.addIssues(result.issues);
  for (const option of Object.keys(serverEntries)) {
    if (forClients[option] !== undefined) problems.add(option, "must be given in servers", forClients[option]);
  }
  const parsed = result.output as v.InferOutput<typeof schema>;
  if (result.success) checkServers(problems, parsed.servers);
  problems.throwIfAny();

  const servers = parsed.servers.map((server) => Object.freeze(server) as TcpTarget | UnixTarget);
  const [config] = servers.map((server) => parseClientOptions({ ...forClients, ...server }, "the pool"));
  const { host: _host, port: _port, path: _path, ...shared } = config as ClientConfig;
  const { password, credentials } = config as ClientConfig;
  return sealConfig({ ...shared, ...parsed, password, credentials, servers: Object.freeze(servers) }, [
    "password",
    "credentials",
  ]);
}

function checkServers(problems: OptionProblems, servers: v.InferOutput<typeof schema>["servers"]): void {
  const rule = "is required unless path is given";
  for (const [index, server] of servers.entries()) {
    for (const option of ["host", "port"] as const) {
      if (server.path === undefined && server[option] === undefined) {
        problems.add(`servers.${index}.${option}`, rule, undefined);
      }
    }
  }
}
