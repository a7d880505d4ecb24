import type { ListenEvents, Listener, ListenTarget, Runtime } from "@netconduit/core/adapter";

/** The sockets of a runtime, as implemented by its package. */
export interface SocketAdapter {
  readonly connect: Runtime["connect"];
  listen(target: ListenTarget, events: ListenEvents, handshakeTimeoutMs?: number): Promise<Listener>;
}

/** The adapter under test. */
export interface AdapterSubject extends SocketAdapter {
  readonly name: string;
  readonly capabilities: AdapterCapabilities;
}

/** Permitted differences between runtimes, documented in RUNTIMES.md. */
export interface AdapterCapabilities {
  /** `destroy(error)` on TCP reaches the peer as CONNECTION_RESET; otherwise the peer may see a normal end. */
  readonly tcpResets: boolean;
  /** The same over TLS. */
  readonly tlsResets: boolean;
  /** A TLS server can request client certificates; otherwise listening with that option fails. */
  readonly clientCertificates: boolean;
  /** `protocol` and `peerName` of a TLS session are known; otherwise they are null. */
  readonly tlsFacts: boolean;
  /** TLS works over Unix sockets; otherwise it is INVALID_CONFIG. */
  readonly tlsOverUnix: boolean;
  /** An aborted TLS handshake closes its socket immediately; otherwise when the peer disconnects. */
  readonly dropsHandshakes: boolean;
  /** A TLS connection that ends without a close_notify is an error; otherwise it is a clean end. */
  readonly noticesTlsCutOff: boolean;
  /** Server certificates that clients accept, or that servers can start with. */
  readonly certificates: {
    /** A certificate with the name only in the CN; otherwise TLS_WRONG_NAME. */
    readonly commonName: boolean;
    /** A CA's own certificate (CA:TRUE) that is trusted itself; otherwise TLS_UNTRUSTED. */
    readonly ofCa: boolean;
    /** A certificate issued by an intermediate CA that is trusted without its root; otherwise TLS_UNTRUSTED. */
    readonly intermediateAsRoot: boolean;
    /** A certificate chain with seven intermediate CAs; otherwise TLS_UNTRUSTED. */
    readonly longChain: boolean;
    /** A certificate with an RSA key of 1,024 bits; otherwise the server throws INVALID_CONFIG. */
    readonly rsa1024: boolean;
  };
  /** Options that enable TLS 1.1 in the runtime's `node:tls`, for tests with old peers; null if that isn't possible. */
  readonly oldTls: Readonly<Record<string, unknown>> | null;
}
