import { connect as netConnect, type Socket, type SocketConnectOpts } from "node:net";
import { checkServerIdentity, createSecureContext, connect as tlsConnect } from "node:tls";
import { type ClientTls, type ConnectAttempt, MIN_TLS_VERSION } from "@netconduit/core/adapter";
import { own } from "./socket-stream.ts";

/** Opens a client's socket for `attempt`. */
export function open(attempt: ConnectAttempt<Socket>): void {
  const { target, tls } = attempt;
  const { path, host, port, family, bufferSize } = target;
  const endpoint = path !== undefined ? { path } : { host, port, family, autoSelectFamily: family === 0 };
  // Added to each other: copies take longer.
  const options = Object.assign(endpoint, { highWaterMark: bufferSize });
  const socket = tls ? tlsSocket(options, tls) : netConnect(options);
  own(socket, attempt);
  socket.once(tls === null ? "connect" : "secureConnect", () => attempt.ready());
  attempt.opened(socket);
}

// Apart from `open`, because what Node keeps of these would keep the attempt as well.

function tlsSocket(options: SocketConnectOpts, { material, name, serverName }: ClientTls): Socket {
  return tlsConnect({
    ...options,
    secureContext: createSecureContext({ minVersion: MIN_TLS_VERSION, ...material }),
    // Said aloud, because NODE_TLS_REJECT_UNAUTHORIZED=0 changes Node's default.
    rejectUnauthorized: true,
    servername: serverName,
    checkServerIdentity: (_host, certificate) => checkServerIdentity(name, certificate),
  });
}
