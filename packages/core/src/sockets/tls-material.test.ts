import { describe, expect, test } from "vitest";
import { ErrorCode } from "../errors.ts";
import { FakeSockets } from "../test-support/fake-sockets.ts";
import { clientFacts, serverFacts } from "./stream-facts.ts";
import { demandsClientCertificate, loadTlsMaterial, refusesClientCertificate, type TlsTools } from "./tls-material.ts";

const block = (label: string, text: string): string => `-----BEGIN ${label}-----\n${text}\n-----END ${label}-----\n`;
const CERT = block("CERTIFICATE", "AAAA");
const OTHER_CERT = block("CERTIFICATE", "other");
const KEY = block("EC PRIVATE KEY", "AAAA");
const noFiles = tools((path) => Promise.reject(new Error(`no file ${path}`)));

function tools(readText: TlsTools["readText"]): TlsTools {
  return { readText, pemCrypto: new FakeSockets().pemCrypto };
}

describe("loadTlsMaterial", () => {
  test("PEM text is taken as it is, anything else is read", async () => {
    const reading = tools(async (path) => `\uFEFF${path}: ${KEY} and so on`);
    expect(await loadTlsMaterial({ ca: CERT, cert: `notes ${CERT}${OTHER_CERT}`, key: "key.pem" }, reading)).toEqual({
      ca: CERT,
      cert: `${CERT}\n${OTHER_CERT}`,
      key: KEY,
    });
    expect(await loadTlsMaterial({}, noFiles)).toEqual({});
  });

  test.for([
    [{ cert: CERT }, "tls.cert is given without tls.key"],
    [{ key: KEY }, "tls.key is given without tls.cert"],
    [{ ca: "ca.pem" }, 'Cannot read tls.ca from file "ca.pem": no file ca.pem'],
    [{ ca: KEY }, "tls.ca: there is no certificate (-----BEGIN CERTIFICATE-----) in the given text"],
    [{ ca: CERT + block("CERTIFICATE", "broken") }, "tls.ca: certificate 2 of 2 in the given text cannot be decoded"],
    [{ ca: "-----BEGIN CERTIFICATE-----\nAAAA" }, "-----END CERTIFICATE----- is missing"],
    [
      { cert: CERT, key: block("PRIVATE KEY", "broken") },
      "tls.key: the private key in the given text cannot be decoded",
    ],
    [
      { cert: CERT, key: block("ENCRYPTED PRIVATE KEY", "AAAA") },
      "tls.key: the private key in the given text is encrypted",
    ],
    [{ cert: CERT, key: block("RSA PRIVATE KEY", "Proc-Type: 4,ENCRYPTED\nAAAA") }, "is encrypted with a passphrase"],
    [{ cert: OTHER_CERT, key: KEY }, "tls.key doesn't belong to the certificate in tls.cert"],
    [{ cert: OTHER_CERT + CERT, key: KEY }, "must be the first of the chain, and is number 2"],
    [{ cert: CERT, key: CERT }, "tls.key: there is no private key (-----BEGIN PRIVATE KEY-----) in the given text"],
  ] as const)("%o is INVALID_CONFIG: %s", async ([options, message]) => {
    await expect(loadTlsMaterial(options, noFiles)).rejects.toMatchObject({
      code: ErrorCode.INVALID_CONFIG,
      message: expect.stringContaining(message),
    });
  });

  test.for([
    "MC4CAQAwBQYDK2VwBCIEIMvXUm2lM1yNFqnCfKBvXoXvDTW7sRUrVUnrZk2hnhqT",
    `MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg${"Ab3/+".repeat(20)}\n${"Zz09".repeat(10)}=`,
  ])("a private key without its PEM lines isn't shown as the path of a file: %s", async (key) => {
    const error: unknown = await loadTlsMaterial({ cert: CERT, key }, noFiles).catch((failure: unknown) => failure);
    expect(error).toMatchObject({
      code: ErrorCode.INVALID_CONFIG,
      message: "tls.key is neither the path of a file nor PEM text: -----BEGIN is missing",
    });
    expect(error).not.toHaveProperty("cause", expect.anything());
  });

  test("a demand for client certificates needs a CA to check them against", () => {
    expect(demandsClientCertificate({ cert: CERT, key: KEY })).toBe(false);
    expect(demandsClientCertificate({ cert: CERT, key: KEY, ca: CERT, requireClientCertificate: true })).toBe(true);
    expect(() => demandsClientCertificate({ cert: CERT, key: KEY, requireClientCertificate: true })).toThrow("tls.ca");
  });
});

test("a client certificate is refused when it does not verify, or is missing where it is demanded", () => {
  const asking = { requestCert: true, rejectUnauthorized: false };
  const demanding = { requestCert: true, rejectUnauthorized: true };
  const none = { presented: false, verified: true };
  const bad = { presented: true, verified: false };
  const good = { presented: true, verified: true };
  const refused = (options: typeof asking) => [none, bad, good].map((c) => refusesClientCertificate(options, c));
  expect([refused(asking), refused(demanding)]).toEqual([
    [false, true, false],
    [true, true, false],
  ]);
  expect(refusesClientCertificate({ requestCert: false, rejectUnauthorized: false }, bad)).toBe(false);
});

describe("facts about a stream", () => {
  const tcp = { host: "db", port: 1, family: 0 as const, bufferSize: 10 };
  const address = { kind: "tcp", host: "127.0.0.1", port: 1, family: "IPv4" } as const;
  const ends = { local: address, remote: address };
  const tls = { protocol: null, peerVerified: true, peerName: null };

  test("a client whose peer is gone is CONNECTION_RESET", () => {
    expect(() => clientFacts({ ...tcp, tls: null }, null, null)).toThrow("the peer closed it at once");
  });

  test("a client of TLS without a verified server is TLS_UNTRUSTED, whatever the runtime says", () => {
    for (const unverified of [null, { ...tls, peerVerified: false }]) {
      expect(() => clientFacts({ ...tcp, tls: {} }, ends, unverified)).toThrow("the server is not verified");
    }
  });

  test("a silent end means a refused certificate where the client presented one, and nothing elsewhere", () => {
    expect(clientFacts({ ...tcp, tls: {} }, ends, tls).silentEnd).toBeNull();
    const { silentEnd } = clientFacts({ ...tcp, tls: { cert: CERT, key: KEY } }, ends, tls);
    expect(silentEnd?.()).toMatchObject({ code: ErrorCode.TLS_CLIENT_CERTIFICATE_REQUIRED });
  });

  test("a server's client that is gone has none", () => {
    const target = { host: "db", port: 1, ipv6: false, tls: null, bufferSize: 10 };
    expect(serverFacts(target, null, null)).toBeNull();
    expect(serverFacts({ ...target, path: "/x" }, null, null)).toMatchObject({
      local: { kind: "unix", path: "/x" },
      remote: { kind: "unix", path: "" },
      role: "server",
    });
  });
});
