import type { AdapterSubject } from "../../../conformance/adapter/subject.ts";
import { connect } from "../src/connect.ts";
import { listen } from "../src/listen.ts";

/** Bun's sockets, for the conformance suites. */
export const bunAdapter: AdapterSubject = {
  name: "Bun",
  connect,
  listen,
  capabilities: {
    tcpResets: true,
    tlsResets: true,
    clientCertificates: true,
    tlsFacts: true,
    tlsOverUnix: true,
    dropsHandshakes: true,
    noticesTlsCutOff: false,
    oldTls: {},
  },
};
