/**
 * The part of Deno's API that the adapter uses, for `tsc`: Deno's declarations conflict with Node's. `deno check` and
 * `deno publish` use Deno's own declarations instead, so they detect differences.
 */
// biome-ignore lint/style/noNamespace: Deno declares its types in this namespace
declare namespace Deno {
  interface NetAddr {
    readonly transport: "tcp" | "udp";
    readonly hostname: string;
    readonly port: number;
  }

  interface UnixAddr {
    readonly transport: "unix" | "unixpacket";
    readonly path: string;
  }

  interface VsockAddr {
    readonly transport: "vsock";
    readonly cid: number;
    readonly port: number;
  }

  type Addr = NetAddr | UnixAddr | VsockAddr;

  interface Conn {
    readonly localAddr: Addr;
    readonly remoteAddr: Addr;
    /** Null after the peer's FIN. */
    read(target: Uint8Array): Promise<number | null>;
    write(bytes: Uint8Array): Promise<number>;
    closeWrite(): Promise<void>;
    close(): void;
    ref(): void;
    unref(): void;
  }

  interface TcpConn extends Conn {
    setNoDelay(noDelay?: boolean): void;
  }

  interface TlsConn extends Conn {
    handshake(): Promise<unknown>;
  }

  interface Listener {
    readonly addr: Addr;
    accept(): Promise<Conn>;
    close(): void;
    ref(): void;
    unref(): void;
  }

  interface TcpOptions {
    readonly hostname: string;
    readonly port: number;
  }

  interface UnixOptions {
    readonly transport: "unix";
    readonly path: string;
  }

  interface KeyPair {
    readonly cert: string;
    readonly key: string;
  }

  function connect(options: TcpOptions & { readonly signal?: AbortSignal }): Promise<TcpConn>;
  function connect(options: UnixOptions): Promise<Conn>;
  function connectTls(options: TcpOptions & KeyPair & { readonly caCerts: string[] }): Promise<TlsConn>;
  function startTls(
    conn: TcpConn,
    options: { readonly hostname: string; readonly caCerts: string[] },
  ): Promise<TlsConn>;
  function listen(options: (TcpOptions & { readonly tcpBacklog?: number }) | UnixOptions): Listener;
  function listenTls(options: TcpOptions & KeyPair & { readonly tcpBacklog?: number }): Listener;
  function resolveDns(host: string, type: "A" | "AAAA"): Promise<string[]>;

  function readTextFile(path: string): Promise<string>;
  function lstat(path: string): Promise<{ readonly isSocket: boolean | null; readonly ino: number | null }>;
  function link(path: string, name: string): Promise<void>;
  function writeTextFile(path: string, text: string, options: { readonly createNew: boolean }): Promise<void>;
  function remove(path: string): Promise<void>;

  function addSignalListener(signal: "SIGINT" | "SIGTERM", listener: () => void): void;
  function removeSignalListener(signal: "SIGINT" | "SIGTERM", listener: () => void): void;
  // `unknown`, because `setTimeout` has Node's type for `tsc`.
  function unrefTimer(timer: unknown): void;

  // For the tests.
  function execPath(): string;

  const permissions: {
    query(permission: { readonly name: "read"; readonly path: string }): Promise<{ readonly state: string }>;
  };

  const build: { readonly os: string };
  const errors: {
    readonly NotCapable: new (message: string) => Error;
    readonly NotFound: new (message: string) => Error;
  };
}
