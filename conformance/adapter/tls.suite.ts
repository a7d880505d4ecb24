import { describeCertificates } from "./certificates.suite.ts";
import { describeClientCertificates } from "./client-certificates.suite.ts";
import type { AdapterSubject } from "./subject.ts";
import { describeTlsClient } from "./tls-client.suite.ts";
import { describeTlsServer } from "./tls-server.suite.ts";

/** All TLS suites. */
export function describeTls(subject: AdapterSubject): void {
  describeTlsClient(subject);
  describeTlsServer(subject);
  describeCertificates(subject);
  if (subject.capabilities.clientCertificates) describeClientCertificates(subject);
}
