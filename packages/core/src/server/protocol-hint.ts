import { ConduitError } from "../errors.ts";
import { type ForeignProtocol, foreignProtocolOf } from "../wire/foreign-protocol.ts";

const HINTS: Readonly<Record<ForeignProtocol, string>> = {
  TLS: "it begins like a TLS handshake: the client uses TLS and this server does not (option tls)",
  HTTP: "it begins like HTTP: the client speaks HTTP, and this server does not",
};

/** Adds the protocol of the received bytes to the error of a client that hasn't logged in, if recognized. */
export function withProtocolHint(error: ConduitError): ConduitError {
  const protocol = foreignProtocolOf(error);
  if (protocol === undefined) return error;
  const { code, message, details } = error;
  return new ConduitError(code, `${message}; ${HINTS[protocol]}`, { details, cause: error });
}
