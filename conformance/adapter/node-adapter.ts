import { connect } from "../../packages/node/src/connect.ts";
import { listen } from "../../packages/node/src/listen.ts";
import type { AdapterSubject } from "./subject.ts";

/** Node's sockets, for the conformance suites. */
export const nodeAdapter: AdapterSubject = {
  name: "Node",
  connect,
  listen,
  capabilities: {
    tcpResets: true,
    tlsResets: false,
    clientCertificates: true,
    tlsFacts: true,
    tlsOverUnix: true,
    dropsHandshakes: true,
    noticesTlsCutOff: false,
    oldTls: { ciphers: "DEFAULT@SECLEVEL=0" },
  },
};
