import { type Acceptor, type ConnectAttempt, type SocketOwner, TLS_CUT_OFF } from "@netconduit/core/adapter";
import type { SocketHandler } from "bun";
import { errors } from "./errors.ts";
import { type EventSocket, protocolError, serverIdentityError } from "./tls.ts";

const events = {
  // With this type Bun passes a new copy each time, not the loop's own buffer.
  binaryType: "uint8array",
  data: (socket, chunk) => socket.data.received?.(chunk),
  drain: (socket) => socket.data.drained?.(),
  error: (socket, error) => socket.data.failed?.(error, { name: handshakeCode(error) }),
  close: (socket, error) => socket.data.closed?.(error),
  end(socket) {
    if (socket.data.ended === undefined) socket.close();
    else socket.data.ended();
  },
  connectError() {
    // The promise of `Bun.connect` rejects too. Without this function, Bun would also report the error as unhandled.
  },
} satisfies SocketHandler<SocketOwner, "uint8array">;

/** For `Bun.connect`, with a {@link ConnectAttempt} as `data`. */
export const clientEvents: SocketHandler<SocketOwner> = {
  // Bun's types know no other binary type than the default.
  ...(events as object),
  open(socket) {
    const attempt = socket.data as ConnectAttempt<EventSocket>;
    if (attempt.opened(socket) && attempt.tls === null) attempt.ready();
  },
  handshake(socket, success, error) {
    const attempt = socket.data as ConnectAttempt<EventSocket>;
    // Ignore handshakes of streams, and those after the attempt has ended.
    if (attempt.isOver !== false || attempt.tls === null) return;
    const cause = serverIdentityError(socket, success, error, attempt.tls.name);
    if (cause === null) attempt.ready();
    else attempt.failed(cause, { name: handshakeCode(cause) });
  },
};

/** For `Bun.listen`, with an {@link Acceptor} as `data` of each accepted socket at first. */
export const serverEvents: SocketHandler<SocketOwner> = {
  ...(events as object),
  open(socket) {
    const acceptor = socket.data as Acceptor<EventSocket>;
    if (acceptor.tls === null) acceptor.accept(socket);
    else socket.data = acceptor.handshake(socket) ?? {};
  },
  handshake(socket, success, error) {
    const failure = success ? protocolError(socket) : (error ?? new Error("the handshake failed"));
    // The owner is a stream already, which has no `ready`.
    if (socket.data.ready === undefined) return;
    if (failure === null) socket.data.ready(error);
    else socket.data.failed?.(failure);
  },
};

/** Bun reports a server that closes the connection as a reset. Errors without a code are also about TLS. */
function handshakeCode(cause: Error): string {
  const code = errors.codeOf(cause) || "ERR_TLS_UNKNOWN";
  return code === "ECONNRESET" ? TLS_CUT_OFF : code;
}
