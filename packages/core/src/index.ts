/** The entry `.`: what an application uses. The runtime packages re-export it with `Server` and `Client` bound to them. */

export type { Address, TlsInfo } from "./bytes/byte-stream.ts";
export {
  ConduitError,
  type ConduitErrorOptions,
  ErrorCode,
  type ErrorCodeName,
  errorCodeName,
  RpcError,
} from "./errors.ts";
export { ServerAddress } from "./peer/address.ts";
export type { Rejection } from "./peer/admission.ts";
export type { AnyClient, AnyConnection, AnyServer } from "./peer/any.ts";
export { recycle } from "./peer/buffer-pool.ts";
export { Client, type ClientHealth, type ClientInit } from "./peer/client.ts";
export type { ClientConfig, ClientOptions, Credentials, ReconnectOptions } from "./peer/client-options.ts";
export {
  type CallOptions,
  Connection,
  type ConnectionStats,
  type Session,
  type TypedCallOptions,
} from "./peer/connection.ts";
export type { Awaitable, Disposer, MethodDefinition } from "./peer/endpoint.ts";
export type { ErrorContext } from "./peer/endpoint-core.ts";
export type { CloseReason } from "./peer/link-owner.ts";
export {
  type BroadcastOptions,
  Server,
  type ServerInit,
  type ServerStats,
  type SlowConsumer,
} from "./peer/server.ts";
export type { ServerState, StopOptions } from "./peer/server-life.ts";
export type { RateLimitOptions, ServerConfig, ServerOptions } from "./peer/server-options.ts";
export type { HandlerContext } from "./rpc/call-context.ts";
export type { Contract, MethodContract, Params, SideContract } from "./rpc/contract.ts";
export { type ErrorHelper, type ErrorHelperOptions, error } from "./rpc/error-helpers.ts";
export type { MethodInfo } from "./rpc/registry.ts";
export { type PaginatedResponse, type Pagination, type Response, response } from "./rpc/response.ts";
export type { InferInput, InferOutput, Schema } from "./rpc/schema.ts";
export { type FieldError, fieldErrors } from "./rpc/validation.ts";
export type { TlsClientOptions, TlsServerOptions } from "./runtime.ts";
export type { ConnectionState, StateChange, StateReason } from "./session/connection-state.ts";
export type { Latency } from "./session/heartbeat.ts";
export type { AuthMethod, PeerInfo } from "./session/peer-info.ts";
export { Float64, float64 } from "./wire/float64.ts";
