import type { ListenEvents, Listener, ListenTarget, Runtime } from "../runtime.ts";
import { connect } from "./connect.ts";
import { listen } from "./listen.ts";
import type { Sockets } from "./sockets.ts";
import { TLS_HANDSHAKE_TIMEOUT_MS } from "./tls-material.ts";

/** Connects and listens on a runtime. */
export interface Transport extends Pick<Runtime, "connect" | "lookup"> {
  /** @throws ConduitError ADDRESS_IN_USE, ADDRESS_UNAVAILABLE, INVALID_CONFIG (TLS material, host, permission). */
  listen(target: ListenTarget, events: ListenEvents, handshakeTimeoutMs?: number): Promise<Listener>;
}

/** Creates a transport from a runtime's sockets. */
export function makeTransport<S>(sockets: Sockets<S>): Transport {
  return {
    connect: (target, signal) => connect(sockets, target, signal),
    lookup: (name, family) => sockets.resolve(name, family),
    listen: (target, events, handshakeTimeoutMs = TLS_HANDSHAKE_TIMEOUT_MS) =>
      listen(sockets, target, events, handshakeTimeoutMs),
  };
}
