/**
 * The entry `./testing`: servers and clients in memory, for the tests of programs that use this library, and of the library
 * itself. It needs no runtime package.
 */

export { MemoryCluster, type MemoryClusterOptions } from "./cluster/memory/memory-cluster.ts";
export { type ConnectedPair, connectedPair, type PairOptions } from "./testing/connected-pair.ts";
export { EventLog } from "./testing/event-log.ts";
export type { FrameDirection, FrameRecorder, RecordedFrame } from "./testing/frame-recorder.ts";
export type { RawClient, RawClientLogin } from "./testing/raw-client.ts";
export {
  frame,
  type HeaderFields,
  type ReceivedFrame,
  rawFrame,
  Type as FrameType,
  type TypeName as FrameTypeName,
} from "./testing/raw-frames.ts";
export type { RawExtensions, RawPeer, RawStream } from "./testing/raw-peer.ts";
export type { RuntimeParts } from "./testing/runtime-parts.ts";
export {
  type RawClientOptions,
  type TestClientOptions,
  type TestClock,
  TestNetwork,
  type TestNetworkOptions,
  type TestServerOptions,
} from "./testing/test-network.ts";
