import type { ByteStream } from "../bytes/byte-stream.ts";
import type { Ends, Role } from "./addresses.ts";
import type { PlatformGlobals } from "./make-runtime.ts";
import type { SocketErrors } from "./socket-errors.ts";
import type { StreamFacts } from "./stream-facts.ts";
import type { TlsSession } from "./tls-settings.ts";

/** What can be done with a connected socket of a runtime, of type `S`. */
export interface SocketOperations<S> {
  readonly errors: SocketErrors;
  readonly globals: Pick<PlatformGlobals, "setTimeout" | "clearTimeout">;
  /** Makes the stream of a socket that is ready; the stream owns the socket from then on. */
  stream(socket: S, facts: StreamFacts): ByteStream;
  /** Both ends of a TCP connection; null for a Unix socket, and when the peer is gone. */
  ends(socket: S): Ends | null;
  /** The TLS session of a socket whose handshake is done. */
  session(socket: S, role: Role): TlsSession;
  /**
   * Closes a socket that is no stream. It may be closed already.
   * @param mayFlush what the runtime has to send of its own (a TLS alert) may leave first
   */
  discard(socket: S, mayFlush: boolean): void;
}
