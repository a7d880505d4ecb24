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

/** A subscribed connection. */
export type Member = ProtocolConnection<AnyConnection>;

/** The server of a topic. */
export interface ChannelHost {
  readonly wheel: TimerWheel;
  readonly flusher: PresenceFlusher;
  readonly waits: RoomWaits<Member>;
  /** The other nodes; null without a cluster. */
  readonly cluster: ClusterTopics | null;
  /** Limits the messages kept by topics of patterns. */
  readonly memory: TopicMemory;
  readonly maxMessageBytes: number;
  /** Whether some connections use compression. */
  readonly compresses: boolean;
  /** Monotonic milliseconds. */
  now(): number;
  /** Random text that changes at each start of the server. */
  readonly epoch: string;
  /** Encodes a frame, valid until the end of the turn. @throws ConduitError UNSERIALIZABLE, MESSAGE_TOO_LARGE */
  encode(type: number, number: number, payload: Readonly<Record<string, unknown>>): FrameBytes;
  /**
   * Encodes a publish to a topic, with or without compression. Throws like `encode`.
   * @param offset 0 for none
   * @param data the value, or an `EncodedValue`
   */
  encodePublish(topic: TopicName, offset: number, data: unknown, compressed: boolean): EncodedPublish;
  /** Encodes data that is also sent to other nodes. Throws like `encode`. */
  encodeData(topic: string, data: unknown): EncodedValue;
  /** Encodes `stream_data` for netconduit peers. */
  encodeStreamData(topic: string, data: unknown): FrameBytes;
  /** Sends `stream_closed` to a netconduit peer. */
  sendStreamClosed(member: Member, topic: string): void;
  /** A member was too slow for `missed` messages; `disconnect` ends its connection. */
  slowMember(member: Member, topic: string, missed: number, disconnect: boolean): void;
  /** Reports a message to a durable topic that couldn't be stored. */
  appendFailed(topic: string, error: unknown): void;
  /** A durable topic can no longer be read: notifies its members of the reason and removes them. */
  logLost(topic: string, reason: ConduitError): void;
  /** Counts messages sent to this many members towards the publishing client's time slice. */
  chargeDeliveries(count: number): void;
}

/** A topic's name and its number on the wire. */
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

/** Copies a frame so that it outlives the turn. Large frames already have memory of their own. */
export function lasting(frame: FrameBytes): FrameBytes {
  const { bytes, start, end } = frame;
  if (start === 0 && end === bytes.length) return frame;
  return { bytes: bytes.slice(start, end), start: 0, end: end - start, large: null };
}
