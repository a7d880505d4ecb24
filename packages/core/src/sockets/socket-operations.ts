import type { Address, ByteStream } from "../bytes/byte-stream.ts";
import type { Ends, Role } from "./addresses.ts";
import type { PlatformGlobals } from "./make-runtime.ts";
import type { SocketErrors } from "./socket-errors.ts";
import type { StreamFacts } from "./stream-facts.ts";
import type { TlsSession } from "./tls-settings.ts";

/** Operations on a runtime's connected sockets, of type `S`. */
export interface SocketOperations<S> {
  readonly errors: SocketErrors;
  readonly timers: Pick<PlatformGlobals, "setTimeout" | "clearTimeout">;
  /** Creates the stream of a connected socket. The stream then owns the socket. */
  stream(socket: S, facts: StreamFacts): ByteStream;
  /**
   * Both ends of a TCP connection; null for a Unix socket, or if the peer has disconnected.
   * @param local this end, if known
   */
  ends(socket: S, local?: Address | null): Ends | null;
  /** The TLS session of a socket after its handshake. */
  session(socket: S, role: Role): TlsSession;
  /**
   * Closes a socket that has no stream. It may already be closed.
   * @param mayFlush whether to send the runtime's own pending data, such as a TLS alert, first
   */
  discard(socket: S, mayFlush: boolean): void;
}
