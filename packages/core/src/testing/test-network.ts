import type { ByteStream } from "../bytes/byte-stream.ts";
import type { MemoryPairOptions } from "../bytes/memory-pair.ts";
import { Client, type ClientInit } from "../client/client.ts";
import { ConduitError, ErrorCode } from "../errors.ts";
import { SCRAM_MIN_ITERATIONS } from "../limits.ts";
import type { Contract } from "../rpc/contract.ts";
import type { Runtime } from "../runtime.ts";
import { Server, type ServerInit } from "../server/server.ts";
import type { Awaitable } from "../util/awaitable.ts";
import { KnownOptions } from "../util/known-options.ts";
import { FrameRecorder } from "./frame-recorder.ts";
import { MemoryRuntime } from "./memory-runtime.ts";
import { RawClient } from "./raw-client.ts";
import { type RuntimeParts, webParts } from "./runtime-parts.ts";

/** A network's clock, which only moves by `advance`. */
export interface TestClock {
  /** Total milliseconds advanced. */
  readonly nowMs: number;
  /** Number of pending timers. */
  readonly timers: number;
  /**
   * Moves the clock. Due timers fire in order, each after the effects of the previous one have settled.
   */
  advance(ms: number): Promise<void>;
  /**
   * Resolves when all bytes have arrived and no handler can make progress without the clock. Doesn't move the clock.
   */
  settle(): Promise<void>;
}

/** Options of a {@link TestNetwork}. */
export interface TestNetworkOptions {
  /**
   * Provides cryptography, compression, files and asynchronous context, for example `nodeRuntime`. Default: Web
   * Crypto only.
   */
  readonly runtime?: RuntimeParts | undefined;
  /** Maximum size of a delivered chunk; 1 delivers byte by byte. Default: chunks as written. */
  readonly maxChunkBytes?: number | undefined;
}

/** Options of `rawClient`. */
export interface RawClientOptions {
  /** The server's port. Default: the last server's. */
  readonly port?: number | undefined;
}

const KNOWN = new KnownOptions<TestNetworkOptions>("new TestNetwork", { runtime: true, maxChunkBytes: true });
const RAW_CLIENT = new KnownOptions<RawClientOptions>("rawClient", { port: true });

/** Options of a server. All are optional, because the network provides a password and a port. */
export type TestServerOptions<C extends Contract, D extends object> = Partial<ServerInit<C, D>>;
/** Options of a client. All are optional; password and port default to the last server's. */
export type TestClientOptions<C extends Contract> = Partial<ClientInit<C>>;

/** Default password of servers. */
const PASSWORD = "password of the tests";
const HOST = "memory";
/** First of the consecutive default ports. */
const FIRST_PORT = 20_000;
/** Step by which the clock moves while servers and clients end, and the limit of the total. */
const END_STEP_MS = 100;
const MAX_END_MS = 600_000;

/** A memory runtime that records its connections' bytes. */
class NetworkRuntime extends MemoryRuntime {
  readonly frames: FrameRecorder = new FrameRecorder(
    () => this.now(),
    (bytes, maxBytes) => this.inflate(bytes, maxBytes),
  );
  readonly #warn: (error: Error) => void;
  #connections = 0;

  constructor(parts: RuntimeParts, streamOptions: MemoryPairOptions) {
    super(parts, streamOptions);
    // biome-ignore lint/suspicious/noConsole: the core has no other channel for warnings
    this.#warn = parts.warn ?? ((error) => console.warn(error));
  }

  override warn(error: Error): void {
    super.warn(error);
    this.#warn(error);
  }

  override pair(): [ByteStream, ByteStream] {
    this.#connections += 1;
    const record = this.frames.watch(this.#connections);
    return super.pair({
      ...this.streamOptions,
      written: (by, bytes) => record(by === 0 ? "to-server" : "to-client", bytes),
    });
  }
}

/**
 * Servers and clients in one process, connected by in-memory streams: no ports, no waiting, and a clock controlled by
 * the test. They are an application's real servers and clients on a different transport.
 */
export class TestNetwork {
  /** The network's runtime, for a `Client`, `Server` or `ClientPool` of `@netconduit/core` that the test creates itself. */
  readonly runtime: Runtime;
  readonly clock: TestClock;
  /** All frames sent. */
  readonly frames: FrameRecorder;
  readonly #memory: NetworkRuntime;
  readonly #ends: (() => Promise<void>)[] = [];
  #port = FIRST_PORT - 1;

  constructor(options: TestNetworkOptions = {}) {
    KNOWN.check(options);
    const { runtime: parts = webParts, maxChunkBytes } = options;
    const memory = new NetworkRuntime(parts, maxChunkBytes === undefined ? {} : { maxChunkBytes });
    this.frames = memory.frames;
    this.runtime = memory;
    this.#memory = memory;
    this.clock = {
      get nowMs() {
        return memory.now();
      },
      get timers() {
        return memory.timers.count;
      },
      advance: (ms) => memory.advance(ms),
      settle: () => memory.settle(),
    };
  }

  /**
   * Starts a server.
   * @param prepare registers handlers and hooks before the server starts
   * @throws ConduitError like `new Server` and `server.start`
   */
  async server<C extends Contract = Contract, D extends object = Record<string, unknown>>(
    options: TestServerOptions<C, D> = {},
    prepare?: (server: Server<C, D>) => Awaitable<unknown>,
  ): Promise<Server<C, D>> {
    const hasLogins = options.users !== undefined || options.authenticate !== undefined;
    const password = hasLogins ? {} : { password: PASSWORD };
    this.#port = options.port ?? this.#port + 1;
    const all = { ...password, host: HOST, port: this.#port, scramIterations: SCRAM_MIN_ITERATIONS, ...options };
    const server = new Server<C, D>(all as ServerInit<C, D>, this.#memory);
    this.#ends.push(() => server.stop({ drainMs: 0 }));
    await prepare?.(server);
    await server.start();
    return server;
  }

  /**
   * Creates a client of the last server without connecting it.
   * @throws ConduitError like `new Client`
   */
  client<C extends Contract = Contract>(options: TestClientOptions<C> = {}): Client<C> {
    const password = options.credentials === undefined ? { password: PASSWORD } : {};
    const all = { ...password, host: HOST, port: this.#port, ...options };
    const client = new Client<C>(all as unknown as ClientInit<C>, this.#memory);
    this.#ends.push(() => client.close());
    return client;
  }

  /**
   * Connects a client that misbehaves on demand to the last server, or to the one at `port`, without logging in.
   * @throws ConduitError CONNECTION_REFUSED, INVALID_CONFIG
   */
  async rawClient(options: RawClientOptions = {}): Promise<RawClient> {
    RAW_CLIENT.check(options);
    const { port = this.#port } = options;
    const stream = await this.#memory.connect(
      { host: HOST, port, family: 0, tls: null, bufferSize: 65_536 },
      new AbortController().signal,
    );
    return new RawClient(stream, this.#memory.crypto, PASSWORD, () => this.#memory.settle());
  }

  /** Cuts all connections like a network failure: both ends get CONNECTION_RESET, and bytes in flight are lost. */
  async cut(): Promise<void> {
    const reset = new ConduitError(ErrorCode.CONNECTION_RESET, "The test cut the connection");
    for (const { dialled } of this.#memory.pairs.splice(0)) dialled.destroy(reset);
    await this.clock.settle();
  }

  /** Closes all clients and stops all servers created by this network, moving the clock as needed. */
  async close(): Promise<void> {
    let isOver = false;
    // Clients first, so that they don't reconnect.
    const ending = Promise.all(
      this.#ends
        .splice(0)
        .reverse()
        .map((end) => end()),
    ).finally(() => {
      isOver = true;
    });
    for (let passedMs = 0; !isOver && passedMs < MAX_END_MS; passedMs += END_STEP_MS) {
      await this.clock.advance(END_STEP_MS);
    }
    await ending;
  }

  /** Calls `close` at the end of an `await using` block. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}
