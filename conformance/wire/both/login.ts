import type { RawPeer } from "../../../packages/core/src/test-support/raw-peer.ts";

/** A raw peer with the agreed extensions, and the tested peer's parameters for these. */
export interface LoggedIn {
  readonly peer: RawPeer;
  readonly theirs: Readonly<Record<string, unknown>>;
}

/**
 * Logs in a raw peer. Skips the check if the peer under test doesn't support all these extensions. Afterwards, each
 * side may call the other's method `echo`.
 */
export type Login<Target> = (target: Target, extensions: Readonly<Record<string, unknown>>) => Promise<LoggedIn>;
