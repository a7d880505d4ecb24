/**
 * How a frame is queued: `control` (heartbeats, login, CANCEL, CREDIT) ahead of the backlog, `reply` in order, `message`
 * (messages, requests) in order and held back without the peer's permission.
 */
export type Lane = "control" | "reply" | "message";
