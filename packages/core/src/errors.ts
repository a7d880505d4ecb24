/**
 * Error codes and the two error classes.
 *
 * The numbers of the guide's table stand as the guide gives them (netconduit 5.0 itself uses some of them otherwise,
 * see PROTOCOL.md). What this library needs beyond the table uses numbers that neither the table nor netconduit assigns.
 */

/** Stable numeric error codes. They travel on the wire and never change their meaning. */
export const ErrorCode = {
  // 1xxx: general
  /** Unknown error. */
  UNKNOWN: 1000,
  /** Internal server error. What went wrong is reported to the server's `onError` hook, not to the peer. */
  INTERNAL: 1001,
  /** The call or operation was cancelled through its `AbortSignal`. */
  CANCELLED: 1003,
  /** An option of `Server` or `Client` is wrong; the message names the option, the rule and the value. */
  INVALID_CONFIG: 1010,
  /** The operation is not possible in the present state (for example `send` on a closed connection). */
  INVALID_STATE: 1011,

  // 2xxx: validation
  /** Validation failed. */
  VALIDATION: 2000,
  /** A required field is missing. */
  MISSING_FIELD: 2001,
  /** A field has the wrong type. */
  INVALID_TYPE: 2002,
  /** A value cannot be carried by MessagePack; the message names its path. */
  UNSERIALIZABLE: 2010,
  /** What a method returned does not fit the `result` schema, the caller's or that of the method itself. */
  INVALID_RESULT: 2011,

  // 3xxx: authentication and authorisation
  /** Authentication required. */
  AUTH_REQUIRED: 3000,
  /** Authentication failed: the password is wrong. */
  AUTH_FAILED: 3001,
  /** Permission denied. */
  PERMISSION_DENIED: 3002,
  /** The server has `maxConnections` clients already. */
  SERVER_FULL: 3010,
  /** The login did not finish within `authTimeoutMs`. */
  AUTH_TIMEOUT: 3011,
  /** One side offers only netconduit's password hash and the other has `allowPasswordHash` off. */
  PASSWORD_HASH_REFUSED: 3012,
  /** The server could not prove that it knows the password (SCRAM server signature). */
  SERVER_NOT_TRUSTED: 3013,

  // 4xxx: RPC
  /** RPC method not found. */
  METHOD_NOT_FOUND: 4000,
  /** Invalid parameters: `params` is not a map. */
  INVALID_PARAMS: 4001,
  /** The thing asked for does not exist (`error.notFound`). */
  NOT_FOUND: 4010,
  /** No handler is registered for the message type of a `request`. */
  NO_HANDLER: 4011,
  /** The peer cannot answer this kind of request (a netconduit client never answers an RPC). */
  PEER_UNSUPPORTED: 4012,

  // 5xxx: connection
  /** Connection error. */
  CONNECTION_ERROR: 5000,
  /** Operation timeout. */
  TIMEOUT: 5001,
  /** The connection closed, or was never open; pending calls reject with this. */
  CONNECTION_CLOSED: 5010,
  /** Nothing listens at the address. */
  CONNECTION_REFUSED: 5011,
  /** The host name does not resolve, or the host cannot be reached. */
  HOST_UNREACHABLE: 5012,
  /** The peer reset the connection. */
  CONNECTION_RESET: 5013,
  /** The peer let `heartbeatTimeoutMs` pass without a sign of life. */
  HEARTBEAT_TIMEOUT: 5014,
  /** The peer read too slowly and was disconnected by the slow-consumer policy. */
  SLOW_CONSUMER: 5015,
  /** The send queue is full; nothing was queued. */
  SEND_QUEUE_FULL: 5016,
  /** The server is stopping. */
  SERVER_STOPPING: 5017,
  /** The address to listen on is in use. */
  ADDRESS_IN_USE: 5018,
  /** The address to listen on is not available or not permitted. */
  ADDRESS_UNAVAILABLE: 5019,
  /** The connection was not usable within `connectTimeoutMs` (client) or `connectionTimeoutMs` (server). */
  CONNECT_TIMEOUT: 5020,
  /** Reconnecting was given up after `reconnect.attempts` tries. */
  RECONNECT_FAILED: 5021,

  // 6xxx: limits
  /** Rate limit exceeded; `details.retry_after` is in seconds. */
  RATE_LIMITED: 6000,

  // 7xxx: protocol
  /** The first bytes are not netconduit's magic number. */
  BAD_MAGIC: 7000,
  /** The frame's protocol version is not supported. */
  UNSUPPORTED_VERSION: 7001,
  /** The frame's type is not known. */
  UNKNOWN_FRAME_TYPE: 7002,
  /** A frame or message is larger than the limit allows. */
  MESSAGE_TOO_LARGE: 7003,
  /** The payload is not valid MessagePack. */
  MALFORMED_PAYLOAD: 7004,
  /** Bytes follow the payload's value. */
  TRAILING_BYTES: 7005,
  /** The payload ends inside a value. */
  TRUNCATED_PAYLOAD: 7006,
  /** A header in the payload claims more elements than bytes remain. */
  COUNT_EXCEEDS_PAYLOAD: 7007,
  /** The payload nests deeper than `maxDepth`. */
  TOO_DEEP: 7008,
  /** A COMPRESSED payload is not a valid zlib stream. */
  INFLATE_FAILED: 7009,
  /** A COMPRESSED payload inflates beyond the message size limit. */
  INFLATED_TOO_LARGE: 7010,
  /** A map key is not a string, or is `__proto__`, `constructor` or `prototype`. */
  FORBIDDEN_KEY: 7011,
  /** A string is not valid UTF-8. */
  INVALID_UTF8: 7012,
  /** A payload has not the shape its frame type demands. */
  INVALID_PAYLOAD_SHAPE: 7013,
  /** The frame is not allowed in the present state (anything but the handshake before login, for example). */
  UNEXPECTED_FRAME: 7014,
  /** The other side does not speak netconduit's protocol. */
  NOT_NETCONDUIT: 7015,
  /** The peer uses a feature (encryption, fragments) that was not agreed on. */
  UNSUPPORTED_FLAG: 7016,
  /** The payload holds more maps and arrays than the message size limit allows for. */
  TOO_MANY_CONTAINERS: 7017,

  // 8xxx: TLS
  /** TLS failed for a reason without a code of its own. */
  TLS_ERROR: 8000,
  /** The peer's certificate is not signed by a trusted CA. */
  TLS_UNTRUSTED: 8001,
  /** The certificate is not valid for the server name. */
  TLS_WRONG_NAME: 8002,
  /** The server demands a client certificate, and none (or an unacceptable one) was given. */
  TLS_CLIENT_CERTIFICATE_REQUIRED: 8003,
  /** The certificate has expired or is not yet valid. */
  TLS_EXPIRED: 8004,
  /** One side speaks TLS and the other does not. */
  TLS_NOT_TLS: 8005,
} as const;

/** Name of an error code, for example `"TIMEOUT"`. */
export type ErrorCodeName = keyof typeof ErrorCode;
/** An error code of this library. Peers may send others; those arrive as plain numbers. */
export type ErrorCode = (typeof ErrorCode)[ErrorCodeName];

const names: ReadonlyMap<number, string> = new Map(Object.entries(ErrorCode).map(([name, code]) => [code, name]));

/** The name of `code`; the number as text for one that this library does not define. */
export function errorCodeName(code: number): string {
  return names.get(code) ?? String(code);
}

/** What all errors of a class have unless one has its own; as it is not theirs, it is not printed. */
function inherit(prototype: Error, values: Readonly<Record<string, unknown>>): void {
  for (const [key, value] of Object.entries(values)) {
    Object.defineProperty(prototype, key, { value, writable: true, configurable: true });
  }
}

/** Options of the error classes: machine-readable facts for whoever catches it, and the local cause. */
export interface ConduitErrorOptions {
  /** Facts about the error; string keys, MessagePack-encodable when the error is to travel. */
  readonly details?: Readonly<Record<string, unknown>> | undefined;
  /** The method or message type that failed, where it is known. */
  readonly method?: string | undefined;
  /** What led to this error. Stays local: it is never sent to a peer. */
  readonly cause?: unknown;
}

/**
 * Every error this library raises on its own account. Branch on `code`; the message is for people.
 */
export class ConduitError extends Error {
  static {
    inherit(ConduitError.prototype, { name: "ConduitError", details: undefined });
  }

  /**
   * The class with the code's name, `"ConduitError [TIMEOUT]"`: Deno prints no more than this and the message of an
   * error that nobody catches.
   */
  declare readonly name: string;
  /** Stable numeric code, see {@link ErrorCode}. */
  readonly code: number;
  /** Machine-readable facts, or `undefined`. */
  declare readonly details: Readonly<Record<string, unknown>> | undefined;

  constructor(code: number, message: string, options: ConduitErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = `${this.name} [${errorCodeName(code)}]`;
    this.code = code;
    if (options.details !== undefined) this.details = options.details;
  }

  /** The code's name, for logs; the number as text for a code this library does not define. */
  get codeName(): string {
    return errorCodeName(this.code);
  }
}

/**
 * An error that crosses the wire: thrown (or returned) by a handler, it reaches the caller with code, message and
 * details; on the calling side, a failed call rejects with it. Every other error a handler throws reaches the caller
 * as `INTERNAL` with a generic message.
 */
export class RpcError extends ConduitError {
  static {
    inherit(RpcError.prototype, { name: "RpcError", method: undefined });
  }

  /** On the calling side: the method or message type whose answer this is. */
  declare readonly method: string | undefined;

  constructor(code: number, message: string, options: ConduitErrorOptions = {}) {
    super(code, message, options);
    if (options.method !== undefined) this.method = options.method;
  }
}

/**
 * How a call ends whose `AbortSignal` fired: TIMEOUT if the signal is one of `AbortSignal.timeout`, else CANCELLED. The
 * signal's reason is the cause.
 */
export function cancelledError(name: string, reason: unknown): ConduitError {
  const timedOut = reason instanceof Error && reason.name === "TimeoutError";
  const code = timedOut ? ErrorCode.TIMEOUT : ErrorCode.CANCELLED;
  return new ConduitError(code, `'${name}' ${timedOut ? "timed out" : "was cancelled"}`, { cause: reason });
}

/** What was thrown, as an Error; its text if it was none. Never throws, whatever it was. */
export function asError(thrown: unknown): Error {
  try {
    return thrown instanceof Error ? thrown : new Error(String(thrown), { cause: thrown });
  } catch {
    return new Error("Something without a text was thrown", { cause: thrown });
  }
}
