/** The entry `./adapter`: the core's API for runtime packages. Applications import `@netconduit/core` instead. */

export { usernameProblem } from "./auth/user.ts";
export { type FileUser, formatUsersFile, newUsersFile, parseUsersFile, type UsersFile } from "./auth/users-file.ts";
export { usersFile } from "./auth/users-file-lookup.ts";
export type { Endpoint } from "./bytes/address.ts";
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
  TlsClientOptions,
  TlsServerOptions,
} from "./runtime.ts";
export type { Acceptor, Handshake } from "./sockets/acceptor.ts";
export { type Ends, type Role, tcpAddress, tcpEnds } from "./sockets/addresses.ts";
export type { ConnectAttempt } from "./sockets/connect-attempt.ts";
export { descriptorLimit } from "./sockets/descriptor-limit.ts";
export { ACCESS_DENIED, CA_AS_SERVER, TLS_CUT_OFF } from "./sockets/error-codes.ts";
export { openFileStore, type StoreFileSystem } from "./sockets/file-store.ts";
export { FileTurns, filesInTurns } from "./sockets/file-turns.ts";
export { makeRuntime, type PlatformGlobals, type RuntimePrimitives } from "./sockets/make-runtime.ts";
export { type NodeFileSystem, nodeFiles } from "./sockets/node-files.ts";
export { codedError, messageOf, SocketErrors } from "./sockets/socket-errors.ts";
export type { SocketOperations } from "./sockets/socket-operations.ts";
export type { FailureFacts, SocketOwner } from "./sockets/socket-owner.ts";
export { SocketStreamBase } from "./sockets/socket-stream-base.ts";
export type { BindAddress, BoundSocket, Sockets } from "./sockets/sockets.ts";
export type { StreamFacts } from "./sockets/stream-facts.ts";
export { type TlsMaterial, tlsConfigError } from "./sockets/tls-material.ts";
export { type ClientTls, MIN_TLS_VERSION, type ServerTls, type TlsSession } from "./sockets/tls-settings.ts";
export { makeTransport, type Transport } from "./sockets/transport.ts";
export { type FileSystem, filesOf, type SocketFiles } from "./sockets/unix-socket.ts";
export type {
  FileStore,
  FileStoreOptions,
  SqliteDatabase,
  SqliteRow,
  SqliteStatement,
} from "./store/sqlite-store.ts";
export type { Store } from "./store/store.ts";
export type { Clock, TimerHandle } from "./util/clock.ts";
export { type FileAccess, type FileFacts, type FileHash, NotRegularFile, type OpenFile } from "./util/file-access.ts";
export { freeMemory } from "./util/free-memory.ts";
