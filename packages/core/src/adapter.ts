/** The entry `./adapter`: what a runtime package needs of the core. Users import `@netconduit/core` instead. */

export {
  addressFamily,
  addressName,
  type Ends,
  endpointName,
  type Role,
  tcpAddress,
  tcpEnds,
  unixEnds,
} from "./adapter/addresses.ts";
export { boundedInflate, type InflateSync, plainBytes } from "./adapter/bounded-inflate.ts";
export { ACCESS_DENIED, TLS_CUT_OFF, TLS_HANDSHAKE_TIMEOUT } from "./adapter/error-codes.ts";
export { bindUnixSocket, listenAddress, type UnixSocketFiles } from "./adapter/listen-address.ts";
export {
  abortError,
  clientCertificateError,
  goneError,
  handshakesFullError,
  messageOf,
  type SilentEnd,
  SocketErrors,
} from "./adapter/socket-errors.ts";
export { SocketStreamBase } from "./adapter/socket-stream-base.ts";
export { clientFacts, type StreamFacts, serverFacts } from "./adapter/stream-facts.ts";
export {
  demandsClientCertificate,
  loadTlsMaterial,
  refusesClientCertificate,
  TLS_HANDSHAKE_TIMEOUT_MS,
  type TlsMaterial,
  tlsConfigError,
  unusableMaterialError,
} from "./adapter/tls-material.ts";
export { MAX_TIMER_MS, TurnEnd } from "./adapter/turn-end.ts";
export type {
  Address,
  ByteSink,
  ByteStream,
  TlsInfo,
} from "./bytes/byte-stream.ts";
export { WriteQueue } from "./bytes/write-queue.ts";
export {
  ConduitError,
  type ConduitErrorOptions,
  ErrorCode,
  errorCodeName,
} from "./errors.ts";
export * from "./limits.ts";
export type {
  ConnectTarget,
  ListenEvents,
  Listener,
  ListenTarget,
  Runtime,
  RuntimeCrypto,
  TimerHandle,
  TlsClientOptions,
  TlsServerOptions,
} from "./runtime.ts";
