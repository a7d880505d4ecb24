import { Socket } from "node:net";
import { nobody, own, sharedReads } from "./socket-stream.ts";

/** What Node's sockets are made of; not documented, and so not relied on. */
type Handled = Socket & { _handle?: { useUserBuffer?: unknown } | null; _server?: unknown };

/**
 * An accepted socket that reads as {@link sharedReads} says. `net.createServer` has no such option, so the socket is made
 * anew from its handle; where Node has no such handle, it stays as it is.
 * @param accepted with `pauseOnConnect`: nothing has been read
 */
export function withSharedReads(accepted: Handled, bufferSize: number): Socket {
  const handle = accepted._handle;
  if (!sharedReads.isPossible || typeof handle?.useUserBuffer !== "function") return accepted;
  accepted._handle = null;
  const options = { handle, ...sharedReads.options(bufferSize), highWaterMark: bufferSize, manualStart: true };
  const socket: Handled = new Socket(options as object);
  // The server counts its connections.
  socket._server = accepted._server;
  accepted._server = null;
  // Node's own listener only words the error of writes after the peer's FIN, and there are none: a stream's state sees to
  // that. Two listeners take 100 bytes more than one.
  const [listener] = socket.listeners("end");
  if (listener !== undefined) socket.removeListener("end", listener as () => void);
  own(socket, nobody);
  return socket;
}
