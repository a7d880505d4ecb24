/**
 * How a frame is queued: `control` (heartbeats, login, CANCEL, flow control) ahead of the backlog, `reply` in order,
 * `message` (messages, requests) in order and held back if the peer asks.
 */
export type Lane = "control" | "reply" | "message";
