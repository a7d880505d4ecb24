import type { ByteStream } from "../bytes/byte-stream.ts";
import { type MemoryPairOptions, memoryPair } from "../bytes/memory-pair.ts";
import { ConduitError, ErrorCode } from "../errors.ts";
import type {
  ConnectTarget,
  DialSignal,
  ListenEvents,
  Listener,
  ListenTarget,
  Runtime,
  RuntimeCrypto,
} from "../runtime.ts";
import type { TimerHandle } from "../util/clock.ts";
import type { FileAccess } from "../util/file-access.ts";
import { ManualTimers } from "./manual-timers.ts";
import type { RuntimeParts } from "./runtime-parts.ts";

/** Both ends of a connection in memory. */
export interface MemoryConnection {
  readonly dialled: ByteStream;
  readonly accepted: ByteStream;
}

/** Unix milliseconds at time 0 of the manual clock. */
export const EPOCH_MS = 1_750_000_000_000;

/** Captured, because test frameworks replace the global ones with fakes. Browsers have no `setImmediate`. */
const { setImmediate, setTimeout } = globalThis as unknown as {
  readonly setImmediate?: (task: () => void) => unknown;
  readonly setTimeout: (task: () => void, delayMs: number) => unknown;
};

/** Runs a task in a later turn of the event loop, after all microtasks. */
function inLaterTurn(task: () => void): void {
  if (setImmediate === undefined) setTimeout(task, 0);
  else setImmediate(task);
}

/**
 * A runtime in memory: listeners, connections and timers without a socket or a real clock. Delivers one chunk per
 * event loop turn, like a socket. Time only moves by `advance`.
 */
export class MemoryRuntime implements Runtime {
  readonly name: string = "memory";
  readonly crypto: RuntimeCrypto;
  readonly files: FileAccess | undefined;
  readonly inOwnContext: Runtime["inOwnContext"];
  /** Arguments of `warn`. */
  readonly warnings: Error[] = [];
  /** Both ends of every connection made, oldest first. */
  readonly pairs: MemoryConnection[] = [];
  /** Options of new streams. */
  streamOptions: MemoryPairOptions;
  readonly #parts: RuntimeParts;
  readonly #clock: ManualTimers = new ManualTimers();
  readonly #listeners: Map<string, ListenEvents> = new Map();
  readonly #terminators: Set<(signal: string) => void> = new Set();
  #nextPort = 40_000;
  #underWay = 0;
  #deferred: (() => void)[] = [];
  readonly #tasks: (() => void)[] = [];

  constructor(parts: RuntimeParts, streamOptions: MemoryPairOptions = {}) {
    this.#parts = parts;
    this.crypto = this.#counted(parts.crypto);
    this.files = parts.files;
    this.inOwnContext = parts.inOwnContext;
    this.streamOptions = streamOptions;
  }

  now(): number {
    return this.#clock.nowMs;
  }

  wallClock(): number {
    return EPOCH_MS + Math.floor(this.now());
  }

  /** Number of timers, and of those that keep the process running. */
  get timers(): { readonly count: number; readonly keepingAlive: number } {
    return this.#clock.counts;
  }

  defer(task: () => void): void {
    if (this.#deferred.push(task) === 1) this.#addTurn();
  }

  nextTurn(task: () => void): void {
    this.later(task);
  }

  setTimer(task: () => void, delayMs: number, keepAlive: boolean): TimerHandle {
    return this.#clock.set(task, delayMs, keepAlive);
  }

  clearTimer(handle: TimerHandle): void {
    this.#clock.clear(handle);
  }

  allocate(bytes: number): Uint8Array {
    return this.#parts.allocate(bytes);
  }

  view(bytes: Uint8Array, start: number, end: number): Uint8Array {
    return this.#parts.view(bytes, start, end);
  }

  deflate(bytes: Uint8Array): Uint8Array {
    return this.#parts.deflate(bytes);
  }

  inflate(bytes: Uint8Array, maxBytes: number): Uint8Array {
    return this.#parts.inflate(bytes, maxBytes);
  }

  /** Resolves every name to this machine. */
  async lookup(_name: string, family: 4 | 6): Promise<readonly string[]> {
    return family === 4 ? ["127.0.0.1"] : [];
  }

  async connect(target: ConnectTarget, _signal: DialSignal): Promise<ByteStream> {
    const events = this.#listeners.get(nameOf(target));
    if (events === undefined) {
      throw new ConduitError(ErrorCode.CONNECTION_REFUSED, `Nothing listens at ${nameOf(target)}`);
    }
    const [dialled, accepted] = this.pair();
    this.pairs.push({ dialled, accepted });
    events.accepted(accepted);
    return dialled;
  }

  async listen(target: ListenTarget, events: ListenEvents): Promise<Listener> {
    const { path, host } = target;
    const port = target.port === 0 ? this.#nextPort++ : target.port;
    const name = nameOf({ path, port });
    if (this.#listeners.has(name)) throw new ConduitError(ErrorCode.ADDRESS_IN_USE, `${name} is in use`);
    this.#listeners.set(name, events);
    return {
      address: path === undefined ? { host, port } : { host: "", port: 0, path },
      close: async () => {
        if (this.#listeners.get(name) === events) this.#listeners.delete(name);
      },
    };
  }

  warn(error: Error): void {
    this.warnings.push(error);
  }

  onTerminate(task: (signal: string) => void): () => void {
    this.#terminators.add(task);
    return () => this.#terminators.delete(task);
  }

  // --- for tests ----------------------------------------------------------------------------------------------------

  /** Creates two connected streams that deliver in this runtime's turns. */
  pair(options: MemoryPairOptions = this.streamOptions): [ByteStream, ByteStream] {
    return memoryPair({ schedule: (task) => this.later(task), ...options });
  }

  /** Simulates a signal to the process. */
  terminate(signal: string): void {
    for (const task of [...this.#terminators]) task(signal);
  }

  get terminators(): number {
    return this.#terminators.size;
  }

  /** Resolves when all bytes are delivered and all turns have ended. The clock doesn't move. */
  async settle(): Promise<void> {
    do await turn();
    while (this.#underWay > 0);
    // Let the last turn's promises settle.
    await turn();
    if (this.#underWay > 0) await this.settle();
  }

  /** Advances the clock timer by timer; all effects of a timer settle before the next one fires. */
  async advance(ms: number): Promise<void> {
    await this.settle();
    for (const fire of this.#clock.advance(ms)) {
      fire();
      await this.settle();
    }
  }

  /** Simulates a suspended process: timers that become due fire afterwards. */
  protected standStill(ms: number): void {
    this.#clock.standStill(ms);
  }

  /** Runs a task in a turn of its own, for which `settle` waits. */
  protected later(task: () => void): void {
    this.#tasks.push(task);
    this.#addTurn();
  }

  /** The events of the listener on this port or path. */
  protected listener(at: { readonly path?: string | undefined; readonly port: number }): ListenEvents | undefined {
    return this.#listeners.get(nameOf(at));
  }

  #addTurn(): void {
    this.#underWay += 1;
    inLaterTurn(() => {
      this.#underWay -= 1;
      const deferred = this.#deferred;
      // Deferred tasks of a turn run before more bytes are delivered.
      if (deferred.length === 0) return this.#tasks.shift()?.();
      this.#deferred = [];
      for (const task of deferred) task();
    });
  }

  /** Cryptography for which `settle` waits. */
  #counted(crypto: RuntimeCrypto): RuntimeCrypto {
    const counted = async <T>(result: T | Promise<T>): Promise<T> => {
      this.#underWay += 1;
      try {
        return await result;
      } finally {
        this.#underWay -= 1;
      }
    };
    return {
      randomBytes: (count) => crypto.randomBytes(count),
      sha256: (data) => crypto.sha256(data),
      hmacSha256: (key, data) => crypto.hmacSha256(key, data),
      pbkdf2Sha256: (password, salt, iterations) => counted(crypto.pbkdf2Sha256(password, salt, iterations)),
    };
  }
}

function turn(): Promise<void> {
  return new Promise((resolve) => inLaterTurn(resolve));
}

/** Listeners are identified by path or port; all hosts are this machine. */
function nameOf(at: { readonly path?: string | undefined; readonly port: number }): string {
  return at.path ?? `port ${at.port}`;
}
