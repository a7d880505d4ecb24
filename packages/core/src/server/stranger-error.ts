import { ConduitError } from "../errors.ts";
import { type ForeignProtocol, foreignProtocolOf } from "../wire/foreign-protocol.ts";

const STRANGERS: Readonly<Record<ForeignProtocol, string>> = {
  TLS: "it begins like a TLS handshake: the client uses TLS and this server does not (option tls)",
  HTTP: "it begins like HTTP: the client is none of netconduit, and this is no HTTP server",
};

/** A server's error over a client that has not logged in. It names the protocol that the client's bytes belong to, if known. */
export function strangerError(error: ConduitError): ConduitError {
  const protocol = foreignProtocolOf(error);
  if (protocol === undefined) return error;
  const { code, message, details } = error;
  return new ConduitError(code, `${message}; ${STRANGERS[protocol]}`, { details, cause: error });
}
