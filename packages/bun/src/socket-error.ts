import { type Address, ConduitError, ErrorCode } from "@netconduit/core/adapter";
import { codeOf, endpointName, type Role } from "./bun-error.ts";
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
  ["ERR_STREAM_DESTROYED", ErrorCode.CONNECTION_CLOSED],
  ["ETIMEDOUT", ErrorCode.HOST_UNREACHABLE],
  ["EHOSTUNREACH", ErrorCode.HOST_UNREACHABLE],
  ["ENETUNREACH", ErrorCode.HOST_UNREACHABLE],
  ["ENETDOWN", ErrorCode.HOST_UNREACHABLE],
]);

/** An error of an established connection: CONNECTION_RESET, CONNECTION_CLOSED, HOST_UNREACHABLE, TLS codes. */
export function streamError(
  cause: Error,
  remote: Address,
  role: Role,
  silentEnd: ((cause?: Error) => ConduitError) | null,
): ConduitError {
  const code = streamCodes.get(codeOf(cause)) ?? tlsErrorCode(codeOf(cause), role) ?? ErrorCode.CONNECTION_ERROR;
  const broken = code === ErrorCode.CONNECTION_RESET || code === ErrorCode.CONNECTION_CLOSED;
  if (silentEnd !== null && broken) return silentEnd(cause);
  const where = addressName(remote);
  const what =
    code === ErrorCode.CONNECTION_RESET
      ? `Connection to ${where} was reset by the peer`
      : code === ErrorCode.CONNECTION_CLOSED
        ? `Connection to ${where} was closed by the peer while data was being sent`
        : code === ErrorCode.TLS_CLIENT_CERTIFICATE_REQUIRED
          ? `${where} refused the connection: it demands a client certificate that it accepts`
          : `Connection to ${where} failed`;
  return new ConduitError(code, `${what}: ${cause.message}`, { cause });
}

/** The socket closed although neither side ended the connection and no error was reported. */
export function lostError(remote: Address): ConduitError {
  return new ConduitError(ErrorCode.CONNECTION_CLOSED, `Connection to ${addressName(remote)} was lost`);
}

const connectCodes: ReadonlyMap<string, number> = new Map([
  ["ECONNREFUSED", ErrorCode.CONNECTION_REFUSED],
  ["ENOENT", ErrorCode.CONNECTION_REFUSED],
  ["ENOTSOCK", ErrorCode.CONNECTION_REFUSED],
  // Linux: the backlog of a Unix socket is full.
  ["EAGAIN", ErrorCode.CONNECTION_REFUSED],
  ["EACCES", ErrorCode.CONNECTION_REFUSED],
  ["EPERM", ErrorCode.CONNECTION_REFUSED],
  ["ENOTFOUND", ErrorCode.HOST_UNREACHABLE],
  ["EAI_AGAIN", ErrorCode.HOST_UNREACHABLE],
  ["EAI_FAIL", ErrorCode.HOST_UNREACHABLE],
  ["EAI_NODATA", ErrorCode.HOST_UNREACHABLE],
  ["EAI_ADDRFAMILY", ErrorCode.HOST_UNREACHABLE],
  ["EADDRNOTAVAIL", ErrorCode.HOST_UNREACHABLE],
  ["EAFNOSUPPORT", ErrorCode.HOST_UNREACHABLE],
  ["EINVAL", ErrorCode.HOST_UNREACHABLE],
  ["ERR_INVALID_IP_ADDRESS", ErrorCode.HOST_UNREACHABLE],
]);

/** Connecting to `where` failed: CONNECTION_REFUSED, HOST_UNREACHABLE, CONNECTION_RESET, CONNECTION_ERROR. */
export function connectError(cause: unknown, where: string): ConduitError {
  const code = connectCodes.get(codeOf(cause)) ?? streamCodes.get(codeOf(cause)) ?? ErrorCode.CONNECTION_ERROR;
  return new ConduitError(code, `Cannot connect to ${where}: ${messageOf(cause)}`, { cause });
}

const listenCodes: ReadonlyMap<string, number> = new Map([
  ["EADDRINUSE", ErrorCode.ADDRESS_IN_USE],
  ["ERR_INVALID_ARG_VALUE", ErrorCode.INVALID_CONFIG],
  ["ERR_SOCKET_BAD_PORT", ErrorCode.INVALID_CONFIG],
]);

/** Listening at `where` failed: ADDRESS_IN_USE, INVALID_CONFIG, else ADDRESS_UNAVAILABLE. */
export function listenError(cause: unknown, where: string): ConduitError {
  const code = listenCodes.get(codeOf(cause)) ?? ErrorCode.ADDRESS_UNAVAILABLE;
  return new ConduitError(code, `Cannot listen on ${where}: ${messageOf(cause)}`, { cause });
}

/** Happy eyeballs fail with an AggregateError whose own message is empty; its parts say what happened. */
function messageOf(cause: unknown): string {
  if (cause instanceof AggregateError) return cause.errors.map(messageOf).join("; ");
  return cause instanceof Error ? cause.message : String(cause);
}
