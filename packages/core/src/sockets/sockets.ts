import type { Address, ByteStream } from "../bytes/byte-stream.ts";
import type { Acceptor } from "./acceptor.ts";
import type { Ends, Role } from "./addresses.ts";
import type { ConnectAttempt } from "./connect-attempt.ts";
import type { UnixSocketFiles } from "./listen-address.ts";
import type { PlatformGlobals } from "./make-runtime.ts";
import type { SocketErrors } from "./socket-errors.ts";
import type { StreamFacts } from "./stream-facts.ts";
import type { TlsSession } from "./tls-settings.ts";

/** The sockets of a runtime, of type `S`: all that {@link makeTransport} needs to connect and listen. */
export interface Sockets<S> {
  readonly errors: SocketErrors;
  readonly files: SocketFiles;
  readonly globals: Pick<PlatformGlobals, "setTimeout" | "clearTimeout">;
  /** Addresses of a name in one family, the best first. Rejects, or resolves to none, when there is none. */
  resolve(host: string, family: 4 | 6): Promise<readonly string[]>;
  /** `open` keeps to the target's family by itself. Default: it is given an address of that family. */
  readonly opensFamily?: boolean;
  /** Opens a client's socket and tells the attempt how it fares. What it throws is why there is no socket. */
  open(attempt: ConnectAttempt<S>): void | Promise<void>;
  /** Binds a socket, hands its clients to the acceptor, and resolves once it listens. */
  bind(at: BindAddress, acceptor: Acceptor<S>): Promise<BoundSocket>;
  /**
   * The stream of a socket that is ready; its owner from now on.
   * @param facts used again for the next one: the stream takes what it needs of them, and does not keep them
   */
  stream(socket: S, facts: StreamFacts): ByteStream;
  /**
   * Both ends of a TCP connection; null for a Unix socket's, and when the peer is gone.
   * @param local the near end, where it is known
   * @param remote the far end, where it is known
   */
  ends(socket: S, local: Address | null, remote: Address | null): Ends | null;
  session(socket: S, role: Role): TlsSession;
  /**
   * Closes a socket that is no stream. It may be closed already.
   * @param mayFlush what the runtime has to send of its own (a TLS alert) may leave first
   */
  discard(socket: S, mayFlush: boolean): void;
}

/** The files of a runtime, as far as sockets need them. */
export interface SocketFiles extends Pick<UnixSocketFiles, "isSocket" | "remove" | "exists"> {
  readText(path: string): Promise<string>;
}

/** The part of `node:fs/promises`, which more than one runtime has, that makes {@link SocketFiles}. */
export interface FileSystem {
  readFile(path: string, encoding: "utf8"): Promise<string>;
  lstat(path: string): Promise<{ isSocket(): boolean }>;
  unlink(path: string): Promise<void>;
}

export function filesOf({ readFile, lstat, unlink }: FileSystem): SocketFiles {
  return {
    readText: (path) => readFile(path, "utf8"),
    isSocket: async (path) => (await lstat(path)).isSocket(),
    exists: (path) =>
      lstat(path).then(
        () => true,
        (cause: { code?: unknown }) => cause.code !== "ENOENT",
      ),
    remove: unlink,
  };
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
