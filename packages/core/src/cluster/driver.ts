/**
 * The interface between a server and the engine that connects it with the other nodes of its cluster.
 *
 * Theory of operation. A driver carries bytes and keeps logs and records. It knows nothing of connections, topics'
 * members, presence or who is alive: all of that is in this room, once for all drivers, and made of what is here.
 * `docs/cluster-drivers.md` says how to write one, and `conformance/many-nodes` checks it.
 */

import type { ConduitError } from "../errors.ts";
import type { Clock } from "../util/clock.ts";
import type { ClusterOptions } from "./cluster-options.ts";

/**
 * Where a message goes: to all nodes, to one, or to those that have subscribers of a topic or connections of a user. `name` is
 * the node's id, the topic or the user; of `all` it is empty. Names are any text of at most 256 characters without half surrogates, so a driver encodes them for its engine.
 */
export interface ClusterAddress {
  readonly kind: "all" | "node" | "topic" | "user";
  readonly name: string;
}

const MAX_NAME_CHARS = 256;

/** Whether an address can have this name. */
export function isAddressName(name: string): boolean {
  return name.length <= MAX_NAME_CHARS && !/\p{Surrogate}/u.test(name);
}

/**
 * State of a node's link to the engine.
 *
 * `connecting`: it was never connected. `connected`. `reconnecting`: it was lost, and the driver goes on trying, for ever.
 * `disconnected`: it is over, since `close` or because the engine refuses this node.
 */
export type ClusterState = "connecting" | "connected" | "reconnecting" | "disconnected";

/**
 * Result of a publish. `disconnected`, `full` (the driver holds as many bytes in flight as it may) and `too-large`
 * (more than `maxPayloadBytes`, or a name that the engine can't take) mean that nothing was or will be sent.
 */
export type PublishResult = "sent" | "disconnected" | "full" | "too-large";

/** Makes a node's link. An application makes one for each server: `new Server({ cluster: driver })`. */
export interface ClusterDriver {
  /** Name of the engine, for logs, e.g. `memory`. */
  readonly name: string;
  /** The application's options for this node, without those of the engine. The server checks them. */
  readonly options: ClusterOptions;
  /**
   * Begins to connect. A server calls it when it starts, again after each `stop`, and closes the link when it stops.
   *
   * Resolves when the link is connected, or when the engine couldn't be reached at first: then the state is `connecting`
   * and the driver goes on trying, while the server serves its own clients.
   * @throws ConduitError with a specific code if trying again is useless: INVALID_CONFIG, AUTH_FAILED, TLS_ERROR, …
   */
  start(host: ClusterHost): Promise<ClusterLink>;
}

/** The server of a link, as its driver sees it. Callbacks don't throw. */
export interface ClusterHost {
  /** This node's id: text of 1 to 64 characters `A-Z a-z 0-9 _ -`, unique in the cluster. */
  readonly nodeId: string;
  /** For timers, so that tests can move the time. */
  readonly clock: Clock;
  /**
   * The state has changed since `start` resolved. `reason`: why the link was lost, or couldn't be made. Not called once `close`
   * was called. With the present state and a reason, it reports a fault that changes nothing, such as a lost permission.
   */
  stateChanged(state: ClusterState, reason: ConduitError | null): void;
  /**
   * Messages were lost that had been accepted, or that were for this node: messages in flight when the link broke, or
   * dropped by the engine because this node read too slowly. Call it as soon as that is known.
   * @param count 0 if the number isn't known
   */
  messagesLost(direction: "sent" | "received", count: number): void;
}

/**
 * A node's link to the engine.
 *
 * Order: messages of one node arrive at each other node in the order of its calls, over all addresses together.
 * Messages of different nodes have no order. At most once: a message that is lost isn't sent again.
 */
export interface ClusterLink {
  readonly state: ClusterState;
  /** Largest payload of `publish`, in bytes. May change with each connection. A log may take less. */
  readonly maxPayloadBytes: number;
  readonly stats: ClusterLinkStats;
  /**
   * Sends a payload to the other nodes that have subscribed to the address, never to this one. Doesn't wait, doesn't throw,
   * and never keeps messages while disconnected. Nobody changes the bytes afterwards.
   */
  publish(address: ClusterAddress, payload: Uint8Array): PublishResult;
  /**
   * Receives messages published to an address from now on. Called at most once for each address. The driver subscribes
   * again after it has reconnected, before it says `connected`. `onMessage` doesn't throw, and owns the bytes.
   */
  subscribe(address: ClusterAddress, onMessage: (payload: Uint8Array) => void): ClusterSubscription;
  /** Logs of durable topics; null if the engine has none. */
  readonly logs: ClusterLogs | null;
  /** Records that outlive their node; null if the engine keeps none. */
  readonly records: ClusterRecords | null;
  /** Sends published messages, then ends everything. Never rejects, and settles within five seconds. */
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
   * Resolves when the engine knows of it: messages that other nodes publish later arrive. In an engine of several servers, the
   * one that this node is connected to has to know, and others may learn of it later. Resolves also when the link is lost or
   * the subscription ends first. Never rejects.
   */
  readonly ready: Promise<void>;
  unsubscribe(): void;
}

// --- durable topics ---------------------------------------------------------------------------------------------------

/** Logs of topics, shared by all nodes. */
export interface ClusterLogs {
  /**
   * Opens the log of a topic, and makes it if there is none. All nodes give the same limits.
   * @throws ConduitError CLUSTER_UNAVAILABLE if the engine doesn't answer within `timeoutMs`
   */
  open(topic: string, limits: ClusterLogLimits, timeoutMs: number): Promise<ClusterLog>;
}

/** Messages that a log keeps, at least; the engine may keep some more. */
export interface ClusterLogLimits {
  readonly messages: number;
  /** Bytes of payloads. */
  readonly bytes: number;
  readonly ageMs: number;
}

/**
 * The messages of a topic in one order for all nodes, with offsets that grow by 1. Within an epoch, the message at an
 * offset never changes.
 */
export interface ClusterLog {
  /**
   * Appends a message. Resolves with its place when it is stored, as safely as the engine was told to store.
   * @param id a message with an id that was appended within the last two minutes, or `ageMs` if that is shorter, isn't appended again;
   *   its place is returned
   * @throws ConduitError CLUSTER_UNAVAILABLE if the engine is unreachable or doesn't answer within `timeoutMs` (the message may
   *   be stored, or may be stored later), MESSAGE_TOO_LARGE
   */
  append(id: string, payload: Uint8Array, timeoutMs: number): Promise<LogPlace>;
  /**
   * Reads the messages after a place, and then each new one, including this node's own. It continues after disconnects
   * without gaps. One reader at a time.
   * @param last number of the newest messages to read; all of them if there are fewer
   */
  read(last: number, reader: LogReader): void;
  /** Ends reading. The log stays. */
  close(): void;
}

/** A place in a log: that of a message, or the one before its first message. */
export interface LogPlace {
  /**
   * Text of at most 64 characters, without `:`. Changes when offsets begin anew, for example after the engine lost its
   * data.
   */
  readonly epoch: string;
  /** At least 1. */
  readonly offset: number;
}

/** Receives the messages of a log. Callbacks don't throw. */
export interface LogReader {
  /**
   * The next message comes after this offset. Called before the first message, and again if messages were removed
   * before they could be read (even if there are no later ones) or if the log began anew.
   * @param newest the newest offset in the log now: the reader is up to date once `entry` has been called for it, or
   *   `starts` with a place at or after it
   */
  starts(after: LogPlace, newest: number): void;
  /** The next message: its offset is 1 more than that of the one before. */
  entry(offset: number, payload: Uint8Array): void;
}

// --- records ----------------------------------------------------------------------------------------------------------

/** Records of all nodes that outlive them, for `clusterStore()`. */
export interface ClusterRecords {
  /**
   * Opens a set of records, and makes it if there is none. All nodes give the same `ttlMs`.
   * @param name letters and digits
   * @param ttlMs a record that hasn't been put for this long is removed, at the latest after twice that
   * @throws ConduitError CLUSTER_UNAVAILABLE
   */
  open(name: string, ttlMs: number): Promise<ClusterRecordSet>;
}

/** All methods throw ConduitError CLUSTER_UNAVAILABLE if the engine doesn't answer. */
export interface ClusterRecordSet {
  /** Resolves with null if there is none. */
  get(key: string): Promise<ClusterRecord | null>;
  /**
   * @param key text of at most 256 characters `A-Z a-z 0-9 _ -` and `.`, with no `.` at its ends or beside another
   * @param revision the revision to replace; 0 if there must be none; null to replace any
   * @returns the new revision; null if the record has another revision, and then nothing has changed
   * @throws ConduitError MESSAGE_TOO_LARGE if the engine takes no value of this size
   */
  put(key: string, value: Uint8Array, revision: number | null): Promise<number | null>;
  delete(key: string): Promise<void>;
  /** At most `limit` keys that begin with this prefix, which ends with `.` or is empty, in ascending order. */
  keys(prefix: string, limit: number): Promise<string[]>;
}

/** A record as the engine has it. */
export interface ClusterRecord {
  readonly value: Uint8Array;
  /** At least 1. Each `put` gives the record another one. */
  readonly revision: number;
}
