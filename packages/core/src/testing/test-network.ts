import type { ByteStream } from "../bytes/byte-stream.ts";
import type { MemoryPairOptions } from "../bytes/memory-pair.ts";
import { Client, type ClientInit } from "../client/client.ts";
import type { Awaitable } from "../endpoint/method-types.ts";
import { ConduitError, ErrorCode } from "../errors.ts";
import { SCRAM_MIN_ITERATIONS } from "../limits.ts";
import type { Contract } from "../rpc/contract.ts";
import type { Runtime } from "../runtime.ts";
import { Server, type ServerInit } from "../server/server.ts";
import { KnownOptions } from "../util/known-options.ts";
import { FrameRecorder } from "./frame-recorder.ts";
import { MemoryRuntime } from "./memory-runtime.ts";
import { RawClient } from "./raw-client.ts";
import { type RuntimeParts, webParts } from "./runtime-parts.ts";

/** The clock of a network. It stands still but for `advance`. */
export interface TestClock {
  /** Milliseconds by which it was advanced. */
  readonly nowMs: number;
  /** Number of timers that wait. */
  readonly timers: number;
  /**
   * Moves the clock. Timers that become due fire in their order, each when the effects of the one before have settled.
   */
  advance(ms: number): Promise<void>;
  /**
   * Resolves when all bytes have arrived and all handlers that wait for nothing else have run. The clock doesn't move.
   */
  settle(): Promise<void>;
}

/** Options of a {@link TestNetwork}. */
export interface TestNetworkOptions {
  /**
   * Where cryptography, compression, files and asynchronous contexts come from, such as `nodeRuntime`. Default: Web
   * Crypto, without the others.
   */
  readonly runtime?: RuntimeParts | undefined;
  /** Bytes that a chunk has at most; 1 delivers byte by byte. Default: as they were written. */
  readonly maxChunkBytes?: number | undefined;
}

/** Options of `rawClient`. */
export interface RawClientOptions {
  /** Port of a server. Default: that of the last server. */
  readonly port?: number | undefined;
}

const KNOWN = new KnownOptions<TestNetworkOptions>("new TestNetwork", { runtime: true, maxChunkBytes: true });
const RAW_CLIENT = new KnownOptions<RawClientOptions>("rawClient", { port: true });

/** Options of a server, all of them optional: it has a password and a port already. */
export type TestServerOptions<C extends Contract, D extends object> = Partial<ServerInit<C, D>>;
/** Options of a client, all of them optional: it has the last server's password and port already. */
export type TestClientOptions<C extends Contract> = Partial<ClientInit<C>>;

/** Shared password of servers that are made without one. */
const PASSWORD = "password of the tests";
const HOST = "memory";
/** Ports that servers get, one after the other. */
const FIRST_PORT = 20_000;
/** Steps in which the clock moves while servers and clients end, and how long that may take. */
const END_STEP_MS = 100;
const MAX_END_MS = 600_000;

/** A memory runtime that records the bytes of its connections. */
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
 * Servers and clients in one process, joined by streams in memory: no ports, no waiting, and a clock that the test moves.
 * They are those of an application; only what is under them differs.
 */
export class TestNetwork {
  /** The runtime of the network, for a `Client`, `Server` or `ClientPool` of `@netconduit/core` that the test makes. */
  readonly runtime: Runtime;
  readonly clock: TestClock;
  /** All frames that were sent. */
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
   * @param prepare registers handlers and hooks, before the server starts
   * @throws ConduitError as `new Server` and `server.start`
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
   * Makes a client of the last server, without connecting it.
   * @throws ConduitError as `new Client`
   */
  client<C extends Contract = Contract>(options: TestClientOptions<C> = {}): Client<C> {
    const password = options.credentials === undefined ? { password: PASSWORD } : {};
    const all = { ...password, host: HOST, port: this.#port, ...options };
    const client = new Client<C>(all as unknown as ClientInit<C>, this.#memory);
    this.#ends.push(() => client.close());
    return client;
  }

  /**
   * Connects a client that misbehaves on demand to the last server, or to that of `port`. It isn't logged in.
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

  /** Cuts all connections, as a network that fails: both ends get CONNECTION_RESET, and bytes in flight are lost. */
  async cut(): Promise<void> {
    const reset = new ConduitError(ErrorCode.CONNECTION_RESET, "The test cut the connection");
    for (const { dialled } of this.#memory.pairs.splice(0)) dialled.destroy(reset);
    await this.clock.settle();
  }

  /** Closes all clients and stops all servers that were made by this network. The clock moves as they need it. */
  async close(): Promise<void> {
    let isOver = false;
    // Clients first, which don't dial again then.
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

  /** The same as `close`, at the end of an `await using` block. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}
