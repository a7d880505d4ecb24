import type { AdapterSubject } from "../../../conformance/adapter/subject.ts";
import { connect } from "../src/connect.ts";
import { listen } from "../src/listen.ts";

/** Deno's sockets, for the conformance suites. */
export const denoAdapter: AdapterSubject = {
  name: "Deno",
  connect,
  listen,
  capabilities: {
    tcpResets: false,
    tlsResets: false,
    clientCertificates: false,
    tlsFacts: false,
    tlsOverUnix: false,
    dropsHandshakes: false,
    noticesTlsCutOff: true,
    oldTls: null,
  },
};
