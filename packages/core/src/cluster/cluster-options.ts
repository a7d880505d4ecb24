/** Options of a node, passed to its driver. Times are in whole milliseconds. */
export interface ClusterOptions {
  /**
   * This node's id: 1 to 64 characters `A-Z a-z 0-9 _ -`, unique in the cluster. A node that starts with the id of a
   * running node replaces it. Default: random at each start.
   */
  readonly nodeId?: string | undefined;
  /** Interval between a node's heartbeats. Default 1,000. */
  readonly heartbeatMs?: number | undefined;
  /**
   * A node that sends nothing for this long is considered dead, and its connections and presence are removed. The
   * other nodes detect this within one more `heartbeatMs`. At least twice `heartbeatMs`. Default 5,000.
   */
  readonly nodeTimeoutMs?: number | undefined;
  /** Timeout of requests to other nodes and to the engine. Default 2,000. */
  readonly answerTimeoutMs?: number | undefined;
}
