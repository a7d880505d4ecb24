import { channel } from "node:diagnostics_channel";
import { type Server, Socket } from "node:net";
import { nobody, own, sharedReads } from "./socket-stream.ts";

/** A connection as the system gives it to Node. */
type Handle = object & { readonly useUserBuffer?: unknown };

type OnConnection = (this: unknown, error: unknown, handle: Handle | undefined) => void;

/** What Node's servers and sockets are made of; not documented, and so not relied on. */
type Handled = Socket & { _server?: unknown };
type Listening = Server & { _connections?: unknown; readonly _handle?: { onconnection?: OnConnection } | null };

const accepted = channel("net.server.socket");

/**
 * Accepts the connections of a server that listens, with sockets that read as {@link sharedReads} says.
 * `net.createServer` has no option for that, so its handle's callback makes them. Where Node has no such callback, and
 * for a handle that cannot read so, the server emits "connection" as ever.
 */
export function acceptWithSharedReads(server: Server, bufferSize: number, accept: (socket: Socket) => void): void {
  server.on("connection", accept);
  const listening: Listening = server;
  const listener = listening._handle;
  const onConnection = listener?.onconnection;
  if (!sharedReads.isPossible || typeof onConnection !== "function" || typeof listening._connections !== "number")
    return;
  const makeSocket = socketMaker(bufferSize);
  (listener as { onconnection: OnConnection }).onconnection = function (error, handle) {
    if (error || typeof handle?.useUserBuffer !== "function") {
      onConnection.call(this, error, handle);
      return;
    }
    const socket = makeSocket(handle);
    // The server counts its connections; each one that closes takes itself off.
    listening._connections = (listening._connections as number) + 1;
    socket._server = server;
    accept(socket);
    if (accepted.hasSubscribers) accepted.publish({ socket });
  };
}

function socketMaker(bufferSize: number): (handle: Handle) => Handled {
  // The same for all sockets: Node copies it.
  const options = {
    handle: null as Handle | null,
    ...sharedReads.options(bufferSize),
    highWaterMark: bufferSize,
    manualStart: true,
  };
  let listener: (() => void) | undefined;
  return (handle) => {
    options.handle = handle;
    const socket: Handled = new Socket(options as object);
    options.handle = null;
    // Node's own listener only words the error of writes after the peer's FIN, and there are none: a stream's state sees
    // to that. Two listeners take 100 bytes more than one.
    listener ??= socket.listeners("end")[0] as (() => void) | undefined;
    if (listener !== undefined) socket.removeListener("end", listener);
    own(socket, nobody);
    return socket;
  };
}
