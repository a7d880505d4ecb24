import type { Acceptor } from "./acceptor.ts";
import type { ConnectAttempt } from "./connect-attempt.ts";
import type { ResolveHost } from "./host-addresses.ts";
import type { SocketOperations } from "./socket-operations.ts";
import type { PemCrypto, TlsTools } from "./tls-material.ts";
import type { SocketFiles } from "./unix-socket.ts";

/** A runtime's sockets, of type `S`, as needed by {@link makeTransport} to connect and listen. */
export interface Sockets<S> extends SocketOperations<S> {
  readonly files: SocketFiles;
  /** `node:crypto`, which every runtime has. */
  readonly pemCrypto: PemCrypto;
  readonly resolve: ResolveHost;
  /** Whether `open` respects the target's address family. If not, it receives an address of that family. */
  readonly opensFamily?: boolean;
  /**
   * Opens a client's socket and reports to the attempt: `opened`, then `ready` or `failed`. Throws or rejects if there
   * is no socket.
   */
  open(attempt: ConnectAttempt<S>): void | Promise<void>;
  /** The process's limit of file descriptors; null if unknown. Default: unknown. */
  descriptorLimit?(): Promise<number | null>;
  /** Binds a socket, passes its clients to the acceptor, and resolves once it listens. */
  bind(at: BindAddress, acceptor: Acceptor<S>): Promise<BoundSocket>;
}

/** The path of a Unix socket, or an address and a port. */
export type BindAddress =
  | { readonly path: string }
  | { readonly path?: undefined; readonly host: string; readonly port: number };

/** A listening socket. */
export interface BoundSocket {
  /** The bound address, except for a Unix socket. Default: the requested one. */
  readonly host?: string | undefined;
  readonly port?: number | undefined;
  /** Makes the listener keep the process running, which is the default. */
  ref?(): void;
  unref?(): void;
  /** Applies the acceptor's new TLS material to new handshakes. Throws if it is unusable. Absent if not supported. */
  tlsChanged?(): void;
  /** Stops accepting. Resolves when the port is free or the socket's file is removed. Called once. */
  close(): Promise<void>;
}

export function tlsTools<S>({ files, pemCrypto }: Sockets<S>): TlsTools {
  return { readText: files.readText, pemCrypto };
}
