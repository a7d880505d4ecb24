import type { Disposer } from "../endpoint/method-types.ts";
import type { ConduitError } from "../errors.ts";
import type { ClusterState } from "./driver.ts";
import type { NodeEnd } from "./membership.ts";

/** A node of the cluster. */
export interface ClusterNodeInfo {
  readonly id: string;
  /** Identifies this run of the node; changes with each start. */
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
  /** Why the link was lost, couldn't be made or is over; null if there is nothing to tell. */
  readonly reason: ConduitError | null;
}

/** Messages of the application that were lost. */
export interface ClusterLoss {
  /** `sent`: this node's, to other nodes. `received`: other nodes', to this one. */
  readonly direction: "sent" | "received";
  /** How many this report stands for; 0 if that isn't known. */
  readonly count: number;
  /**
   * `disconnected`, `full`, `too-large`: as the driver refused them. `dropped`: the driver lost them. `gap`: the numbers of a
   * node's messages to a topic showed it. `unreadable`: a message couldn't be given to clients here, for example because it
   * exceeds `maxMessageBytes` of this node. `no-connection`: the connection here that a message was for
   * has ended; the node that sent it isn't told.
   */
  readonly reason: "disconnected" | "full" | "too-large" | "dropped" | "gap" | "unreadable" | "no-connection";
  /** The node that sent them, if known. */
  readonly node?: string;
  readonly topic?: string;
}

/** Counters of a node since its server was made. */
export interface ClusterStats {
  /** Messages between nodes, and their bytes, as the driver counts them since the last start. */
  readonly sentMessages: number;
  readonly sentBytes: number;
  readonly receivedMessages: number;
  readonly receivedBytes: number;
  /** Messages that were refused, because the link was down or full, or they were too large. */
  readonly refused: number;
  /** Accepted messages that were lost on their way, as far as their number is known. */
  readonly lostSent: number;
  /** Messages of other nodes that didn't arrive, or whose connection has ended, as far as their number is known. */
  readonly lostReceived: number;
  /** Messages dropped because of an unknown version or kind: of nodes with another version of this library. */
  readonly unknown: number;
  /** Messages dropped because they couldn't be read. */
  readonly malformed: number;
  /** Messages dropped because a later run of their node is known, or that run has left. */
  readonly stale: number;
  /** Topics that this node receives. */
  readonly topics: number;
}

/** A server's cluster, as the application sees it. */
export interface Cluster {
  /** This node's id. Before the first start, the id from the options, or empty. */
  readonly nodeId: string;
  /** Identifies this run; changes with each start. Ids of connections begin with it. */
  readonly epoch: string;
  /** `disconnected` while the server is stopped. */
  readonly state: ClusterState;
  /** All nodes that are alive, this one first. */
  readonly nodes: ClusterNodeInfo[];
  readonly stats: ClusterStats;
  /** Runs when the state of the link changes. Returns a function that removes the hook. */
  onStateChange(hook: (change: ClusterStateChange) => unknown): Disposer;
  /** Runs when another node is heard for the first time, or again. Returns a function that removes the hook. */
  onNodeJoined(hook: (node: ClusterNodeInfo) => unknown): Disposer;
  /** Runs when another node is gone. Returns a function that removes the hook. */
  onNodeLeft(hook: (node: ClusterNodeInfo, why: NodeEnd) => unknown): Disposer;
  /** Runs when messages were lost: at once, then at most once a second for each reason. Returns a function that removes the hook. */
  onLoss(hook: (loss: ClusterLoss) => unknown): Disposer;
}

/** An answer of the whole cluster. */
export interface ClusterAnswer {
  /** Ids of nodes that didn't answer in time: their part is missing. */
  readonly missing: readonly string[];
  /** Whether it may be more than `missing` says: this node's link is down, so it doesn't know who there is. */
  readonly isAlone: boolean;
}

/** The number of logged-in clients on the nodes that answered. */
export interface ConnectionCount extends ClusterAnswer {
  /** Logged-in clients. */
  readonly count: number;
}

/** A connection, on whatever node. */
export interface ConnectionDescription {
  readonly id: string;
  /** Id of its node; empty without the option `cluster`. */
  readonly node: string;
  /** Name of its user; empty for the shared password. */
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
  /** For the option `after` of the next page; null at the end. */
  readonly next: string | null;
}

/** The result of `server.revoke`. */
export interface Revocation extends ClusterAnswer {
  /** Connections that end, on all nodes that answered. */
  readonly connections: number;
}
