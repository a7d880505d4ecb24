/**
 * Maps a runtime's error names to this library's error codes.
 *
 * The names are those of the system (`ECONNRESET`), of OpenSSL for certificates (`CERT_HAS_EXPIRED`) and the rest of
 * TLS (`ERR_SSL_…`), and of Node for anything else (`ERR_TLS_…`). Adapters of runtimes with other names translate them.
 */

import { ErrorCode } from "../errors.ts";
import type { Role } from "./addresses.ts";

/** The peer closed the connection during TLS without an alert. The runtimes have no common name for this. */
export const TLS_CUT_OFF = "ERR_TLS_CUT_OFF";
/** A server presented a CA certificate, which the runtime doesn't accept for servers. */
export const CA_AS_SERVER = "ERR_TLS_CA_AS_SERVER";
/** A TLS handshake timed out. Node's name. */
export const TLS_HANDSHAKE_TIMEOUT = "ERR_TLS_HANDSHAKE_TIMEOUT";
/** A permission is missing. Node's name. */
export const ACCESS_DENIED = "ERR_ACCESS_DENIED";

const { TLS_ERROR, TLS_UNTRUSTED, TLS_WRONG_NAME, TLS_EXPIRED, TLS_NOT_TLS, TLS_CLIENT_CERTIFICATE_REQUIRED } =
  ErrorCode;

/** Codes of established connections. */
export const streamCodes: ReadonlyMap<string, number> = new Map([
  ["ECONNRESET", ErrorCode.CONNECTION_RESET],
  ["ECONNABORTED", ErrorCode.CONNECTION_RESET],
  ["EPIPE", ErrorCode.CONNECTION_CLOSED],
  ["ENOTCONN", ErrorCode.CONNECTION_CLOSED],
  ["ERR_STREAM_DESTROYED", ErrorCode.CONNECTION_CLOSED],
  [TLS_CUT_OFF, ErrorCode.CONNECTION_CLOSED],
  ["ETIMEDOUT", ErrorCode.HOST_UNREACHABLE],
  ["EHOSTUNREACH", ErrorCode.HOST_UNREACHABLE],
  ["ENETUNREACH", ErrorCode.HOST_UNREACHABLE],
  ["ENETDOWN", ErrorCode.HOST_UNREACHABLE],
]);

/** Codes of connection attempts, in addition to `streamCodes`. */
export const connectCodes: ReadonlyMap<string, number> = new Map([
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
  [ACCESS_DENIED, ErrorCode.INVALID_CONFIG],
]);

const listenCodes: ReadonlyMap<string, number> = new Map([
  ["EADDRINUSE", ErrorCode.ADDRESS_IN_USE],
  ["ERR_INVALID_ARG_VALUE", ErrorCode.INVALID_CONFIG],
  ["ERR_SOCKET_BAD_PORT", ErrorCode.INVALID_CONFIG],
  [ACCESS_DENIED, ErrorCode.INVALID_CONFIG],
]);

/** Results of verifying the peer's certificate: OpenSSL's X509_V_ERR names, and Node's. */
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
  [CA_AS_SERVER, TLS_UNTRUSTED],
]);

/** The peer's first bytes aren't a TLS record. */
const notTls =
  /^ERR_SSL_(WRONG_VERSION_NUMBER|HTTP_REQUEST|HTTPS_PROXY_REQUEST|PACKET_LENGTH_TOO_LONG|UNKNOWN_PROTOCOL|RECORD_LAYER_FAILURE|BAD_RECORD_TYPE)$/;

/** Alerts with which a peer rejects our certificate. The middle of the name differs between OpenSSL versions. */
const certificateAlert =
  /^ERR_SSL_(?:.*_)?ALERT_(CERTIFICATE_REQUIRED|BAD_CERTIFICATE|NO_CERTIFICATE|UNSUPPORTED_CERTIFICATE|CERTIFICATE_REVOKED|CERTIFICATE_EXPIRED|CERTIFICATE_UNKNOWN|UNKNOWN_CA|ACCESS_DENIED)$/;

/** Error code for a failed connection attempt, or null if `code` is unknown. */
export function connectErrorCode(code: string): number | null {
  return connectCodes.get(code) ?? streamCodes.get(code) ?? null;
}

/** Error code for a failed attempt to listen, or null if `code` is unknown. */
export function listenErrorCode(code: string): number | null {
  return listenCodes.get(code) ?? null;
}

/** Error code for the failure of an established connection, or null if `code` is unknown. */
export function streamErrorCode(code: string, role: Role): number | null {
  return streamCodes.get(code) ?? tlsErrorCode(code, role);
}

/**
 * Error code for `code` on a TLS connection, or null if it isn't about TLS. An alert is about its receiver's
 * certificate.
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
