import type { SocketNames } from "./addresses.ts";

/** A connection as the system gives it to `node:net`. */
type Handle = object & { readonly useUserBuffer?: unknown };

type OnConnection = (this: unknown, error: unknown, handle: Handle | undefined) => void;

/** What servers of `node:net` are made of; not documented, and so not relied on. */
interface Listening {
  _connections?: unknown;
  readonly _handle?: { onconnection?: OnConnection } | null;
}

/** A socket of `node:net`, likewise. */
interface HandleSocket {
  _server?: unknown;
  listeners(event: "end"): readonly unknown[];
  removeListener(event: "end", listener: () => void): unknown;
}

interface PeerName {
  readonly address?: string;
  readonly port?: number;
}

/** A socket's peer as the system has it, without the copy that `remoteAddress` leaves at the socket of `node:net`. */
export function handlePeer(socket: SocketNames): SocketNames {
  const { _handle: handle } = socket as { _handle?: { getpeername?(into: PeerName): number } | null };
  if (typeof handle?.getpeername !== "function") return socket;
  const peer: PeerName = {};
  handle.getpeername(peer);
  return { remoteAddress: peer.address, remotePort: peer.port };
}

/**
 * Has a socket that reads into memory it is given begin when it is resumed, and not a tick later: the tick is for data
 * that waits in the stream, and there is none.
 */
export function flowAtOnce(socket: object): void {
  // Node's own sockets set it so. Where it could not be set, the tick would be back.
  Reflect.set(socket, "readableFlowing", true);
}

/**
 * Makes the sockets of a `node:net` server that listens in its place, because `net.createServer` does not have all of
 * their options. The server counts them as its own, but emits no "connection". Where Node has no such callback that could
 * be replaced, and for a handle that cannot read into memory it is given, it does as ever.
 * @param options of all sockets; each is made of them and its `handle`
 * @param accept takes a socket without any listener
 */
export function acceptHandles<S>(
  server: object,
  options: object,
  makeSocket: (options: object) => S & object,
  accept: (socket: S) => void,
): void {
  const listening = server as Listening;
  const listener = listening._handle;
  const onConnection = listener?.onconnection;
  if (!listener || typeof onConnection !== "function" || typeof listening._connections !== "number") return;
  // Used again: Node copies them.
  const whole: { handle: Handle | null } = { handle: null, ...options };
  let ownListener: unknown;
  listener.onconnection = function (error, handle) {
    if (error || typeof handle?.useUserBuffer !== "function") {
      onConnection.call(this, error, handle);
      return;
    }
    whole.handle = handle;
    const socket = makeSocket(whole);
    whole.handle = null;
    const handled = socket as S & HandleSocket;
    flowAtOnce(socket);
    // Node's own listener only words the error of writes after the peer's FIN, and there are none: a stream's state sees
    // to that. Two listeners take 100 bytes more than one.
    ownListener ??= handled.listeners("end")[0];
    if (ownListener !== undefined) handled.removeListener("end", ownListener as () => void);
    // A socket that closes takes itself off.
    listening._connections = (listening._connections as number) + 1;
    handled._server = server;
    accept(socket);
  };
}
