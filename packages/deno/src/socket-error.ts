import { type Address, ConduitError, ErrorCode } from "@netconduit/core/adapter";
import { codeOf, endpointName, isPermissionError, messageOf, nameOf, type Role } from "./deno-error.ts";
import { tlsErrorCode } from "./tls-error.ts";

/** A stream's peer, in words. */
export function addressName(address: Address): string {
  switch (address.kind) {
    case "tcp":
      return endpointName(address);
    case "unix":
      return address.path === "" ? "a client of a Unix socket" : address.path;
    case "memory":
      return address.name;
  }
}

const streamCodes: ReadonlyMap<string, number> = new Map([
  ["ECONNRESET", ErrorCode.CONNECTION_RESET],
  ["ECONNABORTED", ErrorCode.CONNECTION_RESET],
  ["EPIPE", ErrorCode.CONNECTION_CLOSED],
  ["ENOTCONN", ErrorCode.CONNECTION_CLOSED],
  ["ETIMEDOUT", ErrorCode.HOST_UNREACHABLE],
  ["EHOSTUNREACH", ErrorCode.HOST_UNREACHABLE],
  ["ENETUNREACH", ErrorCode.HOST_UNREACHABLE],
  ["ENETDOWN", ErrorCode.HOST_UNREACHABLE],
]);

/** An error of an established connection: CONNECTION_RESET, CONNECTION_CLOSED, HOST_UNREACHABLE, TLS codes. */
export function streamError(
  cause: unknown,
  remote: Address,
  role: Role,
  silentEnd: ((cause?: unknown) => ConduitError) | null,
): ConduitError {
  // TLS without a farewell: who cut it off is not known, so it must not pass for an ordinary end.
  const cutOff = nameOf(cause) === "UnexpectedEof";
  const code =
    streamCodes.get(codeOf(cause)) ??
    tlsErrorCode(cause, role) ??
    (cutOff ? ErrorCode.CONNECTION_CLOSED : ErrorCode.CONNECTION_ERROR);
  const broken = code === ErrorCode.CONNECTION_RESET || code === ErrorCode.CONNECTION_CLOSED;
  if (silentEnd !== null && broken) return silentEnd(cause);
  const where = addressName(remote);
  const what =
    code === ErrorCode.CONNECTION_RESET
      ? `Connection to ${where} was reset by the peer`
      : cutOff
        ? `Connection to ${where} was closed by the peer without ending its TLS session`
        : code === ErrorCode.CONNECTION_CLOSED
          ? `Connection to ${where} was closed by the peer while data was being sent`
          : code === ErrorCode.TLS_CLIENT_CERTIFICATE_REQUIRED
            ? `${where} refused the connection: it demands a client certificate that it accepts`
            : `Connection to ${where} failed`;
  return new ConduitError(code, `${what}: ${messageOf(cause)}`, { cause });
}

const connectCodes: ReadonlyMap<string, number> = new Map([
  ["ECONNREFUSED", ErrorCode.CONNECTION_REFUSED],
  ["ENOENT", ErrorCode.CONNECTION_REFUSED],
  ["ENOTSOCK", ErrorCode.CONNECTION_REFUSED],
  // Linux: the backlog of a Unix socket is full.
  ["EAGAIN", ErrorCode.CONNECTION_REFUSED],
  ["EACCES", ErrorCode.CONNECTION_REFUSED],
  ["EPERM", ErrorCode.CONNECTION_REFUSED],
  ["EADDRNOTAVAIL", ErrorCode.HOST_UNREACHABLE],
  ["EAFNOSUPPORT", ErrorCode.HOST_UNREACHABLE],
  ["EINVAL", ErrorCode.HOST_UNREACHABLE],
]);

/** The system's own resolver fails without a code; Deno's DNS client with the class NotFound. */
function isLookupError(cause: unknown): boolean {
  return /lookup address|No such host|no records? found|has no IPv[46] address|resolve/i.test(messageOf(cause));
}

/**
 * Connecting to `where` failed: CONNECTION_REFUSED, HOST_UNREACHABLE, CONNECTION_RESET, CONNECTION_ERROR; INVALID_CONFIG
 * when Deno is not permitted to.
 */
export function connectError(cause: unknown, where: string): ConduitError {
  const code = isPermissionError(cause)
    ? ErrorCode.INVALID_CONFIG
    : (connectCodes.get(codeOf(cause)) ??
      streamCodes.get(codeOf(cause)) ??
      (isLookupError(cause) ? ErrorCode.HOST_UNREACHABLE : ErrorCode.CONNECTION_ERROR));
  return new ConduitError(code, `Cannot connect to ${where}: ${messageOf(cause)}`, { cause });
}

/** Listening at `where` failed: ADDRESS_IN_USE, ADDRESS_UNAVAILABLE; INVALID_CONFIG when Deno is not permitted to. */
export function listenError(cause: unknown, where: string): ConduitError {
  const code = isPermissionError(cause)
    ? ErrorCode.INVALID_CONFIG
    : codeOf(cause) === "EADDRINUSE"
      ? ErrorCode.ADDRESS_IN_USE
      : ErrorCode.ADDRESS_UNAVAILABLE;
  return new ConduitError(code, `Cannot listen on ${where}: ${messageOf(cause)}`, { cause });
}
