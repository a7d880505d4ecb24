/**
 * The interface between a server and the engine that connects it to the other nodes of its cluster.
 *
 * Theory of operation. A driver carries bytes, and stores logs and records. Connections, topic members, presence and
 * membership are implemented in this folder, on top of this interface, once for all drivers.
 * `docs/cluster-drivers.md` explains how to write a driver, and `conformance/many-nodes` tests one.
 */

import type { ConduitError } from "../errors.ts";
import type { Clock } from "../util/clock.ts";
import type { ClusterOptions } from "./cluster-options.ts";

/**
 * The recipients of a message: all nodes, one node, or the nodes that have subscribers to a topic or connections of a
 * user. `name` is the node's id, the topic or the user, and empty for `all`. A name is any text of up to 256
 * characters without lone surrogates; the driver encodes it for its engine.
 */
export interface ClusterAddress {
  readonly kind: "all" | "node" | "topic" | "user";
  readonly name: string;
}

const MAX_NAME_CHARS = 256;

/** Whether this is a valid name of an address. */
export function isAddressName(name: string): boolean {
  return name.length <= MAX_NAME_CHARS && !/\p{Surrogate}/u.test(name);
}

/**
 * The state of a node's link to the engine.
 *
 * `connecting`: not connected yet. `connected`. `reconnecting`: the link was lost, and the driver keeps retrying
 * without limit. `disconnected`: final, after `close` or because the engine rejects this node.
 */
export type ClusterState = "connecting" | "connected" | "reconnecting" | "disconnected";

/**
 * Result of a publish. `disconnected`, `full` (the driver's limit of bytes in flight is reached) and `too-large`
 * (more than `maxPayloadBytes`, or a name that the engine doesn't accept) mean that the message was not sent and
 * won't be.
 */
export type PublishResult = "sent" | "disconnected" | "full" | "too-large";

/** Creates a node's link. Each server needs a driver of its own: `new Server({ cluster: driver })`. */
export interface ClusterDriver {
  /** Name of the engine, for logs, e.g. `memory`. */
  readonly name: string;
  /** The application's options for this node, without the engine's. The server validates them. */
  readonly options: ClusterOptions;
  /**
   * Starts connecting. A server calls this each time it starts, and closes the link when it stops.
   *
   * Resolves when the link is connected, or when the first attempt to reach the engine has failed. In the latter case
   * the state is `connecting` and the driver keeps retrying while the server serves its own clients.
   * @throws ConduitError with a specific code if retrying can't help: INVALID_CONFIG, AUTH_FAILED, TLS_ERROR, …
   */
  start(host: ClusterHost): Promise<ClusterLink>;
}

/** The server side of a link, for its driver. Callbacks don't throw. */
export interface ClusterHost {
  /** This node's id: text of 1 to 64 characters `A-Z a-z 0-9 _ -`, unique in the cluster. */
  readonly nodeId: string;
  /** The clock to use for timers, so that tests can control time. */
  readonly clock: Clock;
  /**
   * Call this when the state changes after `start` has resolved, with the reason why the link was lost or couldn't be
   * established. Don't call it after `close`. A call with the current state and a reason reports a fault that doesn't
   * change the state, such as a lost permission.
   */
  stateChanged(state: ClusterState, reason: ConduitError | null): void;
  /**
   * Call this as soon as the driver learns that accepted messages, or messages to this node, were lost: because the
   * link broke while they were in flight, or because the engine dropped them when this node read too slowly.
   * @param count 0 if the number is unknown
   */
  messagesLost(direction: "sent" | "received", count: number): void;
}

/**
 * A node's link to the engine.
 *
 * Order: each node receives another node's messages in the order in which they were published, across all addresses.
 * Messages from different nodes are unordered. Delivery is at most once: a lost message isn't sent again.
 */
export interface ClusterLink {
  readonly state: ClusterState;
  /** Largest payload of `publish`, in bytes. May change when the link reconnects. A log's limit may be lower. */
  readonly maxPayloadBytes: number;
  readonly stats: ClusterLinkStats;
  /**
   * Sends a payload to the other nodes that have subscribed to the address, never to this one. Doesn't wait or throw,
   * and doesn't queue messages while disconnected. The bytes don't change afterwards.
   */
  publish(address: ClusterAddress, payload: Uint8Array): PublishResult;
  /**
   * Subscribes to an address. Called at most once for each address. After a reconnect, the driver restores its
   * subscriptions before it reports `connected`. `onMessage` doesn't throw, and owns the bytes it is given.
   */
  subscribe(address: ClusterAddress, onMessage: (payload: Uint8Array) => void): ClusterSubscription;
  /** Logs of durable topics; null if the engine has none. */
  readonly logs: ClusterLogs | null;
  /** Records that outlive their node; null if the engine has none. */
  readonly records: ClusterRecords | null;
  /** Flushes published messages, then closes the link. Never rejects, and settles within five seconds. */
  close(): Promise<void>;
}

/** Counters of a link since `start`. */
export interface ClusterLinkStats {
  readonly sentMessages: number;
  readonly sentBytes: number;
  readonly receivedMessages: number;
  readonly receivedBytes: number;
}

/** A subscription of a node to one address. */
export interface ClusterSubscription {
  /**
   * Resolves when the engine has registered the subscription, so that messages published by other nodes from then on
   * arrive. If the engine consists of several servers, registration with the server that this node is connected to is
   * enough. Also resolves if the link is lost or the subscription ends first. Never rejects.
   */
  readonly ready: Promise<void>;
  unsubscribe(): void;
}

// --- durable topics ---------------------------------------------------------------------------------------------------

/** Logs of topics, shared by all nodes. */
export interface ClusterLogs {
  /**
   * Opens the log of a topic, creating it if it doesn't exist. All nodes pass the same limits.
   * @throws ConduitError CLUSTER_UNAVAILABLE if the engine doesn't answer within `timeoutMs`
   */
  open(topic: string, limits: ClusterLogLimits, timeoutMs: number): Promise<ClusterLog>;
}

/** The messages that a log keeps at least. The engine may keep more. */
export interface ClusterLogLimits {
  readonly messages: number;
  /** Bytes of payloads. */
  readonly bytes: number;
  readonly ageMs: number;
}

/**
 * A topic's messages in one order for all nodes, with consecutive offsets. Within an epoch, the message at an offset
 * never changes.
 */
export interface ClusterLog {
  /**
   * Appends a message. Resolves with its place once it is stored, with the durability that the engine is configured
   * for.
   * @param id a message whose id was appended within the last two minutes (or `ageMs`, if shorter) isn't appended
   *   again: the place of the first one is returned
   * @throws ConduitError CLUSTER_UNAVAILABLE if the engine is unreachable or doesn't answer within `timeoutMs` (the message may
   *   be stored, or may be stored later), MESSAGE_TOO_LARGE
   */
  append(id: string, payload: Uint8Array, timeoutMs: number): Promise<LogPlace>;
  /**
   * Reads the newest messages, then each new one, including this node's own. Resumes without gaps after a disconnect.
   * One reader at a time.
   * @param last how many of the stored messages to read; all of them if there are fewer
   */
  read(last: number, reader: LogReader): void;
  /**
   * Asks the engine for the place of the newest message. If the log is empty, it is the place that the reader's `starts`
   * gets.
   * @throws ConduitError CLUSTER_UNAVAILABLE if the engine doesn't answer within `timeoutMs`
   */
  newest(timeoutMs: number): Promise<LogPlace>;
  /** Stops reading. The log is kept. */
  close(): void;
}

/** A place in a log: that of a message, or the one before its first message. */
export interface LogPlace {
  /**
   * Text of up to 64 characters without `:`. Changes when offsets restart, for example after the engine has lost its
   * data.
   */
  readonly epoch: string;
  /** At least 1. */
  readonly offset: number;
}

/** Receives the messages of a log. Callbacks don't throw. */
export interface LogReader {
  /**
   * The next message is the one after this place. Called before the first message, and again if messages were removed
   * before they could be read (even if none follow) or if the log restarted.
   * @param newest the newest offset in the log at this time. The reader has caught up once `entry` was called for it,
   *   or `starts` with a place at or after it
   */
  starts(after: LogPlace, newest: number): void;
  /** The next message. Its offset is the previous one plus 1. */
  entry(offset: number, payload: Uint8Array): void;
}

// --- records ----------------------------------------------------------------------------------------------------------

/** Records shared by all nodes, which outlive them. Used by `clusterStore()`. */
export interface ClusterRecords {
  /**
   * Opens a set of records, creating it if it doesn't exist. All nodes pass the same `ttlMs`.
   * @param name letters and digits
   * @param ttlMs a record is removed this long after its last `put`, or up to twice as long
   * @throws ConduitError CLUSTER_UNAVAILABLE
   */
  open(name: string, ttlMs: number): Promise<ClusterRecordSet>;
}

/** All methods throw ConduitError CLUSTER_UNAVAILABLE if the engine doesn't answer. */
export interface ClusterRecordSet {
  /** Resolves with null if the key doesn't exist. */
  get(key: string): Promise<ClusterRecord | null>;
  /**
   * @param key text of at most 256 characters `A-Z a-z 0-9 _ -` and `.`, with no `.` at its ends or beside another
   * @param revision the revision to replace; 0 if the key must not exist; null to replace any
   * @returns the new revision; null, without a change, if the record's revision is another one
   * @throws ConduitError MESSAGE_TOO_LARGE if the value exceeds the engine's limit
   */
  put(key: string, value: Uint8Array, revision: number | null): Promise<number | null>;
  delete(key: string): Promise<void>;
  /** Up to `limit` keys with this prefix, in ascending order. The prefix ends with `.` or is empty. */
  keys(prefix: string, limit: number): Promise<string[]>;
}

/** A stored record. */
export interface ClusterRecord {
  readonly value: Uint8Array;
  /** At least 1. Changes with each `put`. */
  readonly revision: number;
}
