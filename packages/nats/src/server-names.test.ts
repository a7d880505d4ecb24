import type { PeerCertificate } from "node:tls";
import { expect, test } from "vitest";
import { nameCheck } from "./server-names.ts";

function certificate(subjectaltname: string): PeerCertificate {
  return { subject: {}, subjectaltname } as unknown as PeerCertificate;
}

test.each([
  ["a name", ["tls://nats.example:4222"], "nats.example", "DNS:nats.example", true],
  ["another name", ["tls://nats.example"], "nats.example", "DNS:localhost", false],
  ["one of several addresses", ["tls://10.0.0.1", "tls://10.0.0.2"], "localhost", "IP Address:10.0.0.2", true],
  ["none of several addresses", ["tls://10.0.0.1", "tls://10.0.0.2"], "localhost", "IP Address:10.0.0.3", false],
  ["an address of version 6", ["tls://[::1]:4222"], "localhost", "IP Address:0:0:0:0:0:0:0:1", true],
  ["localhost instead of an address", ["tls://10.0.0.1"], "localhost", "DNS:localhost", false],
  ["localhost, as it is called", ["tls://localhost"], "localhost", "DNS:localhost", true],
  ["an address that the runtime names", ["tls://10.0.0.1"], "10.0.0.1", "IP Address:10.0.0.1", true],
])("a certificate for %s", (_what, servers, name, names, isGood) => {
  expect(nameCheck(servers)(name, certificate(names)) === undefined).toBe(isGood);
});
