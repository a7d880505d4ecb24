import { connect as netConnect, type Socket, type SocketConnectOpts } from "node:net";
import { checkServerIdentity, createSecureContext, connect as tlsConnect } from "node:tls";
import { type ClientTls, type ConnectAttempt, type ConnectTarget, MIN_TLS_VERSION } from "@netconduit/core/adapter";
import { own, sharedReads } from "./socket-stream.ts";

/** Opens a client's socket for `attempt`. */
export function open(attempt: ConnectAttempt<Socket>): void {
  const { target, tls } = attempt;
  const socket = tls === null ? netConnect(plainOptions(target)) : tlsSocket(endpointOptions(target), tls);
  own(socket, attempt);
  socket.once(tls === null ? "connect" : "secureConnect", () => attempt.ready());
  attempt.opened(socket);
}

/** Its type leaves out one that every stream has. */
type Options = SocketConnectOpts & { readonly highWaterMark: number };

function endpointOptions({ path, host, port, family, bufferSize }: ConnectTarget): Options {
  const highWaterMark = bufferSize;
  if (path !== undefined) return { path, highWaterMark };
  return { host, port, family, autoSelectFamily: family === 0, highWaterMark };
}

function plainOptions(target: ConnectTarget): Options {
  // Added: a copy of them all takes longer.
  return Object.assign(endpointOptions(target), sharedReads.options(target.bufferSize));
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
