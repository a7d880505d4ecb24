/**
 * The error codes. They are a file of their own, so that a program which imports only them bundles nothing else.
 *
 * The first numbers are those of netconduit's guide (netconduit 5.0 itself uses some of them differently, see
 * PROTOCOL.md). Codes added by this library use numbers that neither the guide nor netconduit assigns.
 */

/** Stable numeric error codes. They travel on the wire and never change their meaning. */
export const ErrorCode = {
  // 1xxx: general
  /** Unknown error. */
  UNKNOWN: 1000,
  /** Internal server error. The details go to the `onError` hooks, not to the peer. */
  INTERNAL: 1001,
  /** The call or operation was cancelled through its `AbortSignal`. */
  CANCELLED: 1003,
  /** An option of `Server` or `Client` is invalid; the message names the option, the rule and the value. */
  INVALID_CONFIG: 1010,
  /** The operation isn't possible in the current state, for example starting a server that is stopping. */
  INVALID_STATE: 1011,

  // 2xxx: validation
  /** Validation failed. */
  VALIDATION: 2000,
  /** A required field is missing. */
  MISSING_FIELD: 2001,
  /** A field has the wrong type. */
  INVALID_TYPE: 2002,
  /** The value can't be encoded as MessagePack; the message names its path. */
  UNSERIALIZABLE: 2010,
  /** A result fails the `result` schema of the call or of the method. */
  INVALID_RESULT: 2011,

  // 3xxx: authentication and authorization
  /** Authentication required. */
  AUTH_REQUIRED: 3000,
  /** Authentication failed: the password or token is wrong, or the certificate doesn't belong to a user. */
  AUTH_FAILED: 3001,
  /** Permission denied. */
  PERMISSION_DENIED: 3002,
  /** The server already has `maxConnections` clients. */
  SERVER_FULL: 3010,
  /** The login did not finish within `authTimeoutMs`. */
  AUTH_TIMEOUT: 3011,
  /** One side only supports the password hash login, and the other doesn't allow it (`allowPasswordHash`). */
  PASSWORD_HASH_REFUSED: 3012,
  /** The server didn't prove that it knows the password (SCRAM server signature). */
  SERVER_NOT_TRUSTED: 3013,
  /** The server doesn't accept this login method, or not over this connection; `details.methods` lists the accepted ones. */
  LOGIN_METHOD_REFUSED: 3014,
  /** A token would be sent over an insecure connection, or a login by certificate lacks TLS. Use TLS, a Unix socket or the loopback address. */
  INSECURE_CONNECTION: 3015,
  /** The user's identity has expired and wasn't renewed. */
  IDENTITY_EXPIRED: 3016,
  /** The server has revoked the user (`server.revoke`). */
  IDENTITY_REVOKED: 3017,

  // 4xxx: RPC
  /** RPC method not found. */
  METHOD_NOT_FOUND: 4000,
  /** Invalid parameters: `params` is not a map. */
  INVALID_PARAMS: 4001,
  /** The requested resource doesn't exist (`error.notFound`). */
  NOT_FOUND: 4010,
  /** The message type of a `request` has no handler. */
  NO_HANDLER: 4011,
  /** The peer can't answer this kind of request (a netconduit client never answers a call). */
  PEER_UNSUPPORTED: 4012,

  /** The method streams and the call doesn't, or the other way round; the message says what to use. */
  STREAM_MISMATCH: 4013,

  // 41xx: files
  /** Not every operating system would accept the name as that of a file in the folder; the message says why. */
  INVALID_FILE_NAME: 4100,
  /** A file with that name exists, and the folder's policy is `fail`. */
  FILE_EXISTS: 4101,
  /** The file exceeds `maxFileBytes`. */
  FILE_TOO_LARGE: 4102,
  /** The disk or the user's disk quota is full. */
  DISK_FULL: 4103,
  /** The offset isn't the number of bytes that the receiving side has verified, which is `details.offset`. */
  WRONG_OFFSET: 4104,
  /** The file changed during the transfer. */
  FILE_CHANGED: 4105,
  /** The received bytes differ from the sent ones, or some are missing. */
  CHECKSUM_MISMATCH: 4106,
  /** The system can't read or write the file, for a reason without a code of its own. */
  FILE_ERROR: 4107,

  // 5xxx: connection
  /** Connection error. */
  CONNECTION_ERROR: 5000,
  /** Operation timeout. */
  TIMEOUT: 5001,
  /** The connection is closed, or was never open; pending calls reject with this. */
  CONNECTION_CLOSED: 5010,
  /** Nothing listens at the address. */
  CONNECTION_REFUSED: 5011,
  /** The host name does not resolve, or the host cannot be reached. */
  HOST_UNREACHABLE: 5012,
  /** The peer reset the connection. */
  CONNECTION_RESET: 5013,
  /** The peer sent nothing for `heartbeatTimeoutMs`. */
  HEARTBEAT_TIMEOUT: 5014,
  /** The peer read too slowly, and the slow-consumer policy disconnected it. */
  SLOW_CONSUMER: 5015,
  /** The send queue is full; nothing was queued. */
  SEND_QUEUE_FULL: 5016,
  /** The server is stopping. */
  SERVER_STOPPING: 5017,
  /** The address to listen on is in use. */
  ADDRESS_IN_USE: 5018,
  /** The address to listen on is unavailable or not permitted. */
  ADDRESS_UNAVAILABLE: 5019,
  /** The connection wasn't ready within `connectTimeoutMs` (client) or `connectionTimeoutMs` (server). */
  CONNECT_TIMEOUT: 5020,
  /** The client gave up reconnecting, for example after `reconnect.attempts` attempts. */
  RECONNECT_FAILED: 5021,
  /** A frame arrived too slowly: less than 1 KiB per second, averaged over `heartbeatTimeoutMs`. */
  FRAME_TIMEOUT: 5022,
  /** The session ended because its client didn't reconnect in time, or because the server no longer has it. */
  SESSION_EXPIRED: 5023,
  /** A message sent with `ack` wasn't acknowledged in any attempt, or there is no further connection; the handler may have run. */
  NOT_DELIVERED: 5024,
  /**
   * The server's process ended while a call with `once` was running, or each time while a message with `ack` was
   * being handled. The outcome is unknown, and it isn't started again.
   */
  OUTCOME_UNKNOWN: 5025,
  /** The link to the other nodes is down, or the engine that connects them doesn't answer (option `cluster`). */
  CLUSTER_UNAVAILABLE: 5030,
  /** The node that has the connection doesn't answer or has left. */
  NODE_UNAVAILABLE: 5031,
  /** Another node has started with this node's id, so this one has left the cluster. */
  NODE_REPLACED: 5032,

  // 6xxx: limits
  /** Rate limit exceeded; `details.retry_after` is in seconds. */
  RATE_LIMITED: 6000,
  /** The files of a folder would exceed its `quotaBytes`. */
  QUOTA_EXCEEDED: 6001,

  /** The server's connections exceeded `maxBufferedBytes`, and this was the largest one. */
  BUFFER_LIMIT: 6010,
  /** The connection has reached the server's limit of topics (option `maxSubscriptions`). */
  TOO_MANY_SUBSCRIPTIONS: 6012,

  /** The called side's limit of unanswered calls with streams is reached (option `maxStreams`). */
  TOO_MANY_STREAMS: 6011,

  // 62xx: the store
  /** The store failed, so the operation wasn't carried out. The cause isn't sent to clients. */
  STORE_FAILED: 6200,
  /** The store, or the user's share of it, is full. */
  STORE_FULL: 6201,
  /** Another process or running server uses the store, which can't be shared. */
  STORE_IN_USE: 6202,

  // 7xxx: protocol
  /** The first bytes are not netconduit's magic number. */
  BAD_MAGIC: 7000,
  /** The frame's protocol version is not supported. */
  UNSUPPORTED_VERSION: 7001,
  /** The frame's type is not known. */
  UNKNOWN_FRAME_TYPE: 7002,
  /** The frame or message exceeds the size limit. */
  MESSAGE_TOO_LARGE: 7003,
  /** The payload is not valid MessagePack. */
  MALFORMED_PAYLOAD: 7004,
  /** Bytes follow the payload's value. */
  TRAILING_BYTES: 7005,
  /** The payload ends inside a value. */
  TRUNCATED_PAYLOAD: 7006,
  /** A header in the payload claims more elements than bytes remain. */
  COUNT_EXCEEDS_PAYLOAD: 7007,
  /** The payload is nested too deeply. */
  TOO_DEEP: 7008,
  /** A COMPRESSED payload is not a valid zlib stream. */
  INFLATE_FAILED: 7009,
  /** A COMPRESSED payload inflates beyond the message size limit. */
  INFLATED_TOO_LARGE: 7010,
  /** A map key is not a string, or is `__proto__`, `constructor` or `prototype`. */
  FORBIDDEN_KEY: 7011,
  /** A string is not valid UTF-8. */
  INVALID_UTF8: 7012,
  /** The payload doesn't have the shape that its frame type requires. */
  INVALID_PAYLOAD_SHAPE: 7013,
  /** The frame isn't allowed in the current state, for example a message before login. */
  UNEXPECTED_FRAME: 7014,
  /** The other side does not speak netconduit's protocol. */
  NOT_NETCONDUIT: 7015,
  /** The frame is compressed, encrypted or a fragment, which wasn't negotiated. */
  UNSUPPORTED_FLAG: 7016,
  /** The values of the payload would take more memory than the message size limit allows. */
  DECODED_TOO_LARGE: 7017,
  /** A request has the correlation id of another one that hasn't been answered yet. */
  DUPLICATE_ID: 7018,
  /**
   * The peer exceeded its limits: messages beyond its credit, too many incomplete chunked frames, or frames whose
   * answers it doesn't read.
   */
  FLOW_CONTROL_ERROR: 7019,
  /** A frame belongs to a stream that isn't open. */
  UNKNOWN_STREAM: 7022,
  /** A timestamp in the payload isn't a whole number of milliseconds, or exceeds the range of `Date`. */
  UNREPRESENTABLE_VALUE: 7021,

  // 8xxx: TLS
  /** TLS failed for a reason without a code of its own. */
  TLS_ERROR: 8000,
  /** The peer's certificate is not signed by a trusted CA. */
  TLS_UNTRUSTED: 8001,
  /** The certificate is not valid for the server name. */
  TLS_WRONG_NAME: 8002,
  /** The server requires a client certificate, and the client sent none or an unacceptable one. */
  TLS_CLIENT_CERTIFICATE_REQUIRED: 8003,
  /** The certificate has expired or is not yet valid. */
  TLS_EXPIRED: 8004,
  /** One side speaks TLS and the other doesn't. */
  TLS_NOT_TLS: 8005,
} as const;

/** Name of an error code, for example `"TIMEOUT"`. */
export type ErrorCodeName = keyof typeof ErrorCode;
/** An error code of this library. Peers may send others; those arrive as plain numbers. */
export type ErrorCode = (typeof ErrorCode)[ErrorCodeName];

const names: ReadonlyMap<number, string> = new Map(Object.entries(ErrorCode).map(([name, code]) => [code, name]));

/** Returns the name of `code`, or the number as text if this library doesn't define it. */
export function errorCodeName(code: number): string {
  return names.get(code) ?? String(code);
}
