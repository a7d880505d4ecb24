import type { ClientTls, ConnectAttempt, SocketOwner } from "@netconduit/core/adapter";
import type { TLSOptions } from "bun";
import { clientEvents } from "./socket-events.ts";
import type { EventSocket } from "./tls.ts";

/** Opens a client's socket. Its events report to the attempt. Bun can't cancel a pending connection attempt. */
export async function open(attempt: ConnectAttempt<EventSocket>): Promise<void> {
  const { target, host, tls } = attempt;
  const options = {
    socket: clientEvents,
    data: attempt as SocketOwner,
    allowHalfOpen: true,
    ...(tls === null ? {} : { tls: tlsOptions(tls) }),
  };
  // Rejects with the reason if there is no socket; "connectError" reports the same one.
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
