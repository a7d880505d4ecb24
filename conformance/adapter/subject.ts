import type { ListenEvents, Listener, ListenTarget, Runtime } from "@netconduit/core/adapter";

/** The sockets of a runtime, as its package offers them to the core. */
export interface SocketAdapter {
  readonly connect: Runtime["connect"];
  listen(target: ListenTarget, events: ListenEvents, handshakeTimeoutMs?: number): Promise<Listener>;
}

/** What the suites of this folder run on. */
export interface AdapterSubject extends SocketAdapter {
  readonly name: string;
  readonly capabilities: AdapterCapabilities;
}

/** How runtimes rightly differ. RUNTIMES.md tells users the same. */
export interface AdapterCapabilities {
  /** `destroy(error)` on TCP reaches the peer as CONNECTION_RESET; elsewhere the peer may see a plain end. */
  readonly tcpResets: boolean;
  /** The same over TLS. */
  readonly tlsResets: boolean;
  /** A TLS server can ask for client certificates; elsewhere it refuses to listen if told to. */
  readonly clientCertificates: boolean;
  /** `protocol` and `peerName` of a TLS session are told; elsewhere they are null. */
  readonly tlsFacts: boolean;
  /** TLS goes over Unix sockets too; elsewhere it is INVALID_CONFIG. */
  readonly tlsOverUnix: boolean;
  /** A TLS handshake that is given up closes its socket at once; elsewhere when the peer hangs up. */
  readonly dropsHandshakes: boolean;
  /** A TLS connection cut off without a farewell is an error; elsewhere it is a clean end. */
  readonly noticesTlsCutOff: boolean;
  /** What makes the runtime's `node:tls` speak TLS 1.1, for peers that are too old; null: nothing does. */
  readonly oldTls: Readonly<Record<string, unknown>> | null;
}
