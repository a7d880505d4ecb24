import type { AdapterSubject } from "../../../conformance/adapter/subject.ts";
import { transport } from "../src/transport.ts";

/** Bun's sockets, for the conformance suites. */
export const bunAdapter: AdapterSubject = {
  name: "Bun",
  ...transport,
  capabilities: {
    tcpResets: true,
    tlsResets: true,
    clientCertificates: true,
    tlsFacts: true,
    tlsOverUnix: true,
    dropsHandshakes: true,
    noticesTlsCutOff: false,
    certificates: { commonName: true, ofCa: true, intermediateAsRoot: false, longChain: true, rsa1024: true },
    oldTls: {},
  },
};
