import { ConduitError, ErrorCode } from "@netconduit/core/adapter";
import { codeOf, type Role } from "./bun-error.ts";

const { TLS_ERROR, TLS_UNTRUSTED, TLS_WRONG_NAME, TLS_EXPIRED, TLS_NOT_TLS, TLS_CLIENT_CERTIFICATE_REQUIRED } =
  ErrorCode;

/** What our own check of the peer's certificate says: OpenSSL's X509_V_ERR names, and Node's. */
const verifyCodes: ReadonlyMap<string, number> = new Map([
  ["ERR_TLS_CERT_ALTNAME_INVALID", TLS_WRONG_NAME],
  ["ERR_TLS_CERT_ALTNAME_FORMAT", TLS_WRONG_NAME],
  ["HOSTNAME_MISMATCH", TLS_WRONG_NAME],
  ["CERT_HAS_EXPIRED", TLS_EXPIRED],
  ["CERT_NOT_YET_VALID", TLS_EXPIRED],
  ["DEPTH_ZERO_SELF_SIGNED_CERT", TLS_UNTRUSTED],
  ["SELF_SIGNED_CERT_IN_CHAIN", TLS_UNTRUSTED],
  ["UNABLE_TO_VERIFY_LEAF_SIGNATURE", TLS_UNTRUSTED],
  ["UNABLE_TO_GET_ISSUER_CERT", TLS_UNTRUSTED],
  ["UNABLE_TO_GET_ISSUER_CERT_LOCALLY", TLS_UNTRUSTED],
  ["CERT_SIGNATURE_FAILURE", TLS_UNTRUSTED],
  ["CERT_CHAIN_TOO_LONG", TLS_UNTRUSTED],
  ["CERT_REVOKED", TLS_UNTRUSTED],
  ["CERT_UNTRUSTED", TLS_UNTRUSTED],
  ["CERT_REJECTED", TLS_UNTRUSTED],
  ["INVALID_CA", TLS_UNTRUSTED],
  ["INVALID_PURPOSE", TLS_UNTRUSTED],
  ["PATH_LENGTH_EXCEEDED", TLS_UNTRUSTED],
]);

/** The peer's first bytes are no TLS record. */
const notTls =
  /^ERR_SSL_(WRONG_VERSION_NUMBER|HTTP_REQUEST|HTTPS_PROXY_REQUEST|PACKET_LENGTH_TOO_LONG|UNKNOWN_PROTOCOL|RECORD_LAYER_FAILURE|BAD_RECORD_TYPE)$/;

/** Alerts by which a peer refuses our certificate. The middle of the name differs between OpenSSL versions. */
const certificateAlert =
  /^ERR_SSL_.*ALERT_(CERTIFICATE_REQUIRED|BAD_CERTIFICATE|NO_CERTIFICATE|UNSUPPORTED_CERTIFICATE|CERTIFICATE_REVOKED|CERTIFICATE_EXPIRED|CERTIFICATE_UNKNOWN|UNKNOWN_CA|ACCESS_DENIED)$/;

/**
 * The error code for Node's error code `code` on a TLS connection, or null if it has nothing to do with TLS.
 * An alert is about the certificate its receiver presented: at the server its own, at the client the client's.
 */
export function tlsErrorCode(code: string, role: Role): number | null {
  const verified = verifyCodes.get(code);
  if (verified !== undefined) return role === "client" ? verified : TLS_CLIENT_CERTIFICATE_REQUIRED;
  if (notTls.test(code)) return TLS_NOT_TLS;
  if (code === "ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE") return TLS_CLIENT_CERTIFICATE_REQUIRED;
  const alert = certificateAlert.exec(code)?.[1];
  if (alert !== undefined) {
    if (role === "client") return TLS_CLIENT_CERTIFICATE_REQUIRED;
    return alert === "CERTIFICATE_EXPIRED" ? TLS_EXPIRED : TLS_UNTRUSTED;
  }
  return code.startsWith("ERR_SSL_") || code.startsWith("ERR_TLS_") ? TLS_ERROR : null;
}

/** Why a client's TLS handshake with `where` failed. */
export function clientHandshakeError(cause: Error, where: string): ConduitError {
  const options = { cause };
  const code = tlsErrorCode(codeOf(cause), "client");
  if (code === null && codeOf(cause) === "ECONNRESET") {
    const what = "the server closed the connection; is it serving TLS?";
    return new ConduitError(TLS_NOT_TLS, `TLS handshake with ${where} failed: ${what} (${cause.message})`, options);
  }
  const reason = `${clientReason(code ?? TLS_ERROR)} (${cause.message})`;
  return new ConduitError(code ?? TLS_ERROR, `TLS handshake with ${where} failed: ${reason}`, options);
}

/** Why the TLS handshake of the client at `where` failed, for a server's `failed()`. */
export function serverHandshakeError(cause: Error, where: string): ConduitError {
  const message = `TLS handshake with client ${where} failed`;
  if (codeOf(cause) === "ERR_TLS_HANDSHAKE_TIMEOUT") {
    return new ConduitError(ErrorCode.CONNECT_TIMEOUT, `${message}: ${cause.message}`, { cause });
  }
  const code = tlsErrorCode(codeOf(cause), "server");
  if (code !== null) return new ConduitError(code, `${message}: ${serverReason(code)} (${cause.message})`, { cause });
  const gone = codeOf(cause) === "ECONNRESET" || codeOf(cause) === "EPIPE";
  return new ConduitError(gone ? ErrorCode.CONNECTION_RESET : TLS_ERROR, `${message}: ${cause.message}`, { cause });
}

/** The client at `where` has no certificate, or one that does not verify. */
export function clientCertificateError(where: string, reason: string, cause?: Error): ConduitError {
  return new ConduitError(
    TLS_CLIENT_CERTIFICATE_REQUIRED,
    `TLS handshake with client ${where} failed: its certificate is missing or not signed by the CA (${reason})`,
    { cause },
  );
}

/** A server that ends a connection with a client certificate before it says a word has refused the certificate. */
export function refusedCertificateError(where: string, cause?: Error): ConduitError {
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
    case TLS_CLIENT_CERTIFICATE_REQUIRED:
      return "it presented no client certificate that is acceptable";
    default:
      return "the two sides could not agree";
  }
}
