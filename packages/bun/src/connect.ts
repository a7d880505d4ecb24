import type { ClientTls, ConnectAttempt, SocketOwner } from "@netconduit/core/adapter";
import type { TLSOptions } from "bun";
import { clientEvents } from "./socket-events.ts";
import type { EventSocket } from "./tls.ts";

/** Opens a client's socket. Its events report to the attempt. Bun cannot cancel a connection that is being opened. */
export async function open(attempt: ConnectAttempt<EventSocket>): Promise<void> {
  const { target, host, tls } = attempt;
  const options = {
    socket: clientEvents,
    data: attempt as SocketOwner,
    allowHalfOpen: true,
    ...(tls === null ? {} : { tls: tlsOptions(tls) }),
  };
  // Rejects with the reason when there is no socket; "connectError" reports no other.
  if (target.path === undefined) await Bun.connect({ ...options, hostname: host, port: target.port });
  else await Bun.connect({ ...options, unix: target.path });
}

function tlsOptions({ material, serverName }: ClientTls): TLSOptions {
  return {
    ...material,
    // Explicit, because NODE_TLS_REJECT_UNAUTHORIZED=0 changes the default.
    rejectUnauthorized: true,
    ...(serverName === "" ? {} : { serverName }),
  };
}
