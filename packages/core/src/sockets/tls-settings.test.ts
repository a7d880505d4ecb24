import { expect, test } from "vitest";
import { ErrorCode } from "../errors.ts";
import { rejection } from "../test-support/fake-sockets.ts";
import { clientTls, serverTls, tlsInfo } from "./tls-settings.ts";

const CERT = "-----BEGIN CERTIFICATE-----";
const KEY = "-----BEGIN PRIVATE KEY-----";
const readText = async (path: string): Promise<string> => `${CERT} ${path}`;

test("a server asks for certificates when it has a CA, and insists when told to", async () => {
  const material = { cert: CERT, key: KEY };
  const settings = [
    await serverTls(material, readText),
    await serverTls({ ...material, ca: "ca.pem" }, readText),
    await serverTls({ ...material, ca: "ca.pem", requireClientCertificate: true }, readText),
  ];
  expect(settings).toEqual([
    { ...material, requestCert: false, rejectUnauthorized: false },
    { ...material, ca: `${CERT} ca.pem`, requestCert: true, rejectUnauthorized: false },
    { ...material, ca: `${CERT} ca.pem`, requestCert: true, rejectUnauthorized: true },
  ]);
});

test("a server that insists without a CA is INVALID_CONFIG", async () => {
  const error = await rejection(serverTls({ cert: CERT, key: KEY, requireClientCertificate: true }, readText));
  expect(error).toMatchObject({ code: ErrorCode.INVALID_CONFIG });
});

test("a client verifies the host unless given another name, and sends names alone", async () => {
  const settings = [
    await clientTls({}, "db", readText),
    await clientTls({ serverName: "elsewhere" }, "db", readText),
    await clientTls({}, "::1", readText),
  ];
  expect(settings).toEqual([
    { material: {}, name: "db", serverName: "db" },
    { material: {}, name: "elsewhere", serverName: "elsewhere" },
    { material: {}, name: "::1", serverName: "" },
  ]);
});

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
