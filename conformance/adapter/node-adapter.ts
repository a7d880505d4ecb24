import { transport } from "../../packages/node/src/transport.ts";
import type { AdapterSubject } from "./subject.ts";

const [major = 0] = process.versions.node.split(".").map(Number);

/** Node's sockets, for the conformance suites. */
export const nodeAdapter: AdapterSubject = {
  name: "Node",
  ...transport,
  capabilities: {
    tcpResets: true,
    tlsResets: false,
    clientCertificates: true,
    tlsFacts: true,
    tlsOverUnix: true,
    dropsHandshakes: true,
    noticesTlsCutOff: false,
    certificates: { commonName: true, ofCa: true, intermediateAsRoot: false, longChain: true, rsa1024: major < 24 },
    oldTls: { ciphers: "DEFAULT@SECLEVEL=0" },
  },
};
