/** The entry `./adapter`: what a runtime package needs of the core. Users import `@netconduit/core` instead. */

export { acceptHandles } from "./adapter/accept-handles.ts";
export type { Acceptor } from "./adapter/acceptor.ts";
export { addressFamily, type Ends, type Role, tcpAddress, tcpEnds } from "./adapter/addresses.ts";
export { type AwaitedSocket, AwaitedSocketStream } from "./adapter/awaited-socket-stream.ts";
export type { ConnectAttempt } from "./adapter/connect-attempt.ts";
export { ACCESS_DENIED, CA_AS_SERVER, TLS_CUT_OFF } from "./adapter/error-codes.ts";
export { endNames, type Handle, handleOf } from "./adapter/handle.ts";
export { type Handles, handlesOf } from "./adapter/handles.ts";
export { keepingLargeMemory } from "./adapter/large-memory.ts";
export { makeRuntime, type PlatformGlobals, type RuntimePrimitives } from "./adapter/make-runtime.ts";
export { type PartialWriteSocket, PartialWriteStream } from "./adapter/partial-write-stream.ts";
export { codedError, messageOf, SocketErrors } from "./adapter/socket-errors.ts";
export type { FailureFacts, SocketOwner } from "./adapter/socket-owner.ts";
export { SocketStreamBase } from "./adapter/socket-stream-base.ts";
export {
  type BindAddress,
  type BoundSocket,
  type FileSystem,
  filesOf,
  type SocketFiles,
  type Sockets,
} from "./adapter/sockets.ts";
export type { StreamFacts } from "./adapter/stream-facts.ts";
export type { TlsHandshake } from "./adapter/tls-handshake.ts";
export { type TlsMaterial, tlsConfigError } from "./adapter/tls-material.ts";
export { type ClientTls, MIN_TLS_VERSION, type ServerTls, type TlsSession } from "./adapter/tls-settings.ts";
export { makeTransport, type Transport } from "./adapter/transport.ts";
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
  DialSignal,
  ListenEvents,
  Listener,
  ListenTarget,
  Runtime,
  RuntimeCrypto,
  TimerHandle,
  TlsClientOptions,
  TlsServerOptions,
} from "./runtime.ts";
