import type { ClusterTopics } from "../../cluster/cluster-topics.ts";
import type { ProtocolConnection } from "../../connection/protocol-connection.ts";
import type { ConduitError } from "../../errors.ts";
import type { TimerWheel } from "../../util/timer-wheel.ts";
import type { EncodedValue } from "../../wire/encoded-value.ts";
import type { FrameBytes } from "../../wire/scattered-frame.ts";
import type { AnyConnection } from "../connection.ts";
import type { PresenceFlusher } from "./presence-flusher.ts";
import type { RoomWaits } from "./room-waits.ts";
import type { TopicMemory } from "./topic-memory.ts";

/** A connection that is subscribed. */
export type Member = ProtocolConnection<AnyConnection>;

/** The server of a topic. */
export interface ChannelHost {
  readonly wheel: TimerWheel;
  readonly flusher: PresenceFlusher;
  readonly waits: RoomWaits<Member>;
  /** The other nodes; null without a cluster. */
  readonly cluster: ClusterTopics | null;
  /** Counts the messages that topics of patterns keep. */
  readonly memory: TopicMemory;
  readonly maxMessageBytes: number;
  /** Whether frames for some connections are compressed. */
  readonly compresses: boolean;
  /** Monotonic milliseconds. */
  now(): number;
  /** A random text, different for each run of a server. */
  readonly epoch: string;
  /** Encodes a frame, which stays until the turn ends. @throws ConduitError UNSERIALIZABLE, MESSAGE_TOO_LARGE */
  encode(type: number, number: number, payload: Readonly<Record<string, unknown>>): FrameBytes;
  /**
   * Encodes a publish to a topic, for connections that compress or for others. Throws like `encode`.
   * @param offset 0 for none
   * @param data may be an `EncodedValue`
   */
  encodePublish(topic: TopicName, offset: number, data: unknown, compressed: boolean): EncodedPublish;
  /** Encodes data that also goes to other nodes. Throws like `encode`. */
  encodeData(topic: string, data: unknown): EncodedValue;
  /** Encodes `stream_data` for netconduit's peers. */
  encodeStreamData(topic: string, data: unknown): FrameBytes;
  /** Sends `stream_closed` to a netconduit peer. */
  sendStreamClosed(member: Member, topic: string): void;
  /** A member was too slow for so many messages; `disconnect` ends its connection. */
  slowMember(member: Member, topic: string, missed: number, disconnect: boolean): void;
  /** A message published to a durable topic couldn't be stored. */
  appendFailed(topic: string, error: unknown): void;
  /** A durable topic can't be read any more: its members are told why, and removed. */
  logLost(topic: string, reason: ConduitError): void;
  /** Work was done for a client: messages were sent to so many members. */
  chargeDeliveries(count: number): void;
}

/** A topic, and its number on the wire. */
export interface TopicName {
  readonly name: string;
  readonly number: number;
}

/** An encoded publish. */
export interface EncodedPublish {
  readonly frame: FrameBytes;
  /** Before compression. */
  readonly payloadBytes: number;
}

/** A frame that stays when the turn ends. A large one has memory of its own. */
export function lasting(frame: FrameBytes): FrameBytes {
  const { bytes, start, end } = frame;
  if (start === 0 && end === bytes.length) return frame;
  return { bytes: bytes.slice(start, end), start: 0, end: end - start, large: null };
}
