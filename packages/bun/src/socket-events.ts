import type { Socket, SocketHandler } from "bun";

/** What happens to a socket. Bun calls one set of functions for all; they pass it on to the socket's `data`. */
export interface SocketEvents {
  /** Connected or accepted; on TLS the handshake is yet to come. */
  opened?(socket: EventSocket): void;
  /** The TLS handshake is over, well or not. */
  secured?(socket: EventSocket, success: boolean, error: Error | null): void;
  received?(chunk: Uint8Array): void;
  /** The system takes bytes again. May come unasked. */
  writable?(): void;
  /** The peer sent FIN, or on TLS its close notification. */
  ended?(): void;
  /** The connection broke, or one of these functions threw. */
  failed?(error: Error): void;
  /** The socket is gone, perhaps while a method of it is still running. */
  gone?(error: Error | undefined): void;
}

export type EventSocket = Socket<SocketEvents>;

const handler: SocketHandler<SocketEvents, "uint8array"> = {
  // With this type Bun hands over a fresh copy each time, never the loop's own buffer.
  binaryType: "uint8array",
  open: (socket) => socket.data.opened?.(socket),
  handshake: (socket, success, error) => socket.data.secured?.(socket, success, error),
  data: (socket, chunk) => socket.data.received?.(chunk),
  drain: (socket) => socket.data.writable?.(),
  end: (socket) => socket.data.ended?.(),
  error: (socket, error) => socket.data.failed?.(error),
  close: (socket, error) => socket.data.gone?.(error),
  // The promise of `Bun.connect` rejects too. Without this, Bun would report it as unhandled all the same.
  connectError() {
    // See above.
  },
};

/** Functions for `Bun.listen` and `Bun.connect`, whose `data` must be a {@link SocketEvents}. */
// Their types know no other binary type than the default.
export const socketHandler: SocketHandler<SocketEvents> = handler as unknown as SocketHandler<SocketEvents>;
