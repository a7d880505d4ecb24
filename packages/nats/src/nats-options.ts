import type { Authenticator, NodeConnectionOptions } from "@nats-io/transport-node";
import { credsAuthenticator, nkeyAuthenticator } from "@nats-io/transport-node";
import { type ClusterOptions, ConduitError, ErrorCode } from "@netconduit/core";
import { messageOf } from "@netconduit/core/adapter";
import type { NatsConnect } from "./nats-connect.ts";
import { type NameCheck, nameCheck } from "./server-names.ts";

/** TLS options for NATS. `ca`, `cert` and `key` are PEM text; `caFile`, `certFile` and `keyFile` are paths of PEM files. */
export interface NatsTlsOptions {
  /** CA that signed the certificate of the NATS server. Default: the CAs that the runtime trusts. */
  readonly ca?: string;
  readonly caFile?: string;
  /** Client certificate. Default: none. */
  readonly cert?: string;
  readonly certFile?: string;
  /** Private key of the client certificate. */
  readonly key?: string;
  readonly keyFile?: string;
  /** Do the TLS handshake before NATS's INFO message; needs `handshake_first` on the server. Default false. */
  readonly handshakeFirst?: boolean;
}

/** Options of a node in a cluster over NATS. Times are in milliseconds, sizes in bytes. */
export interface NatsClusterOptions extends ClusterOptions {
  /**
   * One or more servers: `nats://host:4222`, or `tls://host:4222`. The other servers of a NATS cluster are discovered
   * automatically. With `wsconnect` as the option `connect`, `ws://host:8080` or `wss://host:443`.
   */
  readonly servers: string | readonly string[];
  /**
   * Name of the cluster: 1 to 64 characters `A-Z a-z 0-9 _ -`. Nodes with the same name in the same NATS account form
   * a cluster.
   */
  readonly name: string;
  /** User name for NATS. Default: none. */
  readonly user?: string | undefined;
  /** Password of `user`. */
  readonly pass?: string | undefined;
  /** Token for NATS, instead of `user` and `pass`. Default: none. */
  readonly token?: string | undefined;
  /** Text of a `.creds` file (JWT and seed), or a function that returns it at each connect. */
  readonly credentials?: string | (() => string) | undefined;
  /** Seed of an NKey (`SU…`), or a function that returns it at each connect. */
  readonly nkeySeed?: string | (() => string) | undefined;
  /**
   * `true` or options to require TLS. Default: TLS if the NATS server offers it; Node.js and Deno then check only names,
   * so a server in `servers` by its address needs `true`.
   */
  readonly tls?: boolean | NatsTlsOptions | undefined;
  /**
   * Prefix of all subjects, which must be unique to the cluster: nodes with the same prefix receive each other's
   * messages, even with different names. Default `netconduit.NAME`. docs/nats-permissions.md lists the subjects.
   */
  readonly subjectPrefix?: string | undefined;
  /** Replicas of logs and records in a NATS cluster: 1, 3 or 5. Applies to newly created ones. Default 1. */
  readonly replicas?: 1 | 3 | 5 | undefined;
  /** Largest message between nodes. Messages over NATS's limit (1 MiB by default) are sent in chunks. Default 16 MiB. */
  readonly maxPayloadBytes?: number | undefined;
  /** Limit of the bytes in flight to NATS, and of those waiting to be stored in logs; further messages are rejected. Default 32 MiB. */
  readonly maxPendingBytes?: number | undefined;
  /** Timeout for connecting, including TLS and login. Default 5,000. */
  readonly connectTimeoutMs?: number | undefined;
  /** Ping interval. A NATS server that doesn't answer is considered lost after two to three intervals. Default 3,000. */
  readonly pingIntervalMs?: number | undefined;
  /**
   * The `connect` function of another nats.js transport, such as `jsr:@nats-io/transport-deno`, or `wsconnect` of
   * `@nats-io/nats-core`. All connections of a process use the same transport. Default: `@nats-io/transport-node`.
   */
  readonly connect?: NatsConnect | undefined;
}

/** Options with defaults filled in. */
export interface NatsConfig {
  readonly servers: string[];
  readonly name: string;
  readonly subjectPrefix: string;
  readonly replicas: 1 | 3 | 5;
  readonly maxPayloadBytes: number;
  readonly maxPendingBytes: number;
  readonly connectTimeoutMs: number;
  readonly pingIntervalMs: number;
  readonly connect: NatsConnect | undefined;
  /** Login options that are passed to nats.js. */
  readonly login: Pick<NodeConnectionOptions, "user" | "pass" | "token" | "authenticator"> & {
    tls?: (NatsTlsOptions & { readonly checkServerIdentity: NameCheck }) | null;
  };
}

/** Prefix of the subjects for replies. */
export function inboxPrefixOf({ subjectPrefix }: NatsConfig): string {
  return `${subjectPrefix}.inbox`;
}

const NAME = /^[\w-]{1,64}$/;
const PREFIX = /^[\w-]+(\.[\w-]+)*$/;
const MiB = 2 ** 20;

/** All option names, to detect misspelt ones. */
const KNOWN: Readonly<Record<keyof NatsClusterOptions, true>> = {
  servers: true,
  name: true,
  user: true,
  pass: true,
  token: true,
  credentials: true,
  nkeySeed: true,
  tls: true,
  subjectPrefix: true,
  replicas: true,
  maxPayloadBytes: true,
  maxPendingBytes: true,
  connectTimeoutMs: true,
  pingIntervalMs: true,
  connect: true,
  nodeId: true,
  heartbeatMs: true,
  nodeTimeoutMs: true,
  answerTimeoutMs: true,
};

/** @throws ConduitError INVALID_CONFIG */
export function parseNatsOptions(options: NatsClusterOptions): NatsConfig {
  if (typeof options !== "object" || options === null) {
    const message = 'natsCluster needs options: natsCluster({ servers: "nats://host:4222", name: "fleet" })';
    throw new ConduitError(ErrorCode.INVALID_CONFIG, message);
  }
  const unknown = Object.keys(options).filter((option) => !(option in KNOWN));
  if (unknown.length > 0) {
    const message = `Unknown option ${unknown.join(", ")} of natsCluster; it has ${Object.keys(KNOWN).join(", ")}`;
    throw new ConduitError(ErrorCode.INVALID_CONFIG, message);
  }
  const { name, subjectPrefix, replicas = 1, connect } = options;
  if (typeof name !== "string" || !NAME.test(name))
    throw invalid("name", "must be 1 to 64 characters A-Z a-z 0-9 _ -", name);
  if (subjectPrefix !== undefined && !PREFIX.test(subjectPrefix)) {
    throw invalid("subjectPrefix", "must be words of A-Z a-z 0-9 _ -, with points between them", subjectPrefix);
  }
  if (![1, 3, 5].includes(replicas)) throw invalid("replicas", "must be 1, 3 or 5", replicas);
  if (connect !== undefined && typeof connect !== "function") throw invalid("connect", "must be a function", connect);
  const servers = parseServers(options.servers, connect !== undefined);
  const { tls = false } = options;
  if (isWebSocket(servers[0]) && tls !== false) {
    throw invalid("tls", "isn't for WebSockets: use wss:// and the certificates that the runtime trusts", tls);
  }
  return {
    servers,
    name,
    subjectPrefix: subjectPrefix ?? `netconduit.${name}`,
    replicas,
    maxPayloadBytes: wholeNumber(options, "maxPayloadBytes", 16 * MiB),
    maxPendingBytes: wholeNumber(options, "maxPendingBytes", 32 * MiB),
    connectTimeoutMs: wholeNumber(options, "connectTimeoutMs", 5000),
    pingIntervalMs: wholeNumber(options, "pingIntervalMs", 3000),
    connect,
    login: parseLogin(options, servers),
  };
}

/** @param isConnectGiven whether the application passed a transport of its own */
function parseServers(servers: string | readonly string[], isConnectGiven: boolean): string[] {
  const list = typeof servers === "string" ? [servers] : Array.isArray(servers) ? [...servers] : [];
  if (list.length === 0) throw invalid("servers", "must name at least one server", servers);
  for (const server of list) {
    // Checked first, because other error messages contain the URL.
    if (typeof server === "string" && server.includes("@")) {
      throw new ConduitError(
        ErrorCode.INVALID_CONFIG,
        "Invalid option servers of natsCluster: a URL has a user or password; give them as the options user and pass, or token",
      );
    }
    const url = typeof server === "string" && URL.canParse(server) ? new URL(server) : null;
    const isKnown = ["nats:", "tls:"].includes(url?.protocol ?? "") || isWebSocket(server);
    if (url === null || !isKnown || url.hostname === "") {
      throw invalid("servers", "must be URLs such as nats://host:4222 or tls://host:4222", server);
    }
    if (isWebSocket(server) && !isConnectGiven) {
      throw invalid(
        "servers",
        "can't be WebSockets without the option connect: wsconnect of @nats-io/nats-core",
        server,
      );
    }
    if (isWebSocket(server) !== isWebSocket(list[0])) {
      throw invalid("servers", "must all be WebSockets, or none", server);
    }
  }
  return list;
}

function isWebSocket(server: unknown): boolean {
  return typeof server === "string" && /^wss?:/i.test(server);
}

function parseLogin(options: NatsClusterOptions, servers: readonly string[]): NatsConfig["login"] {
  const { user, pass, token, credentials, nkeySeed, tls } = options;
  const ways = Object.entries({ user, token, credentials, nkeySeed }).filter(([, value]) => value !== undefined);
  if (ways.length > 1) {
    const names = ways.map(([name]) => name).join(", ");
    throw new ConduitError(
      ErrorCode.INVALID_CONFIG,
      `Invalid options ${names} of natsCluster: only one of them can be given`,
    );
  }
  if (pass !== undefined && user === undefined) throw invalid("pass", "needs the option user", "…");
  const wantsTls = tls === true || servers.some((server) => server.startsWith("tls:"));
  const login: NatsConfig["login"] = {};
  if (user !== undefined) Object.assign(login, { user, pass: pass ?? "" });
  if (token !== undefined) login.token = token;
  const names = { checkServerIdentity: nameCheck(servers) };
  if (typeof tls === "object") login.tls = { ...tls, ...names };
  else if (wantsTls) login.tls = names;
  else if (tls === false) login.tls = null;
  const bytesOf = (text: string | (() => string)) => (): Uint8Array =>
    new TextEncoder().encode(typeof text === "function" ? text() : text);
  if (credentials !== undefined) {
    const bytes = bytesOf(credentials);
    // nats.js would call a function twice, for the JWT and for the seed, which might then belong to different users.
    login.authenticator = withOptionName("credentials", (nonce) => credsAuthenticator(bytes())(nonce));
  }
  if (nkeySeed !== undefined) login.authenticator = withOptionName("nkeySeed", nkeyAuthenticator(bytesOf(nkeySeed)));
  return login;
}

/** Wraps an authenticator so that its errors name the option. @throws ConduitError AUTH_FAILED */
function withOptionName(option: string, authenticator: Authenticator): Authenticator {
  return (nonce) => {
    try {
      return authenticator(nonce);
    } catch (cause) {
      const message = `Cannot log in to NATS: the option ${option} gives no valid login: ${messageOf(cause)}`;
      throw new ConduitError(ErrorCode.AUTH_FAILED, message, { cause });
    }
  };
}

type NumberOption = "maxPayloadBytes" | "maxPendingBytes" | "connectTimeoutMs" | "pingIntervalMs";

function wholeNumber(options: NatsClusterOptions, name: NumberOption, byDefault: number): number {
  const value = options[name] ?? byDefault;
  if (!Number.isSafeInteger(value) || value < 1) throw invalid(name, "must be a whole number of at least 1", value);
  return value;
}

function invalid(name: string, rule: string, value: unknown): ConduitError {
  const shown = typeof value === "string" ? `"${value.slice(0, 100)}"` : String(value);
  return new ConduitError(ErrorCode.INVALID_CONFIG, `Invalid option ${name} of natsCluster: ${rule}, got ${shown}`);
}
