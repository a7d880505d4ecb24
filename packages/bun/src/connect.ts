import type { ConnectAttempt, SocketOwner } from "@netconduit/core/adapter";
import { clientEvents, type EventSocket } from "./socket-events.ts";

/** Opens a client's socket for `attempt`. Bun cannot take back a connection that is being opened. */
export async function open(attempt: ConnectAttempt<EventSocket>): Promise<void> {
  const { target, host, tls } = attempt;
  const { path, port } = target;
  const options = {
    socket: clientEvents,
    data: attempt as SocketOwner,
    allowHalfOpen: true,
    ...(tls === null ? {} : { tls: { ...tls.material, ...verifying(tls.serverName) } }),
  };
  // What comes of it, the events say; the promise alone knows why there was no socket.
  if (path === undefined) await Bun.connect({ ...options, hostname: host, port });
  else await Bun.connect({ ...options, unix: path });
}

/**
 * Said aloud, because NODE_TLS_REJECT_UNAUTHORIZED=0 changes Bun's default; and never left empty, because Bun takes
 * empty options for no TLS at all.
 */
function verifying(serverName: string): { rejectUnauthorized: true; serverName?: string } {
  return serverName === "" ? { rejectUnauthorized: true } : { rejectUnauthorized: true, serverName };
}
