/** The entry `./adapter`: what a runtime package needs of the core. Users import `@netconduit/core` instead. */

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
