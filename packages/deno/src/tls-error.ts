import { ConduitError, ErrorCode } from "@netconduit/core/adapter";
import { messageOf, nameOf, type Role } from "./deno-error.ts";

const { TLS_ERROR, TLS_UNTRUSTED, TLS_WRONG_NAME, TLS_EXPIRED, TLS_NOT_TLS, TLS_CLIENT_CERTIFICATE_REQUIRED } =
  ErrorCode;

/** Deno's TLS errors have no codes; these are the words of rustls, whose variants they print. The first match counts. */
const reasons: readonly (readonly [RegExp, { readonly client: number; readonly server: number }])[] = [
  // What our own check of the server's certificate says.
  [/^invalid peer certificate: .*(?:not valid for (?:any )?name|NotValidForName)/, both(TLS_WRONG_NAME)],
  [/^invalid peer certificate: .*(?:expired|not valid yet|NotValidYet|not yet valid)/i, both(TLS_EXPIRED)],
  [/^invalid peer certificate/, both(TLS_UNTRUSTED)],
  // The first bytes are no TLS record.
  [
    /^received corrupt message of type (?:InvalidContentType|UnknownProtocolVersion)|^InvalidContentType/,
    both(TLS_NOT_TLS),
  ],
  // Alerts about a certificate: at the server its own, at the client the client's.
  [/^received fatal alert: CertificateExpired/, { client: TLS_CLIENT_CERTIFICATE_REQUIRED, server: TLS_EXPIRED }],
  [
    /^received fatal alert: (?:CertificateRequired|BadCertificate|NoCertificate|UnsupportedCertificate|CertificateRevoked|CertificateUnknown|UnknownCA|AccessDenied)/,
    { client: TLS_CLIENT_CERTIFICATE_REQUIRED, server: TLS_UNTRUSTED },
  ],
];

function both(code: number): { readonly client: number; readonly server: number } {
  return { client: code, server: code };
}

/** The error code for a cause met on a TLS connection, or null if it has nothing to do with TLS. */
export function tlsErrorCode(cause: unknown, role: Role): number | null {
  const message = messageOf(cause);
  for (const [pattern, codes] of reasons) if (pattern.test(message)) return codes[role];
  return nameOf(cause) === "InvalidData" ? TLS_ERROR : null;
}

/** Why a client's TLS handshake with `where` failed, or null if the cause is not TLS (reset, cancelled, …). */
export function clientHandshakeError(cause: unknown, where: string): ConduitError | null {
  const failed = `TLS handshake with ${where} failed`;
  const code = tlsErrorCode(cause, "client");
  if (code !== null) {
    return new ConduitError(code, `${failed}: ${clientReason(code)} (${messageOf(cause)})`, { cause });
  }
  if (nameOf(cause) !== "UnexpectedEof") return null;
  return new ConduitError(TLS_NOT_TLS, `${failed}: the server closed the connection; is it serving TLS?`, { cause });
}

/** Why the TLS handshake of the client at `where` failed, for a server's `failed()`. */
export function serverHandshakeError(cause: unknown, where: string): ConduitError {
  const failed = `TLS handshake with client ${where} failed`;
  const code = tlsErrorCode(cause, "server");
  if (code !== null) {
    return new ConduitError(code, `${failed}: ${serverReason(code)} (${messageOf(cause)})`, { cause });
  }
  const gone = ["UnexpectedEof", "ConnectionReset", "ConnectionAborted", "BrokenPipe"].includes(nameOf(cause));
  return new ConduitError(gone ? ErrorCode.CONNECTION_RESET : TLS_ERROR, `${failed}: ${messageOf(cause)}`, { cause });
}

/** A client has not finished its handshake in time. */
export function handshakeTimeoutError(where: string): ConduitError {
  const message = `TLS handshake with client ${where} failed: it was not finished in time`;
  return new ConduitError(ErrorCode.CONNECT_TIMEOUT, message);
}

/** A server that ends a connection with a client certificate before it says a word has refused the certificate. */
export function refusedCertificateError(where: string, cause?: unknown): ConduitError {
  return new ConduitError(
    TLS_CLIENT_CERTIFICATE_REQUIRED,
    `${where} closed the connection right after the TLS handshake: it does not accept the client certificate`,
    { cause },
  );
}

function clientReason(code: number): string {
  switch (code) {
    case TLS_UNTRUSTED:
      return "the server's certificate is not signed by a trusted CA";
    case TLS_WRONG_NAME:
      return "the server's certificate is for another name";
    case TLS_EXPIRED:
      return "the server's certificate has expired or is not yet valid";
    case TLS_NOT_TLS:
      return "the server does not speak TLS";
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
    default:
      return "the two sides could not agree";
  }
}
