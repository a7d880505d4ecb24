import { ConduitError, ErrorCode } from "@netconduit/core";
import { messageOf, SocketErrors } from "@netconduit/core/adapter";

/** nats.js errors are identified by name, because each transport has its own classes. */
function nameOf(error: unknown): string {
  return error instanceof Error ? error.name : "";
}

/** An error and its chain of causes. */
function chainOf(error: unknown): unknown[] {
  const chain: unknown[] = [];
  for (let next = error; next instanceof Error && chain.length < 10; next = next.cause) chain.push(next);
  return chain;
}

const socketErrors = new SocketErrors((cause) => {
  for (const error of chainOf(cause)) {
    const { code } = error as { code?: unknown };
    if (typeof code === "string") return code;
  }
  return "";
});

/** Codes of permanent errors, besides those of TLS. */
const HOPELESS: ReadonlySet<number> = new Set([
  ErrorCode.AUTH_FAILED,
  ErrorCode.PERMISSION_DENIED,
  ErrorCode.INVALID_CONFIG,
]);

/** Whether retrying can't help until the application changes something. */
export function isHopeless({ code }: ConduitError): boolean {
  return HOPELESS.has(code) || (code >= ErrorCode.TLS_ERROR && code < ErrorCode.TLS_ERROR + 1000);
}

/** The error for an unreachable NATS server or an ended connection. */
export function connectionError(error: unknown, servers: readonly string[]): ConduitError {
  if (error instanceof ConduitError) return error;
  const at = servers.join(", ");
  const told = messageOf(error);
  for (const cause of chainOf(error)) {
    switch (nameOf(cause)) {
      case "AuthorizationError":
      case "UserAuthenticationExpiredError":
        return new ConduitError(
          ErrorCode.AUTH_FAILED,
          `NATS at ${at} refused the login (${told}): check the options user and pass, token, credentials or nkeySeed`,
          { cause: error },
        );
      case "PermissionViolationError":
        return permissionError([cause as PermissionViolation]);
      case "InvalidArgumentError":
        return new ConduitError(ErrorCode.INVALID_CONFIG, `Cannot connect to NATS at ${at}: ${told}`, { cause: error });
      case "TimeoutError":
        return new ConduitError(ErrorCode.CONNECT_TIMEOUT, `NATS at ${at} didn't answer in time`, { cause: error });
    }
  }
  // nats.js identifies this error only by its text.
  if (told.includes("does not support 'tls'")) {
    const message = `NATS at ${at} has no TLS: configure it there, or leave out the option tls`;
    return new ConduitError(ErrorCode.TLS_NOT_TLS, message, { cause: error });
  }
  const { hostname = at, port = "4222" } = urlParts(servers[0]);
  const coded = socketErrors.clientHandshake(error, { host: hostname, port: Number(port) }, { answered: true });
  return new ConduitError(coded.code, `Cannot reach NATS at ${at}: ${coded.message}`, { cause: error });
}

function urlParts(server: string | undefined): { hostname?: string; port?: string } {
  if (server === undefined || !URL.canParse(server)) return {};
  const { hostname, port } = new URL(server);
  return { hostname, port: port === "" ? "4222" : port };
}

/** A subject that NATS doesn't permit this client to use. */
export interface PermissionViolation {
  readonly operation: "publish" | "subscription";
  readonly subject: string;
}

/** Returns the violation that caused an error; null if it has another cause. */
export function violationIn(error: unknown): PermissionViolation | null {
  return (chainOf(error).find(isPermissionViolation) as (Error & PermissionViolation) | undefined) ?? null;
}

export function isPermissionViolation(error: unknown): error is Error & PermissionViolation {
  return nameOf(error) === "PermissionViolationError";
}

export function permissionError(violations: readonly PermissionViolation[]): ConduitError {
  const list = violations.map(({ operation, subject }) => {
    return `${operation === "publish" ? "publish" : "subscribe"} to ${subject}`;
  });
  return new ConduitError(
    ErrorCode.PERMISSION_DENIED,
    `NATS doesn't allow this client to ${list.join(", ")}: add it to the user's permissions (docs/nats-permissions.md)`,
    { details: { denied: list } },
  );
}

/** Whether NATS has rejected a subscription and keeps the others. nats.js identifies this error only by its text. */
export function isSubscriptionLimit(error: unknown): boolean {
  return messageOf(error).toLowerCase().includes("maximum subscriptions exceeded");
}

export function subscriptionLimitError(servers: readonly string[]): ConduitError {
  return new ConduitError(
    ErrorCode.TOO_MANY_SUBSCRIPTIONS,
    `NATS at ${servers.join(", ")} takes no more subscriptions of this node, which needs one for each topic with subscribers ` +
      "here and each user who is connected: raise max_subscriptions, or the limit of the account, and reconnect",
  );
}

/** The error for an operation that needs a connected link. */
export function connectionGone(what: string): ConduitError {
  return new ConduitError(ErrorCode.CLUSTER_UNAVAILABLE, `Cannot ${what}: the connection to NATS is down`);
}

/** Codes of JetStream's errors. */
export const JetStreamCode = {
  STREAM_NOT_FOUND: 10059,
  /** The expected last sequence doesn't match. */
  WRONG_LAST_SEQUENCE: 10071,
  WRONG_LAST_SEQUENCE_UNKNOWN: 10164,
} as const;

export function isApiError(error: unknown, ...codes: number[]): boolean {
  return error instanceof Error && codes.includes((error as { code?: number }).code ?? 0);
}

const NO_JETSTREAM: ReadonlySet<string> = new Set(["NoResponders", "JetStreamNotEnabled"]);

/** Whether an append wasn't stored because NATS doesn't have the stream. */
export function isStreamMissing(error: unknown): boolean {
  const isUnheard = chainOf(error).some((cause) => NO_JETSTREAM.has(nameOf(cause)));
  return isUnheard || isApiError(error, JetStreamCode.STREAM_NOT_FOUND);
}

/** The error of a failed JetStream request. */
export function storageError(what: string, error: unknown): ConduitError {
  if (error instanceof ConduitError) return error;
  const violation = violationIn(error);
  if (violation !== null) return permissionError([violation]);
  const isMissing = chainOf(error).some((cause) => NO_JETSTREAM.has(nameOf(cause)));
  const hint = isMissing
    ? "is JetStream enabled (jetstream { store_dir: … }), also for this account?"
    : messageOf(error);
  return new ConduitError(ErrorCode.CLUSTER_UNAVAILABLE, `${what}: ${hint}`, { cause: error });
}
