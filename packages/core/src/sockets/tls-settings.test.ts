import { expect, test } from "vitest";
import { ErrorCode } from "../errors.ts";
import { FakeSockets, rejection } from "../test-support/fake-sockets.ts";
import { clientTls, serverTls, tlsInfo } from "./tls-settings.ts";

const CERT = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
const KEY = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
const tools = { readText: async () => CERT, pemCrypto: new FakeSockets().pemCrypto };

test("a server asks for certificates when it has a CA, and insists when told to", async () => {
  const material = { cert: CERT, key: KEY };
  const settings = [
    await serverTls(material, tools),
    await serverTls({ ...material, ca: "ca.pem" }, tools),
    await serverTls({ ...material, ca: "ca.pem", requireClientCertificate: true }, tools),
  ];
  expect(settings).toEqual([
    { ...material, requestCert: false, rejectUnauthorized: false },
    { ...material, ca: CERT, requestCert: true, rejectUnauthorized: false },
    { ...material, ca: CERT, requestCert: true, rejectUnauthorized: true },
  ]);
});

test("a server that insists without a CA is INVALID_CONFIG", async () => {
  const error = await rejection(serverTls({ cert: CERT, key: KEY, requireClientCertificate: true }, tools));
  expect(error).toMatchObject({ code: ErrorCode.INVALID_CONFIG });
});

test("a client verifies the host unless given another name, and sends names alone", async () => {
  const settings = [
    await clientTls({}, "db", tools),
    await clientTls({ serverName: "elsewhere" }, "db", tools),
    await clientTls({}, "::1", tools),
  ];
  expect(settings).toEqual([
    { material: {}, name: "db", serverName: "db" },
    { material: {}, name: "elsewhere", serverName: "elsewhere" },
    { material: {}, name: "::1", serverName: "" },
  ]);
});

test.for(["", "-a", "a..b", "two words", "b\u00fccher.example", "1.2", "x".repeat(64)])(
  "the server name %j is INVALID_CONFIG, and the message says which option",
  async (name) => {
    expect(await rejection(clientTls({ serverName: name }, "db", tools))).toMatchObject({
      code: ErrorCode.INVALID_CONFIG,
      message: expect.stringMatching(/^tls.serverName: /),
    });
    expect((await rejection(clientTls({}, name, tools))).message).toMatch(/^host: /);
  },
);

test.for([
  ["a name", { subject: { CN: "somebody" } }, "somebody"],
  ["several names: the first", { subject: { CN: ["somebody", "else"] } }, "somebody"],
  ["none", { subject: {} }, null],
  ["no subject", {}, null],
  ["no certificate", undefined, null],
] as const)("the peer's name of a certificate with %s", ([, certificate, peerName]) => {
  const info = tlsInfo({ protocol: "TLSv1.3", verified: true, certificate });
  expect(info).toEqual({ protocol: "TLSv1.3", peerVerified: true, peerName });
});
