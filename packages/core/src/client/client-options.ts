import * as v from "valibot";
import type { LoginCredentials } from "../auth/client-handshake.ts";
import { usernameProblem } from "../auth/user.ts";
import type { ResumeSettings } from "../connection/connection-settings.ts";
import {
  checkPeerOptions,
  MAX_NAME_CHARS,
  type PeerOptions,
  peerEntries,
  queueBytes,
  sealConfig,
  sealTls,
} from "../endpoint/endpoint-options.ts";
import { NETCONDUIT_REMARKS } from "../endpoint/netconduit-options.ts";
import { OptionProblems } from "../endpoint/option-problems.ts";
import {
  type Filled,
  flag,
  group,
  hostName,
  milliseconds,
  numberBetween,
  OptionGroup,
  oneOf,
  optionPaths,
  SWITCH_RULE,
  text,
  wholeNumber,
} from "../endpoint/option-rules.ts";
import {
  type ClientResumeOptions,
  clientResume,
  clientResumePaths,
  clientResumeSettings,
} from "../endpoint/resume-option.ts";
import { ConduitError, ErrorCode } from "../errors.ts";
import { DEFAULT_CONNECT_TIMEOUT_MS } from "../limits.ts";
import type { TlsClientOptions } from "../runtime.ts";
import { describeKind } from "../text/describe-value.ts";
import { ipFamily } from "../util/ip-address.ts";
import { isMap } from "../util/is-map.ts";

/** A password, or a function that returns it, called at every connect. */
export type Password = string | (() => string | Promise<string>);

/** A client's credentials: a password with or without a user name, a token, or the certificate of the option `tls`. */
export type Credentials = LoginCredentials;

/** Credentials, or a function that returns them, called at every connect and when they expire. */
export type CredentialsSource = Credentials | (() => Credentials | Promise<Credentials>);

/** Reconnect policy of a client. */
export interface ReconnectOptions {
  /** Whether to reconnect. Default true. */
  readonly enabled?: boolean | undefined;
  /** Consecutive attempts before giving up; 0 means unlimited. Default 0. */
  readonly attempts?: number | undefined;
  /** Delay before the first attempt; with `jitter`, the longest one. Default 2,000 ms. */
  readonly delayMs?: number | undefined;
  /** Limit of the growing delay; at least `delayMs`. Default 30,000 ms. */
  readonly maxDelayMs?: number | undefined;
  /** Factor by which the delay grows with each attempt; 1 to 100, fractions allowed. Default 2. */
  readonly multiplier?: number | undefined;
  /** Wait a random part of the delay, so that clients don't all reconnect at once. Default true. */
  readonly jitter?: boolean | undefined;
  /**
   * Leave a stopping server at a random moment once no calls are pending, and reconnect immediately. Use this for
   * several servers behind one address. Default false: the server closes the connection.
   */
  readonly leaveEarly?: boolean | undefined;
}

/** A server that listens on TCP. */
export interface TcpTarget {
  /** The server's host. Required unless `path` is given. */
  readonly host: string;
  /** The server's port, 1 to 65,535. Required unless `path` is given. */
  readonly port: number;
}

/** A server that listens on a Unix socket. */
export interface UnixTarget {
  /** Unix socket path. `host` and `port` aren't used. */
  readonly path: string;
}

/** Options of a client: its settings, and either `host` and `port` or `path` of the server. */
export type ClientOptions = ClientSettings & (UnixTarget | TcpTarget);

/** Options of a client, except for the server's address. All times are in whole milliseconds, 1 to 2^31-1. */
export interface ClientSettings extends PeerOptions {
  /** The server's password, or a function that returns it, called at every connect. Required without `credentials`. */
  readonly password?: Password | undefined;
  /**
   * Credentials, or a function that returns them, called at every connect. Replaces `password` and `username`. A
   * token is only sent over TLS, Unix sockets and the loopback address.
   */
  readonly credentials?: CredentialsSource | undefined;
  /** Name of the user that `password` belongs to. Default: none, for the server's shared password. */
  readonly username?: string | undefined;
  /** Name of the client, sent to the server; at most 256 characters. Default `"conduit_client"`. */
  readonly name?: string | undefined;

  /** Connect over IPv6 only; if false, over whichever address family connects first. Default false. */
  readonly ipv6?: boolean | undefined;
  /** Use TLS; `true` uses the defaults. Default: plain TCP. */
  readonly tls?: boolean | TlsClientOptions | undefined;
  /** Time limit from `connect()` to the end of the login. Default 10,000 ms. */
  readonly connectTimeoutMs?: number | undefined;
  /** Reconnect policy. Default: see {@link ReconnectOptions}. */
  readonly reconnect?: ReconnectOptions | undefined;
  /**
   * When the stream is lost, log in again and continue the connection where it was, if the server also has this
   * option. `true` uses the defaults. Needs `reconnect`. Default: the connection ends with its stream.
   */
  readonly resume?: boolean | ClientResumeOptions | undefined;
  /**
   * Messages and calls made while disconnected: `"reject"` rejects them with CONNECTION_CLOSED; `"send"` encodes them,
   * queues them up to `sendQueueSize` and `sendQueueBytes`, and sends them once connected. Default `"reject"`.
   */
  readonly queueWhileDisconnected?: "send" | "reject" | undefined;
}

/**
 * All options with defaults filled in, as in `client.config`. Frozen; `password`, `credentials` and `tls.key` aren't
 * enumerable, so that logging the config doesn't print secrets.
 */
export interface ClientConfig
  extends Filled<ClientSettings, "password" | "credentials" | "username" | "path" | "tls" | "reconnect" | "resume">,
    TcpTarget {
  readonly password: Password | undefined;
  readonly credentials: CredentialsSource | undefined;
  readonly username: string | undefined;
  /** Unix socket path, or `undefined` for TCP. With a path, `host` is `"localhost"` and `port` 0 by default. */
  readonly path: string | undefined;
  /** `null` for plain TCP. */
  readonly tls: TlsClientOptions | null;
  readonly reconnect: Filled<ReconnectOptions, never>;
  /** `null` if a connection ends with its stream. `windowMs` is 0, because the server decides it. */
  readonly resume: ResumeSettings | null;
}

/** Unlimited: a client that gave up after a minute would stay disconnected when its server is down for two. */
const DEFAULT_RECONNECT_ATTEMPTS = 0;
/** Delay and multiplier of netconduit's client; the longest delay is our own. */
const DEFAULT_RECONNECT_DELAY_MS = 2000;
const DEFAULT_RECONNECT_MAX_DELAY_MS = 30_000;
const DEFAULT_RECONNECT_MULTIPLIER = 2;

const tlsEntries = {
  ca: v.optional(text()),
  cert: v.optional(text()),
  key: v.optional(text()),
  serverName: v.optional(text()),
};

const reconnectEntries = {
  enabled: v.optional(flag(), true),
  attempts: v.optional(wholeNumber(0), DEFAULT_RECONNECT_ATTEMPTS),
  delayMs: v.optional(milliseconds(), DEFAULT_RECONNECT_DELAY_MS),
  maxDelayMs: v.optional(milliseconds(), DEFAULT_RECONNECT_MAX_DELAY_MS),
  multiplier: v.optional(numberBetween(1, 100), DEFAULT_RECONNECT_MULTIPLIER),
  jitter: v.optional(flag(), true),
  leaveEarly: v.optional(flag(), false),
};

const tlsGroup = group(tlsEntries, SWITCH_RULE);

function username(): v.GenericSchema<string> {
  const issue = (issue: { readonly input: unknown }): string => usernameProblem(issue.input) ?? "";
  return v.custom<string>((value) => usernameProblem(value) === null, issue);
}

function isPassword(value: unknown): value is Password {
  return isNonEmptyText(value) || typeof value === "function";
}

const CREDENTIALS = "{ username, password }, { token } or { certificate: true }";
const CREDENTIALS_RULE = `must be ${CREDENTIALS}, or a function that returns one of them`;

function isCredentials(value: unknown): value is Credentials {
  if (!isMap(value)) return false;
  const given = Object.keys(value).filter((name) => value[name] !== undefined);
  const consistsOf = (...names: string[]): boolean => given.every((name) => names.includes(name));
  const { username, password, token, certificate } = value;
  if (certificate !== undefined) return certificate === true && consistsOf("certificate");
  if (token !== undefined) return isNonEmptyText(token) && consistsOf("token");
  const isUsername = username === undefined || usernameProblem(username) === null;
  return isNonEmptyText(password) && isUsername && consistsOf("username", "password");
}

function isNonEmptyText(value: unknown): boolean {
  return typeof value === "string" && value !== "";
}

function isCredentialsSource(value: unknown): value is CredentialsSource {
  return typeof value === "function" || isCredentials(value);
}

/** @throws ConduitError INVALID_CONFIG if the value isn't valid credentials */
export function checkedCredentials(value: unknown): Credentials {
  if (isCredentials(value)) return value;
  const message = `The function credentials must return ${CREDENTIALS}, got ${describeKind(value)}`;
  throw new ConduitError(ErrorCode.INVALID_CONFIG, message);
}

const entries = {
  ...peerEntries,
  password: v.optional(v.custom<Password>(isPassword, "must be a non-empty string or a function")),
  credentials: v.optional(v.custom<CredentialsSource>(isCredentialsSource, CREDENTIALS_RULE)),
  username: v.optional(username()),
  name: v.optional(text(MAX_NAME_CHARS), "conduit_client"),
  host: v.optional(hostName()),
  port: v.optional(wholeNumber(1, 65_535)),
  ipv6: v.optional(flag(), false),
  // lazy instead of a union, to report problems inside the object at their path
  tls: v.optional(
    v.lazy(
      (input): v.GenericSchema<unknown, boolean | v.InferOutput<typeof tlsGroup>> =>
        typeof input === "boolean" ? (v.boolean() as v.GenericSchema<unknown, boolean>) : tlsGroup,
    ),
  ),
  connectTimeoutMs: v.optional(milliseconds(), DEFAULT_CONNECT_TIMEOUT_MS),
  reconnect: v.optional(group(reconnectEntries, "must be an object; { enabled: false } turns it off"), {}),
  resume: v.optional(clientResume),
  queueWhileDisconnected: v.optional(oneOf(["send", "reject"]), "reject"),
} satisfies Record<keyof ClientSettings | keyof TcpTarget, unknown>;

const optionGroup = new OptionGroup(entries);
type Parsed = ReturnType<typeof optionGroup.parse>;

const knownOptions: readonly string[] = [
  ...Object.keys(entries),
  ...optionPaths("tls", tlsEntries),
  ...optionPaths("reconnect", reconnectEntries),
  ...clientResumePaths,
];

const ALWAYS_VERIFIED = "certificates are always verified; to trust the server's, give it, or its CA, as tls.ca";
const remarks = {
  ...NETCONDUIT_REMARKS,
  url: "use host and port, or path",
  rejectUnauthorized: ALWAYS_VERIFIED,
  checkServerIdentity: ALWAYS_VERIFIED,
};

/**
 * Checks a client's options and fills in the defaults.
 *
 * @param owner whose options they are, for the message
 * @throws ConduitError INVALID_CONFIG. The message names every invalid option with its rule and value;
 *   `details.problems` lists them as `{option, rule, received}`. Secrets are never shown.
 */
export function parseClientOptions(options: unknown, owner = "the client"): ClientConfig {
  const problems = new OptionProblems(owner, knownOptions, ["password", "credentials", "tls.key"], remarks);
  if (isMap(options) && options["port"] === 0) {
    problems.add("port", "must be an integer from 1 to 65535; server.address has it once start() has resolved", 0);
  }
  // invalid options keep their invalid values, so rules about several options check `problems` first
  const parsed = optionGroup.parse(options, problems);
  const given = options as Readonly<Record<string, unknown>>;
  checkPeerOptions(problems, parsed, given);
  checkTarget(problems, parsed);
  checkCredentials(problems, parsed);
  if (!problems.has("reconnect")) checkReconnect(problems, parsed.reconnect, given["reconnect"] as ReconnectOptions);
  const tls = typeof parsed.tls === "object" ? parsed.tls : undefined;
  if (tls !== undefined && !problems.has("tls")) checkTls(problems, tls);
  problems.throwIfAny();

  const config = {
    ...parsed,
    password: parsed.password,
    credentials: parsed.credentials,
    username: parsed.username,
    ...queueBytes(parsed),
    host: parsed.host ?? "localhost",
    port: parsed.port ?? 0,
    path: parsed.path,
    tls: tls !== undefined || parsed.tls === true ? sealTls<TlsClientOptions>(tls ?? {}) : null,
    reconnect: Object.freeze(parsed.reconnect),
    resume: parsed.reconnect.enabled ? clientResumeSettings(parsed.resume) : null,
  };
  return sealConfig(config, ["password", "credentials"]);
}

function checkTarget(problems: OptionProblems, parsed: Parsed): void {
  if (parsed.path === undefined) {
    for (const option of ["host", "port"] as const) {
      if (parsed[option] === undefined) problems.add(option, "is required unless path is given", undefined);
    }
  }
  if (parsed.host === undefined || problems.has("host") || problems.has("ipv6")) return;
  if (parsed.ipv6 && ipFamily(parsed.host) === 4) {
    problems.add("host", "must be an IPv6 address or a name when ipv6 is true", parsed.host);
  }
}

function checkCredentials(problems: OptionProblems, { password, username, credentials, tls }: Parsed): void {
  if (problems.has("password") || problems.has("credentials")) return;
  if (credentials === undefined) {
    if (password === undefined) problems.addMissing("password", "is required unless credentials is given");
    return;
  }
  if (password !== undefined) problems.add("password", "must not be given together with credentials", password);
  if (username !== undefined) problems.add("username", "must not be given together with credentials", username);
  const hasCertificate = typeof tls === "object" && tls.cert !== undefined;
  if (typeof credentials === "object" && "certificate" in credentials && !hasCertificate) {
    problems.add("credentials", "must not be { certificate: true } without tls.cert and tls.key", credentials);
  }
}

function checkReconnect(
  problems: OptionProblems,
  reconnect: Parsed["reconnect"],
  given: ReconnectOptions | undefined,
): void {
  if (problems.has("reconnect.delayMs") || problems.has("reconnect.maxDelayMs")) return;
  const { delayMs, maxDelayMs } = reconnect;
  if (maxDelayMs >= delayMs) return;
  const rule = `must be at least reconnect.delayMs (${delayMs})`;
  problems.add("reconnect.maxDelayMs", rule, maxDelayMs, given?.maxDelayMs === undefined);
}

function checkTls(problems: OptionProblems, tls: TlsClientOptions): void {
  if (tls.cert !== undefined && tls.key === undefined) {
    problems.add("tls.key", "must be given together with tls.cert", undefined);
  } else if (tls.key !== undefined && tls.cert === undefined) {
    problems.add("tls.cert", "must be given together with tls.key", undefined);
  }
}
