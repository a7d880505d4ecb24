import { type Endpoint, formatAddress, formatEndpoint } from "../bytes/address.ts";
import type { Address } from "../bytes/byte-stream.ts";
import { ConduitError, ErrorCode } from "../errors.ts";
import type { DialSignal } from "../runtime.ts";
import type { Role } from "./addresses.ts";
import {
  CA_AS_SERVER,
  connectErrorCode,
  listenErrorCode,
  streamErrorCode,
  TLS_CUT_OFF,
  TLS_HANDSHAKE_TIMEOUT,
  tlsErrorCode,
} from "./error-codes.ts";

const { TLS_ERROR, TLS_UNTRUSTED, TLS_WRONG_NAME, TLS_EXPIRED, TLS_NOT_TLS, TLS_CLIENT_CERTIFICATE_REQUIRED } =
  ErrorCode;

/** Creates the error for a peer that closes or resets a connection before sending any bytes. */
export type SilentEnd = (cause?: unknown) => ConduitError;

/**
 * Converts errors of a runtime's sockets to errors of this library, with a code, the operation, the address and the
 * cause.
 */
export class SocketErrors {
  /** Returns the name of a runtime's error as used in error-codes.ts, or `""`. */
  readonly codeOf: (cause: unknown) => string;

  constructor(codeOf: (cause: unknown) => string) {
    this.codeOf = codeOf;
  }

  /** Connecting failed: CONNECTION_REFUSED, HOST_UNREACHABLE, CONNECTION_RESET, …, else CONNECTION_ERROR. */
  connect(cause: unknown, to: Endpoint): ConduitError {
    const failed = `Cannot connect to ${formatEndpoint(to)}`;
    return this.#tooLong(cause, to, failed) ?? this.#connectError(cause, failed);
  }

  /** Accepting a client failed: usually CONNECTION_ERROR, for lack of file descriptors. */
  accept(cause: unknown, at: Endpoint): ConduitError {
    return this.#connectError(cause, `Cannot accept a client at ${formatEndpoint(at)}`);
  }

  /** Listening failed: ADDRESS_IN_USE, INVALID_CONFIG, else ADDRESS_UNAVAILABLE. */
  listen(cause: unknown, at: Endpoint): ConduitError {
    const failed = `Cannot listen on ${formatEndpoint(at)}`;
    const tooLong = this.#tooLong(cause, at, failed);
    if (tooLong !== null) return tooLong;
    const code = listenErrorCode(this.codeOf(cause)) ?? ErrorCode.ADDRESS_UNAVAILABLE;
    return new ConduitError(code, `${failed}: ${messageOf(cause)}`, { cause });
  }

  /** An error of an established connection: CONNECTION_RESET, CONNECTION_CLOSED, HOST_UNREACHABLE, TLS codes. */
  stream(cause: unknown, remote: Address, role: Role, silentEnd: SilentEnd | null): ConduitError {
    const name = this.codeOf(cause);
    const code = streamErrorCode(name, role) ?? ErrorCode.CONNECTION_ERROR;
    const broken = code === ErrorCode.CONNECTION_RESET || code === ErrorCode.CONNECTION_CLOSED;
    if (silentEnd !== null && broken) return silentEnd(cause);
    const message = `${streamReason(code, name, formatAddress(remote))}: ${messageOf(cause)}`;
    return new ConduitError(code, message, { cause });
  }

  /**
   * A client's TLS handshake failed: a TLS code, or that of {@link connect}.
   * @param facts `answered`: the server has sent data, if the runtime reports that. `name`: replaces the cause's
   *   `codeOf`. `hasCa`: the client has a CA option
   */
  clientHandshake(
    cause: unknown,
    server: Endpoint,
    facts: { readonly answered?: boolean; readonly name?: string; readonly hasCa?: boolean } = {},
  ): ConduitError {
    const { answered = false, name = this.codeOf(cause), hasCa = false } = facts;
    const failed = `TLS handshake with ${formatEndpoint(server)} failed`;
    const isReset = name === "ECONNRESET" || name === "ECONNABORTED" || name === "EPIPE";
    if (!answered && (isReset || name === TLS_CUT_OFF)) {
      const ended = isReset ? "reset" : "closed";
      const message = `${failed}: the server ${ended} the connection; does it speak TLS (option tls)?`;
      return new ConduitError(TLS_NOT_TLS, message, { cause });
    }
    if (name === TLS_CUT_OFF) {
      return new ConduitError(TLS_ERROR, `${failed}: the server closed the connection`, { cause });
    }
    const code = tlsErrorCode(name, "client");
    if (code === null) return this.connect(cause, server);
    const reason = name === CA_AS_SERVER ? CA_AS_SERVER_REASON : clientReason(code, hasCa);
    return new ConduitError(code, `${failed}: ${reason} (${messageOf(cause)})`, { cause });
  }

  /** The TLS handshake of the client at `where` failed: CONNECT_TIMEOUT, CONNECTION_RESET, TLS codes. */
  serverHandshake(cause: unknown, where: string): ConduitError {
    const failed = `TLS handshake with client ${where} failed`;
    const name = this.codeOf(cause);
    if (name === TLS_HANDSHAKE_TIMEOUT) {
      return new ConduitError(ErrorCode.CONNECT_TIMEOUT, `${failed}: it was not finished in time`, { cause });
    }
    if (name === TLS_CUT_OFF || name === "ECONNRESET" || name === "ECONNABORTED" || name === "EPIPE") {
      return new ConduitError(ErrorCode.CONNECTION_RESET, `${failed}: ${messageOf(cause)}`, { cause });
    }
    const code = tlsErrorCode(name, "server") ?? TLS_ERROR;
    return new ConduitError(code, `${failed}: ${serverReason(code)} (${messageOf(cause)})`, { cause });
  }

  #connectError(cause: unknown, failed: string): ConduitError {
    const code = connectErrorCode(this.codeOf(cause)) ?? ErrorCode.CONNECTION_ERROR;
    return new ConduitError(code, `${failed}: ${messageOf(cause)}`, { cause });
  }

  #tooLong(cause: unknown, { path }: Endpoint, failed: string): ConduitError | null {
    const code = this.codeOf(cause);
    const isLong = path !== undefined && bytesOf(path) > LEAST_MAX_PATH_BYTES;
    return isLong && (code === "EINVAL" || code === "ENAMETOOLONG") ? longPathError(failed, path, cause) : null;
  }
}

/** Maximum length of a Unix socket's path on Linux. macOS has the smallest limit. */
const MAX_PATH_BYTES = 107;
const LEAST_MAX_PATH_BYTES = 103;

/**
 * Returns an error if `path` is too long for a Unix socket or contains NUL (other than that of an abstract socket), else
 * null. Not all runtimes check this: Node.js 22
 * truncates the path and binds the result. Windows has other names and limits.
 */
export function badPath(path: string, failed: string): ConduitError | null {
  if (path.lastIndexOf("\0") > 0) {
    return new ConduitError(ErrorCode.INVALID_CONFIG, `${failed}: the path contains a NUL character`);
  }
  if (path.startsWith("\\\\") || bytesOf(path) <= MAX_PATH_BYTES) return null;
  return longPathError(failed, path, undefined);
}

function longPathError(failed: string, path: string, cause: unknown): ConduitError {
  const limit = `that of a Unix socket at most ${MAX_PATH_BYTES} (on macOS ${LEAST_MAX_PATH_BYTES})`;
  return new ConduitError(ErrorCode.INVALID_CONFIG, `${failed}: the path has ${bytesOf(path)} bytes, ${limit}`, {
    cause,
  });
}

function bytesOf(text: string): number {
  return new TextEncoder().encode(text).length;
}

/** The socket closed although neither side closed the connection, and no error was reported. */
export function lostError(remote: Address): ConduitError {
  return new ConduitError(ErrorCode.CONNECTION_CLOSED, `Connection to ${formatAddress(remote)} was lost`);
}

/** The peer closed a connection so early that its address is unknown. */
export function goneError(what: string): ConduitError {
  return new ConduitError(ErrorCode.CONNECTION_RESET, what);
}

/** The client at `where` has no certificate, or an invalid one. */
export function clientCertificateError(where: string, reason: string, cause?: unknown): ConduitError {
  return new ConduitError(
    TLS_CLIENT_CERTIFICATE_REQUIRED,
    `TLS handshake with client ${where} failed: its certificate is missing or not signed by the CA (${reason})`,
    { cause },
  );
}

/**
 * A server that closes a connection with a client certificate before sending any bytes has rejected the certificate.
 */
export function refusedCertificateError(where: string, cause?: unknown): ConduitError {
  return new ConduitError(
    TLS_CLIENT_CERTIFICATE_REQUIRED,
    `${where} closed the connection right after the TLS handshake: it does not accept the client certificate`,
    { cause },
  );
}

/** The limit of concurrent TLS handshakes is reached, and the client at `where` was dropped for a newer one. */
export function handshakesFullError(where: string, limit: number): ConduitError {
  const message = `TLS handshake with client ${where} was dropped: ${limit} others are under way, and its address has most`;
  return new ConduitError(ErrorCode.SERVER_FULL, message);
}

/** Connecting was aborted: the signal's reason if it is a ConduitError, else CANCELLED. */
export function abortError(signal: DialSignal, to: Endpoint): ConduitError {
  const cause: unknown = signal.reason;
  if (cause instanceof ConduitError) return cause;
  return new ConduitError(ErrorCode.CANCELLED, `Connecting to ${formatEndpoint(to)} was cancelled`, { cause });
}

/** `error:0A00010B:SSL routines:tls_validate_record_header:wrong version number:../deps/…/tlsany_meth.c:77:` */
const OPENSSL_LINE = /(?:\b[0-9A-F]+:)?\berror:[0-9A-Fa-f]+:[^:\n]*:[^:\n]*:([^:\n]*)(?::[^\n]*)?/g;
/** Node's advice about its flags, which is cut off. */
const NODE_ADVICE = /; if the root CA is installed locally.*/;

/**
 * An error's message on one line. For an AggregateError (several addresses failed), joins the messages of its parts.
 * Keeps only the reason of OpenSSL's lines.
 */
export function messageOf(cause: unknown): string {
  if (cause instanceof AggregateError) return cause.errors.map(messageOf).join("; ");
  const text = cause instanceof Error ? cause.message : String(cause);
  return text
    .replace(OPENSSL_LINE, "$1")
    .replace(NODE_ADVICE, "")
    .replace(/\s*\n\s*/g, " ")
    .trim();
}

function streamReason(code: number, name: string, where: string): string {
  if (name === TLS_CUT_OFF) return `Connection to ${where} was closed by the peer without ending its TLS session`;
  switch (code) {
    case ErrorCode.CONNECTION_RESET:
      return `Connection to ${where} was reset by the peer`;
    case ErrorCode.CONNECTION_CLOSED:
      return `Connection to ${where} was closed by the peer while data was being sent`;
    case TLS_CLIENT_CERTIFICATE_REQUIRED:
      return `${where} refused the connection: it demands a client certificate that it accepts`;
    default:
      return `Connection to ${where} failed`;
  }
}

const CA_AS_SERVER_REASON =
  "the server's certificate is one of a CA (CA:TRUE), which this runtime doesn't accept from a server; " +
  "make it with basicConstraints=CA:FALSE";

function clientReason(code: number, hasCa: boolean): string {
  switch (code) {
    case TLS_UNTRUSTED:
      return hasCa
        ? "none of the CAs given as tls.ca signed the server's certificate, and it is not a self-signed one given there"
        : "the server's certificate is not signed by a trusted CA; give the certificate, or its CA, as tls.ca";
    case TLS_WRONG_NAME:
      return "the server's certificate is for another name";
    case TLS_EXPIRED:
      return "the server's certificate has expired or is not yet valid";
    case TLS_NOT_TLS:
      return "the server does not speak TLS (option tls)";
    case TLS_CLIENT_CERTIFICATE_REQUIRED:
      return "the server demands a client certificate that it accepts";
    default:
      return "the two sides could not agree";
  }
}

function serverReason(code: number): string {
  switch (code) {
    case TLS_UNTRUSTED:
      return "the client does not trust this server's certificate";
    case TLS_EXPIRED:
      return "the client finds this server's certificate expired";
    case TLS_NOT_TLS:
      return "the client does not speak TLS";
    case TLS_CLIENT_CERTIFICATE_REQUIRED:
      return "it presented no client certificate that is acceptable";
    default:
      return "the two sides could not agree";
  }
}

/** Creates an error with a code, as runtimes do. */
export function codedError(code: string, message: string): Error {
  return Object.assign(new Error(message), { code });
}
