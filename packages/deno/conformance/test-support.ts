import type { AdapterSubject } from "../../../conformance/adapter/subject.ts";
import { transport } from "../src/transport.ts";

/** Deno's sockets, for the conformance suites. */
export const denoAdapter: AdapterSubject = {
  name: "Deno",
  ...transport,
  capabilities: {
    tcpResets: false,
    tlsResets: false,
    clientCertificates: false,
    tlsFacts: false,
    tlsOverUnix: false,
    dropsHandshakes: false,
    noticesTlsCutOff: true,
    certificates: { commonName: false, ofCa: false, intermediateAsRoot: true, longChain: false, rsa1024: false },
    oldTls: null,
  },
};
