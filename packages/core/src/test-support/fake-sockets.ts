import type { ByteStream } from "../bytes/byte-stream.ts";
import type { ConnectTarget, ListenTarget } from "../runtime.ts";
import type { Acceptor } from "../sockets/acceptor.ts";
import { type Ends, tcpAddress } from "../sockets/addresses.ts";
import type { ConnectAttempt } from "../sockets/connect-attempt.ts";
import { SocketErrors } from "../sockets/socket-errors.ts";
import type { BindAddress, BoundSocket, Sockets } from "../sockets/sockets.ts";
import type { StreamFacts } from "../sockets/stream-facts.ts";
import type { PemCrypto } from "../sockets/tls-material.ts";
import type { TlsSession } from "../sockets/tls-settings.ts";
import type { SocketFileFacts } from "../sockets/unix-socket.ts";
import { StubStream } from "./stub-stream.ts";

/** A socket with only properties. */
export class FakeSocket {
  /** Null if the peer has disconnected. */
  remote: string | null = "192.0.2.7";
  session: TlsSession = { protocol: "TLSv1.3", verified: true, certificate: { subject: { CN: "somebody" } } };
  /** How it was discarded, or null. */
  discarded: "flushed" | "at once" | null = null;
}

/** A stream that stores its socket and facts. */
export class FakeSocketStream extends StubStream {
  readonly socket: FakeSocket;
  readonly facts: StreamFacts;

  constructor(socket: FakeSocket, facts: StreamFacts) {
    super();
    this.socket = socket;
    this.facts = facts;
  }
}

/** Sockets without a runtime. Tests set `open` and `bind`. */
export class FakeSockets implements Sockets<FakeSocket> {
  readonly errors: SocketErrors = new SocketErrors((cause) => (cause as { code?: string } | null)?.code ?? "");
  readonly files = {
    readText: (path: string): Promise<string> => Promise.reject(new Error(`no file ${path}`)),
    stat: async (): Promise<SocketFileFacts> => ({ isSocket: true, inode: 1 }),
    remove: async (): Promise<void> => undefined,
    link: async (): Promise<void> => undefined,
    create: async (): Promise<void> => undefined,
  };
  readonly pemCrypto: PemCrypto = {
    X509Certificate: class {
      readonly #pem: string;
      constructor(pem: string) {
        if (pem.includes("broken")) throw new Error("bad base64");
        this.#pem = pem;
      }
      checkPrivateKey(key: string): boolean {
        return this.#pem.includes("other") === key.includes("other");
      }
    },
    createPrivateKey(pem) {
      if (pem.includes("broken")) throw new Error("bad base64");
      return pem;
    },
  };
  /** Pending timers; call one to fire it. */
  readonly pendingTimers = new Map<object, () => void>();
  readonly timers = {
    setTimeout: (task: () => void): object => {
      const timer = {};
      this.pendingTimers.set(timer, task);
      return timer;
    },
    clearTimeout: (timer: unknown): void => void this.pendingTimers.delete(timer as object),
  };
  opensFamily = false;
  resolve: (host: string, family: 4 | 6) => Promise<readonly string[]> = async () => [];
  stream: (socket: FakeSocket, facts: StreamFacts) => ByteStream = (socket, facts) =>
    new FakeSocketStream(socket, facts);
  open: (attempt: ConnectAttempt<FakeSocket>) => void | Promise<void> = () => undefined;
  bind: (at: BindAddress, acceptor: Acceptor<FakeSocket>) => Promise<BoundSocket> = async () => ({
    close: async () => undefined,
  });

  ends(socket: FakeSocket): Ends | null {
    if (socket.remote === null) return null;
    return { local: tcpAddress("192.0.2.1", 1), remote: tcpAddress(socket.remote, 7) };
  }

  session({ session }: FakeSocket): TlsSession {
    return session;
  }

  discard(socket: FakeSocket, mayFlush: boolean): void {
    socket.discarded = mayFlush ? "flushed" : "at once";
  }
}

export const connectTarget: ConnectTarget = { host: "db", port: 7, family: 0, tls: null, bufferSize: 1 };
export const listenTarget: ListenTarget = { host: "192.0.2.1", port: 7, ipv6: false, tls: null, bufferSize: 1 };

/** Resolves with the error that a promise rejects with. */
export function rejection(promise: Promise<unknown>): Promise<Error> {
  return promise.then(
    () => new Error("it resolved"),
    (error: Error) => error,
  );
}
