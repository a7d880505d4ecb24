/**
 * How a frame is queued: `control` (heartbeats, login, CANCEL) and `flow` (PAUSE and RESUME in turns) ahead of the
 * backlog, `reply` in order, `message` (messages, requests) in order and held back if the peer asks.
 */
export type Lane = "control" | "flow" | "reply" | "message";
