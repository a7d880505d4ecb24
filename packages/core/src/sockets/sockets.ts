import type { Acceptor } from "./acceptor.ts";
import type { ConnectAttempt } from "./connect-attempt.ts";
import type { ResolveHost } from "./host-addresses.ts";
import type { SocketOperations } from "./socket-operations.ts";
import type { SocketFiles } from "./unix-socket.ts";

/** The sockets of a runtime, of type `S`: all that {@link makeTransport} needs to connect and listen. */
export interface Sockets<S> extends SocketOperations<S> {
  readonly files: SocketFiles;
  readonly resolve: ResolveHost;
  /** `open` keeps to the target's family by itself. Default: it is given an address of that family. */
  readonly opensFamily?: boolean;
  /**
   * Opens a client's socket and reports to the attempt: `opened`, then `ready` or `failed`. What it throws or rejects
   * with is why there is no socket.
   */
  open(attempt: ConnectAttempt<S>): void | Promise<void>;
  /** Binds a socket, hands its clients to the acceptor, and resolves once it listens. */
  bind(at: BindAddress, acceptor: Acceptor<S>): Promise<BoundSocket>;
}

/** Where to bind: the path of a Unix socket, or an address and a port. */
export type BindAddress =
  | { readonly path: string }
  | { readonly path?: undefined; readonly host: string; readonly port: number };

/** A socket that listens. */
export interface BoundSocket {
  /** The address that the system bound; not for a Unix socket. Default: the one asked for. */
  readonly host?: string | undefined;
  readonly port?: number | undefined;
  /** Stops accepting; resolves when the port is free, or the socket's file is gone. Called once. */
  close(): Promise<void>;
}
