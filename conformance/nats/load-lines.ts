/** Definitions shared by a node under load and its test. */

export interface LoadNodeOptions {
  readonly nodeId: string;
  /** Prefix of the ids that this run of the node writes. */
  readonly run: string;
  readonly servers: string;
  readonly replicas: 1 | 3;
}

/** Numbers of messages that a node has written to `chat` when it stops. */
export interface LoadTotals {
  readonly messages: number;
  /** Number of messages published while the link was down. */
  readonly alone: number;
  readonly refused: number;
  readonly lostSent: number;
}

/** A line printed by a node. */
export type LoadLine =
  | readonly ["ready", position: string]
  | readonly ["state", to: string]
  | readonly ["joined", nodeId: string]
  | readonly ["left", nodeId: string, why: string]
  | readonly ["error", message: string]
  /** A message was written and acknowledged. */
  | readonly ["stored", id: string, position: string]
  /** A message was read. */
  | readonly ["orders", id: string, position: string, recovered: boolean, dropped: number]
  | readonly ["chat", id: string, position: string, recovered: boolean, dropped: number]
  | readonly ["stopped", totals: LoadTotals];

/** History of the topic `orders`, large enough for all messages. */
export const HISTORY = { messages: 100_000, ageMs: 600_000, durable: true } as const;
