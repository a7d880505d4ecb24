import type { ListenEvents, Listener, ListenTarget, Runtime } from "@netconduit/core/adapter";

/** The sockets of a runtime, as its package offers them to the core. */
export interface SocketAdapter {
  readonly connect: Runtime["connect"];
  listen(target: ListenTarget, events: ListenEvents, handshakeTimeoutMs?: number): Promise<Listener>;
}

/** The adapter under test. */
export interface AdapterSubject extends SocketAdapter {
  readonly name: string;
  readonly capabilities: AdapterCapabilities;
}

/** Permitted differences between runtimes. RUNTIMES.md documents them for users. */
export interface AdapterCapabilities {
  /** `destroy(error)` on TCP reaches the peer as CONNECTION_RESET; elsewhere the peer may see a plain end. */
  readonly tcpResets: boolean;
  /** The same over TLS. */
  readonly tlsResets: boolean;
  /** A TLS server can ask for client certificates; elsewhere it refuses to listen if told to. */
  readonly clientCertificates: boolean;
  /** `protocol` and `peerName` of a TLS session are known; elsewhere they are null. */
  readonly tlsFacts: boolean;
  /** TLS works over Unix sockets; elsewhere it is INVALID_CONFIG. */
  readonly tlsOverUnix: boolean;
  /** An aborted TLS handshake closes its socket at once; elsewhere when the peer hangs up. */
  readonly dropsHandshakes: boolean;
  /** A TLS connection that ends without a close notification is an error; elsewhere it is a clean end. */
  readonly noticesTlsCutOff: boolean;
  /** Servers' certificates that clients accept, or that servers start with. */
  readonly certificates: {
    /** A certificate with the name only as the CN; elsewhere TLS_WRONG_NAME. */
    readonly commonName: boolean;
    /** A CA's own certificate, with CA:TRUE, if it is trusted itself; elsewhere TLS_UNTRUSTED. */
    readonly ofCa: boolean;
    /** A certificate of an intermediate CA that is trusted without its root; elsewhere TLS_UNTRUSTED. */
    readonly intermediateAsRoot: boolean;
    /** A certificate under seven intermediate CAs; elsewhere TLS_UNTRUSTED. */
    readonly longChain: boolean;
    /** A certificate with an RSA key of 1,024 bits; elsewhere INVALID_CONFIG of the server. */
    readonly rsa1024: boolean;
  };
  /** Options with which the runtime's `node:tls` speaks TLS 1.1, for tests with old peers; null: there are none. */
  readonly oldTls: Readonly<Record<string, unknown>> | null;
}
