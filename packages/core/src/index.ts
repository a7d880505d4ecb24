/**
 * The entry `.`: the API for applications. The runtime packages re-export it, with `Server` and `Client` bound to their
 * runtime.
 */

export type { LoginCredentials } from "./auth/client-handshake.ts";
export type { CertificateCheck, TokenCheck } from "./auth/login-methods.ts";
export type { AuthMethod, PeerInfo } from "./auth/peer-info.ts";
export type { Identity, User } from "./auth/user.ts";
export type { UserEntry, UserOptions, Verifier, VerifierLookup } from "./auth/users.ts";
export type { UsersFileChange, UsersFileLookup } from "./auth/users-file-lookup.ts";
export { scramVerifier, type VerifierOptions } from "./auth/verifier.ts";
export { ServerAddress } from "./bytes/address.ts";
export type { Address, TlsInfo } from "./bytes/byte-stream.ts";
export { type AnyClient, Client, type ClientHealth, type ClientInit } from "./client/client.ts";
export type {
  ClientConfig,
  ClientOptions,
  ClientSettings,
  Credentials,
  CredentialsSource,
  Password,
  ReconnectOptions,
  TcpTarget,
  UnixTarget,
} from "./client/client-options.ts";
export type { RenewalHook, RenewedCredentials } from "./client/credential-renewal.ts";
export type { ConnectedOptions } from "./client/ready-waits.ts";
export type { FailedAttempt } from "./client/reconnector.ts";
export type { ExpiredSession, ResumedSession } from "./client/resumed-session.ts";
export type { PresenceChange, PresentClient, TopicPresenceView } from "./client/topics/presence-view.ts";
export type { Resumption, SubscribeOptions, Subscription } from "./client/topics/subscription.ts";
export type {
  Cluster,
  ClusterAnswer,
  ClusterLoss,
  ClusterNodeInfo,
  ClusterStateChange,
  ClusterStats,
  ConnectionCount,
  ConnectionDescription,
  ConnectionPage,
  Revocation,
} from "./cluster/cluster.ts";
export type { ClusterOptions } from "./cluster/cluster-options.ts";
export { clusterStore } from "./cluster/cluster-store.ts";
export type { ConnectionFilter } from "./cluster/connection-filter.ts";
export type {
  ClusterAddress,
  ClusterDriver,
  ClusterHost,
  ClusterLink,
  ClusterLinkStats,
  ClusterLog,
  ClusterLogLimits,
  ClusterLogs,
  ClusterRecord,
  ClusterRecordSet,
  ClusterRecords,
  ClusterState,
  ClusterSubscription,
  LogPlace,
  LogReader,
  PublishResult,
} from "./cluster/driver.ts";
export type { NodeEnd } from "./cluster/membership.ts";
export type { NodePeer } from "./cluster/node-peer.ts";
export type { CloseReason } from "./connection/close-reason.ts";
export type { ResumeSettings } from "./connection/connection-settings.ts";
export type { ConnectionEvent, ConnectionState, StateChange, StateReason } from "./connection/connection-state.ts";
export type { DrainNotice } from "./connection/extension.ts";
export type { AckOptions } from "./endpoint/acknowledged-send.ts";
export type { Api, ApiMethod, OpenApi, OpenApiMethod } from "./endpoint/api.ts";
export type {
  CallOptions,
  CallStreamOptions,
  OnceOptions,
  SendingOptions,
  SendOptions,
  Sent,
  StreamOptions,
  TypedCallOptions,
  TypedStreamOptions,
} from "./endpoint/call-options.ts";
export type { DeadLetter } from "./endpoint/dead-letter.ts";
export type { ErrorContext } from "./endpoint/endpoint-core.ts";
export type { HandlerGroup } from "./endpoint/handler-group.ts";
export type {
  Disposer,
  MessageOptions,
  MethodDefinition,
  MethodHandlers,
  StreamDefinition,
} from "./endpoint/method-types.ts";
export type { OutgoingContext, OutgoingMiddleware } from "./endpoint/outgoing-middleware.ts";
export type { RemoteCaller } from "./endpoint/remote-caller.ts";
export type { ConnectionStats, RemotePeer, RemotePeerBase } from "./endpoint/remote-peer.ts";
export type { ClientResumeOptions, ServerResumeOptions, ServerResumeSettings } from "./endpoint/resume-option.ts";
export { ErrorCode, type ErrorCodeName, errorCodeName } from "./error-codes.ts";
export { ConduitError, type ConduitErrorOptions, RpcError } from "./errors.ts";
export type { FileCallOptions } from "./extensions/files/file-caller.ts";
export type { FileProgress } from "./extensions/files/file-progress.ts";
export type { BlobLike, UploadSource } from "./extensions/files/file-source.ts";
export type { FileRequest, FolderOptions } from "./extensions/files/folder-options.ts";
export type { OverwritePolicy } from "./extensions/files/overwrite-policy.ts";
export type { RateLimit } from "./extensions/files/paced-chunks.ts";
export type { RemoteFiles } from "./extensions/files/remote-files.ts";
export type { FileEntry, TransferredFile } from "./extensions/files/served-folder.ts";
export type {
  BytesOptions,
  DownloadOptions,
  FileResult,
  TransferOptions,
  UploadOptions,
  WritableLike,
} from "./extensions/files/transfer-options.ts";
export type { Latency } from "./extensions/liveness.ts";
export type { MethodInfo } from "./netconduit/discovery.ts";
export { ClientPool, type PoolConnectOptions, type PoolInit, type PoolResult } from "./pool/client-pool.ts";
export type { PoolConfig, PoolOptions } from "./pool/pool-options.ts";
export type { PoolServerStats, PoolStats } from "./pool/pool-stats.ts";
export type { PoolStrategy } from "./pool/strategy.ts";
export type { Denial } from "./rpc/access.ts";
export { type ClientKind, type ForClient, forClient } from "./rpc/client-kinds.ts";
export type {
  Contract,
  DataContract,
  FolderContract,
  MethodContract,
  Params,
  SideContract,
  StreamContract,
} from "./rpc/contract.ts";
export { type ErrorHelper, type ErrorHelperOptions, error } from "./rpc/error-helpers.ts";
export type { Delivery, HandlerContext } from "./rpc/incoming-request.ts";
export type { HookContext, Middleware, MiddlewareContext, Next, Passed, RequestContext } from "./rpc/middleware.ts";
export type { ItemStream, StreamSource } from "./rpc/request-streams.ts";
export { type PaginatedResponse, type Pagination, type Response, response } from "./rpc/response.ts";
export type { InferInput, InferOutput, Schema } from "./rpc/schema.ts";
export { type FieldError, fieldErrors } from "./rpc/validation.ts";
export type { TlsClientOptions, TlsServerOptions } from "./runtime.ts";
export type { AnyServer } from "./server/any.ts";
export type { BroadcastOptions, SlowConsumer } from "./server/broadcast.ts";
export type { ClientsOfKind, KindBroadcastOptions } from "./server/clients-of-kind.ts";
export { type AnyConnection, Connection, type Session } from "./server/connection.ts";
export type { DeadLetters } from "./server/dead-letters.ts";
export type { Rejection } from "./server/login-manager.ts";
export { Server, type ServerInit } from "./server/server.ts";
export type { ServerStats } from "./server/server-connections.ts";
export type { ServerState, StopOptions } from "./server/server-lifecycle.ts";
export type { ListOptions } from "./server/server-nodes.ts";
export type { AuthenticateOptions, RateLimitOptions, ServerConfig, ServerOptions } from "./server/server-options.ts";
export { type PresenceMember, type PublishOptions, Topic, TopicPattern } from "./server/topics/topic.ts";
export type { TopicStats } from "./server/topics/topic-channel.ts";
export type {
  Admission,
  SlowPolicy,
  TopicHistory,
  TopicOptions,
  TopicPatternOptions,
} from "./server/topics/topic-options.ts";
export { type MemoryStoreOptions, memoryStore } from "./store/memory-store.ts";
export type { FileStore, FileStoreOptions } from "./store/sqlite-store.ts";
export type { Store } from "./store/store.ts";
export type { Awaitable } from "./util/awaitable.ts";
export { Float64, float64 } from "./wire/float64.ts";
export type { Metadata } from "./wire/metadata.ts";
