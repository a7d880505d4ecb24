import type { RawPeer } from "../../../packages/core/src/test-support/raw-peer.ts";

/** A raw peer that the peer under test has agreed with on some extensions, and the other's parameters of them. */
export interface LoggedIn {
  readonly peer: RawPeer;
  readonly theirs: Readonly<Record<string, unknown>>;
}

/**
 * Logs in a raw peer. Skips the check if the peer under test doesn't have all these extensions. Either side may call the
 * other's method `echo`.
 */
export type Login<Target> = (target: Target, extensions: Readonly<Record<string, unknown>>) => Promise<LoggedIn>;
