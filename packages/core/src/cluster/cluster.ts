import type { Disposer } from "../endpoint/method-types.ts";
import type { ConduitError } from "../errors.ts";
import type { ClusterState } from "./driver.ts";
import type { NodeEnd } from "./membership.ts";

/** A node in the cluster. */
export interface ClusterNodeInfo {
  readonly id: string;
  /** Identifies the node's current run; changes at each start. */
  readonly epoch: string;
  /** Unix milliseconds, by its own clock. */
  readonly startedAt: number;
  /** Number of logged-in clients, from its last heartbeat. */
  readonly connections: number;
  readonly isSelf: boolean;
}

/** A change of the link's state. */
export interface ClusterStateChange {
  readonly from: ClusterState;
  readonly to: ClusterState;
  /** Why the link was lost, couldn't be established or was closed; null if there is no error. */
  readonly reason: ConduitError | null;
}

/** A loss of application messages. */
export interface ClusterLoss {
  /** `sent`: from this node to others. `received`: from others to this node. */
  readonly direction: "sent" | "received";
  /** Number of lost messages; 0 if unknown. */
  readonly count: number;
  /**
   * `disconnected`, `full`, `too-large`: rejected by the driver. `dropped`: lost by the driver. `gap`: detected from
   * the sequence numbers of a node's messages to a topic. `unreadable`: couldn't be delivered to clients here, for
   * example because it exceeds this node's `maxMessageBytes`. `no-connection`: the target connection on this node has
   * ended; the sending node isn't notified.
   */
  readonly reason: "disconnected" | "full" | "too-large" | "dropped" | "gap" | "unreadable" | "no-connection";
  /** The sending node, if known. */
  readonly node?: string;
  readonly topic?: string;
}

/** Counters of a node since its server was created. */
export interface ClusterStats {
  /** Messages and bytes exchanged with other nodes since the last start, as counted by the driver. */
  readonly sentMessages: number;
  readonly sentBytes: number;
  readonly receivedMessages: number;
  readonly receivedBytes: number;
  /** Messages rejected because the link was down or full, or because they were too large. */
  readonly refused: number;
  /** Accepted messages that were lost in transit, as far as known. */
  readonly lostSent: number;
  /** Messages from other nodes that didn't arrive, or whose connection had ended, as far as known. */
  readonly lostReceived: number;
  /** Messages dropped because of an unknown version or kind, sent by nodes with another version of this library. */
  readonly unknown: number;
  /** Messages dropped because they couldn't be decoded. */
  readonly malformed: number;
  /** Messages dropped because they came from a run that has been replaced or has left. */
  readonly stale: number;
  /** Number of topics that this node is subscribed to. */
  readonly topics: number;
}

/** A server's view of its cluster. */
export interface Cluster {
  /** This node's id. Before the first start, the id from the options, or empty. */
  readonly nodeId: string;
  /** Identifies this run; changes at each start. Connection ids start with it. */
  readonly epoch: string;
  /** `disconnected` while the server is stopped. */
  readonly state: ClusterState;
  /** All nodes that are alive, this one first. */
  readonly nodes: ClusterNodeInfo[];
  readonly stats: ClusterStats;
  /** Runs when the state of the link changes. Returns a function that removes the hook. */
  onStateChange(hook: (change: ClusterStateChange) => unknown): Disposer;
  /** Runs when another node joins, or rejoins after a timeout. Returns a function that removes the hook. */
  onNodeJoined(hook: (node: ClusterNodeInfo) => unknown): Disposer;
  /** Runs when another node has left or timed out. Returns a function that removes the hook. */
  onNodeLeft(hook: (node: ClusterNodeInfo, why: NodeEnd) => unknown): Disposer;
  /** Runs when messages were lost: immediately, then at most once a second for each reason. Returns a function that removes the hook. */
  onLoss(hook: (loss: ClusterLoss) => unknown): Disposer;
}

/** An answer gathered from all nodes. */
export interface ClusterAnswer {
  /** Ids of the nodes that didn't answer in time, whose part is missing. */
  readonly missing: readonly string[];
  /** Whether more nodes may be missing, because this node's link is down. */
  readonly isAlone: boolean;
}

/** The number of logged-in clients on the nodes that answered. */
export interface ConnectionCount extends ClusterAnswer {
  /** Logged-in clients. */
  readonly count: number;
}

/** A connection on any node. */
export interface ConnectionDescription {
  readonly id: string;
  /** Its node's id; empty without the option `cluster`. */
  readonly node: string;
  /** Its user's name; empty for the shared password. */
  readonly user: string;
  readonly roles: readonly string[];
  /** Unix milliseconds. */
  readonly connectedAt: number;
  /** `host:port`, or the path of a Unix socket. */
  readonly address: string;
}

/** A page of connections. */
export interface ConnectionPage extends ClusterAnswer {
  readonly connections: readonly ConnectionDescription[];
  /** Pass this as the option `after` to get the next page; null on the last page. */
  readonly next: string | null;
}

/** The result of `server.revoke`. */
export interface Revocation extends ClusterAnswer {
  /** Number of connections that were closed, on all nodes that answered. */
  readonly connections: number;
}
