import { describe, expect, test } from "vitest";
import { ErrorCode } from "../errors.ts";
import { tlsErrorCode } from "./error-codes.ts";
import { badPath, messageOf, refusedCertificateError, SocketErrors } from "./socket-errors.ts";

const errors = new SocketErrors((cause) => (cause as { code?: string }).code ?? "");
const coded = (code: string): Error => Object.assign(new Error(`it says ${code}`), { code });
const db = { host: "db", port: 1 };
const remote = { kind: "tcp", host: "::1", port: 7, family: "IPv6" } as const;

describe("SocketErrors", () => {
  test.for([
    ["ECONNREFUSED", ErrorCode.CONNECTION_REFUSED],
    ["ENOTFOUND", ErrorCode.HOST_UNREACHABLE],
    ["ETIMEDOUT", ErrorCode.HOST_UNREACHABLE],
    ["ECONNRESET", ErrorCode.CONNECTION_RESET],
    ["ERR_ACCESS_DENIED", ErrorCode.INVALID_CONFIG],
    ["EMFILE", ErrorCode.CONNECTION_ERROR],
  ] as const)("connect with %s has the code that stands for it, the place and the cause", ([name, code]) => {
    const cause = coded(name);
    const error = errors.connect(cause, db);
    expect(error).toMatchObject({ code, cause, message: `Cannot connect to db:1: it says ${name}` });
  });

  test.for([
    ["EADDRINUSE", ErrorCode.ADDRESS_IN_USE],
    ["ERR_SOCKET_BAD_PORT", ErrorCode.INVALID_CONFIG],
    ["EACCES", ErrorCode.ADDRESS_UNAVAILABLE],
  ] as const)("listen with %s has the code that stands for it", ([name, code]) => {
    expect(errors.listen(coded(name), db)).toMatchObject({ code });
  });

  test("a path that is too long for a Unix socket is INVALID_CONFIG, which says how long it may be", () => {
    const path = `/${"ü".repeat(52)}`;
    for (const name of ["EINVAL", "ENAMETOOLONG"]) {
      for (const error of [errors.connect(coded(name), { path }), errors.listen(coded(name), { path })]) {
        expect(error).toMatchObject({ code: ErrorCode.INVALID_CONFIG, cause: { code: name } });
        expect(error.message).toContain("the path has 105 bytes, that of a Unix socket at most 107");
      }
    }
    expect(errors.connect(coded("EINVAL"), { path: "/short" })).toMatchObject({ code: ErrorCode.HOST_UNREACHABLE });
    expect(errors.connect(coded("EACCES"), { path })).toMatchObject({ code: ErrorCode.CONNECTION_REFUSED });
  });

  test("a path that no system has room for is refused without asking, a pipe of Windows is not", () => {
    const tail = "x".repeat(107);
    expect(badPath(`/${tail}`, "Cannot listen")).toMatchObject({
      code: ErrorCode.INVALID_CONFIG,
      message: expect.stringContaining("Cannot listen: the path has 108 bytes"),
    });
    expect(badPath(tail, "Cannot listen")).toBeNull();
    expect(badPath(String.raw`\\.\pipe\${tail}`, "Cannot listen")).toBeNull();
  });

  test.for([
    ["ECONNRESET", ErrorCode.CONNECTION_RESET, "Connection to [::1]:7 was reset by the peer"],
    ["EPIPE", ErrorCode.CONNECTION_CLOSED, "was closed by the peer while data was being sent"],
    ["ERR_TLS_CUT_OFF", ErrorCode.CONNECTION_CLOSED, "without ending its TLS session"],
    ["ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED", ErrorCode.TLS_CLIENT_CERTIFICATE_REQUIRED, "demands a client cert"],
    ["EIO", ErrorCode.CONNECTION_ERROR, "Connection to [::1]:7 failed"],
  ] as const)("stream with %s says what happened to the connection", ([name, code, words]) => {
    const error = errors.stream(coded(name), remote, "client", null);
    expect(error).toMatchObject({ code });
    expect(error.message).toContain(words);
  });

  test("stream: a break before the first byte is what the adapter says it is, any other error what it is", () => {
    const silentEnd = (cause?: unknown) => refusedCertificateError("db:1", cause);
    const codes = ["ECONNRESET", "EPIPE", "EHOSTUNREACH"].map(
      (name) => errors.stream(coded(name), remote, "client", silentEnd).code,
    );
    const refused = ErrorCode.TLS_CLIENT_CERTIFICATE_REQUIRED;
    expect(codes).toEqual([refused, refused, ErrorCode.HOST_UNREACHABLE]);
  });

  test.for([
    ["CERT_HAS_EXPIRED", {}, ErrorCode.TLS_EXPIRED],
    ["ERR_TLS_CERT_ALTNAME_INVALID", {}, ErrorCode.TLS_WRONG_NAME],
    ["SELF_SIGNED_CERT_IN_CHAIN", {}, ErrorCode.TLS_UNTRUSTED],
    ["ERR_SSL_WRONG_VERSION_NUMBER", {}, ErrorCode.TLS_NOT_TLS],
    ["ERR_SSL_SSLV3_ALERT_BAD_CERTIFICATE", {}, ErrorCode.TLS_CLIENT_CERTIFICATE_REQUIRED],
    ["ERR_SSL_NO_CIPHER_MATCH", {}, ErrorCode.TLS_ERROR],
    ["ERR_TLS_CUT_OFF", {}, ErrorCode.TLS_NOT_TLS],
    ["ERR_TLS_CUT_OFF", { answered: true }, ErrorCode.TLS_ERROR],
    ["ECONNREFUSED", {}, ErrorCode.CONNECTION_REFUSED],
    ["ECONNRESET", { name: "ERR_TLS_CUT_OFF" }, ErrorCode.TLS_NOT_TLS],
    ["ECONNRESET", {}, ErrorCode.TLS_NOT_TLS],
    ["ECONNRESET", { answered: true }, ErrorCode.CONNECTION_RESET],
    ["ERR_TLS_CA_AS_SERVER", {}, ErrorCode.TLS_UNTRUSTED],
  ] as const)("clientHandshake with %s, %o", ([name, facts, code]) => {
    expect(errors.clientHandshake(coded(name), db, facts)).toMatchObject({ code });
  });

  test.for([
    ["ERR_TLS_HANDSHAKE_TIMEOUT", ErrorCode.CONNECT_TIMEOUT],
    ["ERR_TLS_CUT_OFF", ErrorCode.CONNECTION_RESET],
    ["ECONNRESET", ErrorCode.CONNECTION_RESET],
    ["ERR_SSL_ALERT_UNKNOWN_CA", ErrorCode.TLS_UNTRUSTED],
    ["ERR_SSL_SSLV3_ALERT_CERTIFICATE_EXPIRED", ErrorCode.TLS_EXPIRED],
    ["ERR_SSL_HTTP_REQUEST", ErrorCode.TLS_NOT_TLS],
    ["ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE", ErrorCode.TLS_CLIENT_CERTIFICATE_REQUIRED],
    ["CERT_HAS_EXPIRED", ErrorCode.TLS_CLIENT_CERTIFICATE_REQUIRED],
    ["", ErrorCode.TLS_ERROR],
  ] as const)("serverHandshake with %s", ([name, code]) => {
    expect(errors.serverHandshake(coded(name), "10.0.0.1:9")).toMatchObject({ code });
  });

  test.for([
    ["ECONNRESET", {}, "the server reset the connection; does it speak TLS (option tls)?"],
    ["ERR_TLS_CUT_OFF", {}, "the server closed the connection; does it speak TLS (option tls)?"],
    ["CERT_UNTRUSTED", {}, "give the certificate, or its CA, as tls.ca"],
    ["CERT_UNTRUSTED", { hasCa: true }, "none of the CAs given as tls.ca signed the server's certificate"],
    ["ERR_TLS_CA_AS_SERVER", { hasCa: true }, "make it with basicConstraints=CA:FALSE"],
  ] as const)("clientHandshake with %s, %o, says what to do", ([name, facts, words]) => {
    expect(errors.clientHandshake(coded(name), db, facts).message).toContain(words);
  });

  test("an error that has nothing to do with TLS has no TLS code", () => {
    expect(tlsErrorCode("ECONNRESET", "client")).toBeNull();
  });

  test("an error of several addresses says what each of them said", () => {
    expect(messageOf(new AggregateError([new Error("one"), "two"]))).toBe("one; two");
  });

  test.for([
    [
      "407D2E1B317F0000:error:0A00010B:SSL routines:tls_validate_record_header:wrong version number:../deps/openssl/x.c:77:\n",
      "wrong version number",
    ],
    [
      "407D2E1B317F0000:error:0A000418:SSL routines:ssl3_read_bytes:tlsv1 alert unknown ca:../x.c:918:SSL alert number 48\n",
      "tlsv1 alert unknown ca",
    ],
    ["error:100000f7:SSL routines:OPENSSL_internal:WRONG_VERSION_NUMBER", "WRONG_VERSION_NUMBER"],
    ["one\n  two\n", "one two"],
    [
      "unable to verify the first certificate; if the root CA is installed locally, try running Node.js with --use-system-ca",
      "unable to verify the first certificate",
    ],
    ["an error: of 3 parts: no more", "an error: of 3 parts: no more"],
  ] as const)("of what OpenSSL and Node say, the reason is kept, in one line: %s", ([said, kept]) => {
    expect(messageOf(new Error(said))).toBe(kept);
  });
});
