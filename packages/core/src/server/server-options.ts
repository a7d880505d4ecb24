import * as v from "valibot";
import type { CertificateCheck, TokenCheck } from "../auth/login-methods.ts";
import type { UserEntry, VerifierLookup } from "../auth/users.ts";
import {
  checkPeerOptions,
  checkQueueBytes,
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
  callback,
  type Filled,
  flag,
  group,
  hostName,
  milliseconds,
  OptionGroup,
  oneOf,
  optionPaths,
  positiveNumber,
  secretText,
  text,
  wholeNumber,
} from "../endpoint/option-rules.ts";
import {
  type ServerResumeOptions,
  type ServerResumeSettings,
  serverResume,
  serverResumePaths,
  serverResumeSettings,
} from "../endpoint/resume-option.ts";
import { ConduitError, ErrorCode } from "../errors.ts";
import {
  DEFAULT_AUTH_TIMEOUT_MS,
  DEFAULT_CONNECTION_TIMEOUT_MS,
  DEFAULT_DRAIN_MS,
  DEFAULT_MAX_BUFFERED_BYTES,
  DEFAULT_MAX_CONNECTIONS,
  DEFAULT_MAX_SUBSCRIPTIONS,
  DEFAULT_MAX_TOPIC_BYTES,
  SCRAM_ITERATIONS,
  SCRAM_MAX_ITERATIONS,
  SCRAM_MIN_ITERATIONS,
} from "../limits.ts";
import type { TlsServerOptions } from "../runtime.ts";
import { ipFamily } from "../util/ip-address.ts";
import { isMap } from "../util/is-map.ts";
import { checkUsers, USER_SECRETS } from "./user-options.ts";

/**
 * Rate limit per client. Over it, reading pauses until the rate allows the next frame. The first frame over the limit
 * in each second is rejected: a call is answered with RATE_LIMITED, a message is dropped and reported. A client that
 * exceeds the limit for more than ten seconds in a row is disconnected with RATE_LIMITED.
 */
export interface RateLimitOptions {
  /** Messages and calls per second, fractions allowed. Default: no limit. */
  readonly messagesPerSecond?: number | undefined;
  /** Bytes of frames per second. Default: no limit. */
  readonly bytesPerSecond?: number | undefined;
}

/**
 * Functions that identify the user of a client. Their input comes from unauthenticated clients. If one throws, the
 * login fails with INTERNAL, and `onError` gets the error with the stage `login`.
 */
export interface AuthenticateOptions {
  /** Finds a user by its name. A user of the option `users` takes precedence. Default: only `users` are known. */
  readonly scram?: VerifierLookup | undefined;
  /**
   * Checks a token, for example a JWT, and returns its user, or null if it isn't valid. Tokens are only accepted over
   * TLS, Unix sockets and the loopback address. Default: tokens are rejected.
   */
  readonly token?: TokenCheck | undefined;
  /**
   * Returns the user of a client certificate that `tls.ca` has signed, or null for none. Default: clients can't log
   * in with a certificate alone.
   */
  readonly certificate?: CertificateCheck | undefined;
  /**
   * Derives the salts that are sent for unknown user names; at least 16 characters. Use the same secret on all
   * servers with the same users and across restarts, because a salt that changes reveals an unknown name. Default:
   * random at each start.
   */
  readonly secret?: string | undefined;
}

/** Options of a server. All times are in whole milliseconds, 1 to 2^31-1 unless stated otherwise. */
export interface ServerOptions extends PeerOptions {
  /**
   * Password for clients that log in without a user name; not empty. Required unless `users` or `authenticate` is
   * given. Python netconduit clients can only log in with this password.
   */
  readonly password?: string | undefined;
  /** Users by name, each with a password or verifier and roles, or just a verifier. Default: none. */
  readonly users?: Readonly<Record<string, UserEntry>> | undefined;
  /** Functions that identify the user of a client. Default: none. */
  readonly authenticate?: AuthenticateOptions | undefined;
  /** Name of the server, sent to clients; at most 256 characters. Default `"conduit_server"`. */
  readonly name?: string | undefined;

  /** Address to listen on. Default `"0.0.0.0"`, or `"::"` when `ipv6` is true. */
  readonly host?: string | undefined;
  /** Port to listen on; 0 picks any free port, see `server.address`. Default 8080. */
  readonly port?: number | undefined;
  /** Listen on IPv6; `"::"` also accepts IPv4 clients. Default: true if `host` is an IPv6 address, else false. */
  readonly ipv6?: boolean | undefined;
  /** Certificate and key for TLS. Default: plain TCP. */
  readonly tls?: TlsServerOptions | undefined;

  /**
   * Maximum number of logged-in clients; further logins fail with SERVER_FULL. Closing clients count until they have
   * disconnected; a login that needs a place aborts the oldest of them. Default 100.
   */
  readonly maxConnections?: number | undefined;
  /** Maximum number of connections that haven't logged in yet; a new one closes the oldest. Default 1,000. */
  readonly maxPendingLogins?: number | undefined;
  /** Time limit from accept to ready, connect hooks included. Default 30,000 ms. */
  readonly connectionTimeoutMs?: number | undefined;
  /** Time limit from accept to login. Default 10,000 ms. */
  readonly authTimeoutMs?: number | undefined;
  /** PBKDF2 iterations of SCRAM-SHA-256; 4,096 to 1,000,000. Default 15,000. */
  readonly scramIterations?: number | undefined;

  /**
   * Limit of the memory that all connections hold together, in bytes: incomplete messages, messages that wait or are
   * being handled, data that clients haven't read, and messages with `ack` and calls with `once` that they haven't
   * answered. Beyond it, the largest connection of the address that holds
   * most is aborted with BUFFER_LIMIT. At least `maxMessageBytes` + 1,024. Default 256 MiB, or four times
   * `maxMessageBytes` if that is larger.
   */
  readonly maxBufferedBytes?: number | undefined;
  /** Rate limit per client. Default: no limit. */
  readonly rateLimit?: RateLimitOptions | undefined;
  /**
   * How a broadcast handles a client whose send queue is full: `drop` skips the message for it, `disconnect` ends its
   * connection. Default `"disconnect"`.
   */
  readonly slowConsumer?: "drop" | "disconnect" | undefined;
  /** Maximum number of topics per client; 1 to 1,000,000. Default 1,000. */
  readonly maxSubscriptions?: number | undefined;
  /**
   * Limit of the history that all topics of patterns keep together, in bytes. Beyond it, the topics that keep most
   * drop their oldest messages. Default 256 MiB.
   */
  readonly maxTopicBytes?: number | undefined;
  /**
   * Lets sessions outlive their streams: when a client's stream is lost, its connection waits for the client to log
   * in again and continues where it was. `true` uses the defaults. Default: a connection ends with its stream.
   */
  readonly resume?: boolean | ServerResumeOptions | undefined;
  /** How long `stop()` waits for running handlers; 0 to not wait. Default 5,000 ms. */
  readonly drainMs?: number | undefined;
  /** Whether `run()` stops the server on SIGINT and SIGTERM. Default true. */
  readonly handleSignals?: boolean | undefined;
}

/**
 * All options with defaults filled in, as in `server.config`. Frozen; `password`, `users`, `authenticate` and `tls.key`
 * aren't enumerable, so that logging the config doesn't print secrets.
 */
export interface ServerConfig
  extends Filled<ServerOptions, "password" | "users" | "authenticate" | "path" | "tls" | "rateLimit" | "resume"> {
  readonly password: string | undefined;
  /** As passed to the constructor; `null` for none. */
  readonly users: Readonly<Record<string, UserEntry>> | null;
  /** `null` for none. */
  readonly authenticate: AuthenticateOptions | null;
  /** Unix socket path, or `undefined` for TCP. */
  readonly path: string | undefined;
  /** `null` for plain TCP. */
  readonly tls: TlsServerOptions | null;
  /** `null` if connections end with their streams. */
  readonly resume: ServerResumeSettings | null;
  /** `null` for no limit. A single unlimited rate is `Infinity`. */
  readonly rateLimit: { readonly messagesPerSecond: number; readonly bytesPerSecond: number } | null;
}

const MIN_SECRET_CHARS = 16;
/** Allows a burst of this many logins. Before login, a connection holds little more than its socket. */
const DEFAULT_MAX_PENDING_LOGINS = 1000;

const tlsEntries = {
  cert: text(),
  key: text(),
  ca: v.optional(text()),
  requireClientCertificate: v.optional(flag(), false),
};

const rateLimitEntries = {
  messagesPerSecond: v.optional(positiveNumber()),
  bytesPerSecond: v.optional(positiveNumber()),
};

const authenticateEntries = {
  scram: v.optional(callback<VerifierLookup>()),
  token: v.optional(callback<TokenCheck>()),
  certificate: v.optional(callback<CertificateCheck>()),
  secret: v.optional(secretText(MIN_SECRET_CHARS)),
};

const entries = {
  ...peerEntries,
  password: v.optional(text()),
  users: v.optional(v.custom<Readonly<Record<string, UserEntry>>>(isMap, "must be an object")),
  authenticate: v.optional(group(authenticateEntries)),
  name: v.optional(text(MAX_NAME_CHARS), "conduit_server"),
  host: v.optional(hostName()),
  port: v.optional(wholeNumber(0, 65_535), 8080),
  ipv6: v.optional(flag()),
  tls: v.optional(group(tlsEntries)),
  maxConnections: v.optional(wholeNumber(1), DEFAULT_MAX_CONNECTIONS),
  maxPendingLogins: v.optional(wholeNumber(1), DEFAULT_MAX_PENDING_LOGINS),
  connectionTimeoutMs: v.optional(milliseconds(), DEFAULT_CONNECTION_TIMEOUT_MS),
  authTimeoutMs: v.optional(milliseconds(), DEFAULT_AUTH_TIMEOUT_MS),
  scramIterations: v.optional(wholeNumber(SCRAM_MIN_ITERATIONS, SCRAM_MAX_ITERATIONS), SCRAM_ITERATIONS),
  maxBufferedBytes: v.optional(wholeNumber(1)),
  rateLimit: v.optional(group(rateLimitEntries)),
  maxSubscriptions: v.optional(wholeNumber(1, 1_000_000), DEFAULT_MAX_SUBSCRIPTIONS),
  maxTopicBytes: v.optional(wholeNumber(1), DEFAULT_MAX_TOPIC_BYTES),
  slowConsumer: v.optional(oneOf(["drop", "disconnect"]), "disconnect"),
  resume: v.optional(serverResume),
  drainMs: v.optional(milliseconds(0), DEFAULT_DRAIN_MS),
  handleSignals: v.optional(flag(), true),
} satisfies Record<keyof ServerOptions, unknown>;

const optionGroup = new OptionGroup(entries);
type Parsed = ReturnType<typeof optionGroup.parse>;

const knownOptions: readonly string[] = [
  ...Object.keys(entries),
  ...optionPaths("tls", tlsEntries),
  ...optionPaths("rateLimit", rateLimitEntries),
  ...optionPaths("authenticate", authenticateEntries),
  ...serverResumePaths,
];

const remarks = {
  ...NETCONDUIT_REMARKS,
  rejectUnauthorized: "did you mean tls.requireClientCertificate?",
  requestCert: "set tls.ca to ask clients for a certificate",
};

/**
 * Checks a server's options and fills in the defaults.
 *
 * @throws ConduitError INVALID_CONFIG. The message names every invalid option with its rule and value;
 *   `details.problems` lists them as `{option, rule, received}`. Secrets are never shown.
 */
export function parseServerOptions(options: unknown): ServerConfig {
  const problems = new OptionProblems(
    "the server",
    knownOptions,
    ["password", "tls.key", "authenticate.secret", ...USER_SECRETS],
    remarks,
  );
  // invalid options keep their invalid values, so rules about several options check `problems` first
  const parsed = optionGroup.parse(options, problems);
  checkPeerOptions(problems, parsed, options as Readonly<Record<string, unknown>>);
  checkQueueBytes(problems, "maxBufferedBytes", parsed);
  checkHost(problems, parsed.host, parsed.ipv6);
  checkLogin(problems, parsed);
  if (!problems.has("tls") && parsed.tls?.requireClientCertificate === true && parsed.tls.ca === undefined) {
    problems.add("tls.requireClientCertificate", "must not be true without tls.ca", true);
  }
  problems.throwIfAny();

  const ipv6 = parsed.ipv6 ?? (parsed.host !== undefined && ipFamily(parsed.host) === 6);
  const config = {
    ...parsed,
    password: parsed.password,
    users: parsed.users === undefined ? null : Object.freeze({ ...parsed.users }),
    authenticate: parsed.authenticate === undefined ? null : Object.freeze({ ...parsed.authenticate }),
    ...queueBytes(parsed),
    maxBufferedBytes: parsed.maxBufferedBytes ?? Math.max(DEFAULT_MAX_BUFFERED_BYTES, 4 * parsed.maxMessageBytes),
    host: parsed.host ?? (ipv6 ? "::" : "0.0.0.0"),
    path: parsed.path,
    ipv6,
    tls: parsed.tls === undefined ? null : sealTls(parsed.tls),
    rateLimit: rateLimitOf(parsed.rateLimit),
    resume: serverResumeSettings(parsed.resume),
  };
  return sealConfig(config, ["password", "users", "authenticate"]);
}

/** Checks the option `tls` alone. @throws ConduitError INVALID_CONFIG */
export function parseServerTls(tls: unknown): TlsServerOptions {
  const parsed = parseServerOptions({ password: "any", tls }).tls;
  if (parsed === null)
    throw new ConduitError(
      ErrorCode.INVALID_CONFIG,
      "Invalid option tls of the server: must be an object with cert and key",
    );
  return parsed;
}

function checkLogin(problems: OptionProblems, parsed: Parsed): void {
  const { password, users, authenticate } = parsed;
  if (users !== undefined && !problems.has("users")) checkUsers(problems, users);
  const { scram, token, certificate } = authenticate ?? {};
  if (certificate !== undefined && parsed.tls?.ca === undefined && !problems.has("tls")) {
    problems.add("authenticate.certificate", "must not be given without tls.ca", certificate);
  }
  const isOpen = [password, users, scram, token, certificate].some((way) => way !== undefined);
  if (!isOpen) {
    problems.addMissing("password", "is required unless users or authenticate are given");
  }
}

function checkHost(problems: OptionProblems, host: string | undefined, ipv6: boolean | undefined): void {
  if (host === undefined || problems.has("host") || problems.has("ipv6")) return;
  if (ipv6 === true && ipFamily(host) === 4) {
    problems.add("host", "must be an IPv6 address or a name when ipv6 is true", host);
  } else if (ipv6 === false && ipFamily(host) === 6) {
    problems.add("host", "must be an IPv4 address or a name when ipv6 is false", host);
  }
}

function rateLimitOf(options: RateLimitOptions | undefined): ServerConfig["rateLimit"] {
  const { messagesPerSecond, bytesPerSecond } = options ?? {};
  if (messagesPerSecond === undefined && bytesPerSecond === undefined) return null;
  return Object.freeze({
    messagesPerSecond: messagesPerSecond ?? Number.POSITIVE_INFINITY,
    bytesPerSecond: bytesPerSecond ?? Number.POSITIVE_INFINITY,
  });
}
