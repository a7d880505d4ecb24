/** Options of a node, which an application gives to its driver. Times are in whole milliseconds. */
export interface ClusterOptions {
  /**
   * This node's id: 1 to 64 characters `A-Z a-z 0-9 _ -`, unique in the cluster. A node that starts with the id of another one
   * takes its place. Default: random for each start.
   */
  readonly nodeId?: string | undefined;
  /** How often a node says that it is alive. Default 1,000. */
  readonly heartbeatMs?: number | undefined;
  /**
   * A node that wasn't heard for so long is gone, with its connections and its part of presence; the others notice it at most
   * one `heartbeatMs` later. At least twice `heartbeatMs`. Default 5,000.
   */
  readonly nodeTimeoutMs?: number | undefined;
  /** How long a question to other nodes, or to the engine, waits for an answer. Default 2,000. */
  readonly answerTimeoutMs?: number | undefined;
}
