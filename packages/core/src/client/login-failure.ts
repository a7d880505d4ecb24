/** Client errors for logins that fail because the server closed the connection or speaks another protocol. */

import type { CloseReason } from "../connection/close-reason.ts";
import { ConduitError, ErrorCode } from "../errors.ts";
import { foreignProtocolOf } from "../wire/foreign-protocol.ts";
import type { ClientConfig } from "./client-options.ts";
import { endpointOf } from "./reconnector.ts";

/** Converts a framing error during the login to an error that names the server's protocol. */
export function notNetconduit(error: ConduitError, config: ClientConfig): ConduitError {
  const framing =
    error.code === ErrorCode.BAD_MAGIC ||
    error.code === ErrorCode.UNSUPPORTED_VERSION ||
    error.code === ErrorCode.UNKNOWN_FRAME_TYPE;
  if (!framing) return error;
  const where = endpointOf(config);
  const protocol = foreignProtocolOf(error);
  if (protocol === "TLS" && config.tls === null) {
    const message = `The server at ${where} speaks TLS and this client doesn't; set the option tls (${error.message})`;
    return new ConduitError(ErrorCode.TLS_NOT_TLS, message, { cause: error });
  }
  const server = protocol === "HTTP" ? "HTTP server" : "server";
  const message = `The ${server} at ${where} doesn't speak netconduit's protocol (${error.message})`;
  return new ConduitError(ErrorCode.NOT_NETCONDUIT, message, { cause: error });
}

/**
 * The error for a connection that ended during the login.
 * @param isSilent whether the server has sent nothing
 */
export function closedDuringLogin(reason: CloseReason, isSilent: boolean, config: ClientConfig): ConduitError {
  const { code } = reason;
  const isClosed = code === ErrorCode.CONNECTION_CLOSED;
  if (!isClosed && code !== ErrorCode.CONNECTION_RESET) return new ConduitError(code, reason.message);
  const ended = `The server at ${endpointOf(config)} ${isClosed ? "closed" : "reset"} the connection during the login`;
  return new ConduitError(code, isSilent ? `${ended}; ${hint(config)}` : ended);
}

const REMEDIES: ReadonlyMap<number, string> = new Map([
  [ErrorCode.SERVER_FULL, "its option maxConnections admits no more clients"],
  [ErrorCode.SERVER_NOT_TRUSTED, "is it the right server, and has it the same password?"],
]);

/** Adds the server's address and a remedy to the error of a rejected login. */
export function refusedLogin(error: ConduitError, config: ClientConfig): ConduitError {
  const remedy = error.code === ErrorCode.AUTH_FAILED ? authHint(error, config) : REMEDIES.get(error.code);
  const where = `server ${endpointOf(config)}${remedy === undefined ? "" : `; ${remedy}`}`;
  return new ConduitError(error.code, `${error.message} (${where})`, { details: error.details, cause: error });
}

function authHint({ details }: ConduitError, { username, credentials }: ClientConfig): string | undefined {
  // A code of a hook, which isn't about the password.
  if (details?.["code"] !== undefined) return undefined;
  if (credentials !== undefined) return "check the option credentials";
  return username === undefined ? "check the option password" : "check the options username and password";
}

function hint({ tls }: ClientConfig): string {
  return tls === null ? "is it a netconduit server, without TLS (option tls)?" : "is it a netconduit server?";
}
