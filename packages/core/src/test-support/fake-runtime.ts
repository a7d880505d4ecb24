/**
 * A runtime for tests: in-memory streams, a manual clock, and everything else (crypto, zlib) from Node, synchronously.
 * Delivers one chunk per turn of the event loop, like a socket.
 */
import { createHash, createHmac, pbkdf2Sync, randomBytes } from "node:crypto";
import { setImmediate as turn } from "node:timers/promises";
import { deflateSync, inflateSync } from "node:zlib";
import type { ByteStream } from "../bytes/byte-stream.ts";
import { type MemoryPairOptions, memoryPair } from "../bytes/memory-pair.ts";
import { ConduitError, ErrorCode } from "../errors.ts";
import type { ConnectTarget, DialSignal, ListenEvents, Listener, ListenTarget, Runtime } from "../runtime.ts";
import type { TimerHandle } from "../util/clock.ts";
import { ipFamily } from "../util/ip-address.ts";
import { ManualTimers } from "./manual-timers.ts";

/** A call of `connect`. */
export interface Dial {
  readonly target: ConnectTarget;
  readonly signal: DialSignal;
  /** Time of the call. */
  readonly atMs: number;
}

/** Replaces the connection to a listener for one `connect` call. */
export type DialBehaviour = (dial: Dial) => Promise<ByteStream>;

/** Unix milliseconds at time 0 of the fake clock. */
export const EPOCH_MS = 1_750_000_000_000;

export class FakeRuntime implements Runtime {
  readonly name = "fake";
  /** Arguments of `warn`. */
  readonly warnings: Error[] = [];
  /** All `connect` calls, oldest first. */
  readonly dials: Dial[] = [];
  /** Both ends of every connection made, oldest first. */
  readonly pairs: { readonly dialled: ByteStream; readonly accepted: ByteStream }[] = [];
  /** Used by the next `connect` calls, one each, before listeners. */
  readonly dialBehaviours: DialBehaviour[] = [];
  /** Addresses of names, of both families. Others can't be looked up. */
  readonly names = new Map<string, readonly string[] | Promise<readonly string[]>>();
  /** Number of `lookup` calls. */
  lookups = 0;
  /** Options of new streams. */
  streamOptions: MemoryPairOptions = {};
  readonly #listeners = new Map<string, ListenEvents>();
  readonly #clock = new ManualTimers();
  readonly #terminators = new Set<(signal: string) => void>();
  #nextPort = 40_000;
  #deferred: (() => void)[] = [];
  #underWay = 0;

  readonly crypto: Runtime["crypto"] = {
    randomBytes: (count) => new Uint8Array(randomBytes(count)),
    sha256: async (data) => new Uint8Array(createHash("sha256").update(data).digest()),
    hmacSha256: async (key, data) => new Uint8Array(createHmac("sha256", key).update(data).digest()),
    pbkdf2Sha256: async (password, salt, iterations) =>
      new Uint8Array(pbkdf2Sync(password, salt, iterations, 32, "sha256")),
  };

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
    this.#underWay += 1;
    if (this.#deferred.push(task) > 1) return;
    queueMicrotask(() => process.nextTick(() => this.#runDeferred()));
  }

  inOwnContext<A, B>(task: (a: A, b: B) => void, a: A, b: B): void {
    task(a, b);
  }

  nextTurn(task: () => void): void {
    this.#later(task);
  }

  setTimer(task: () => void, delayMs: number, keepAlive: boolean): TimerHandle {
    return this.#clock.set(task, delayMs, keepAlive);
  }

  clearTimer(handle: TimerHandle): void {
    this.#clock.clear(handle);
  }

  deflate(bytes: Uint8Array): Uint8Array {
    return new Uint8Array(deflateSync(bytes, { level: 6 }));
  }

  /** Never zeroed, so that tests detect bytes that aren't overwritten. */
  allocate(bytes: number): Uint8Array {
    return new Uint8Array(bytes).fill(0xa5);
  }

  view(bytes: Uint8Array, start: number, end: number): Uint8Array {
    return start === 0 && end === bytes.length ? bytes : bytes.subarray(start, end);
  }

  inflate(bytes: Uint8Array, maxBytes: number): Uint8Array {
    try {
      return new Uint8Array(inflateSync(bytes, { maxOutputLength: Math.max(1, maxBytes) }));
    } catch (cause) {
      const tooLarge = (cause as { code?: string }).code === "ERR_BUFFER_TOO_LARGE";
      const code = tooLarge ? ErrorCode.INFLATED_TOO_LARGE : ErrorCode.INFLATE_FAILED;
      throw new ConduitError(code, `Cannot inflate ${bytes.length} bytes`, { cause });
    }
  }

  async lookup(name: string, family: 4 | 6): Promise<readonly string[]> {
    this.lookups += 1;
    const addresses = await this.names.get(name);
    if (addresses === undefined) throw new Error(`Unknown name ${name}`);
    return addresses.filter((address) => ipFamily(address) === family);
  }

  async connect(target: ConnectTarget, signal: DialSignal): Promise<ByteStream> {
    const dial: Dial = { target, signal, atMs: this.now() };
    this.dials.push(dial);
    const behaviour = this.dialBehaviours.shift();
    if (behaviour !== undefined) return behaviour(dial);
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
  pair(): [ByteStream, ByteStream] {
    return memoryPair({ schedule: (task) => this.#later(task), ...this.streamOptions });
  }

  /** Simulates an accept error of the listener on this port or path. */
  failAccept(at: { readonly port?: number; readonly path?: string }, error: ConduitError): void {
    this.#listeners.get(nameOf({ path: at.path, port: at.port ?? 0 }))?.failed(error);
  }

  /** Simulates that the system has no room for one more connection to the listener on this port. */
  exhaust(port: number, error: ConduitError): void {
    this.#listeners.get(nameOf({ path: undefined, port }))?.exhausted?.(error);
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

  #later(task: () => void): void {
    this.#underWay += 1;
    setImmediate(() => {
      this.#underWay -= 1;
      task();
    });
  }

  #runDeferred(): void {
    const tasks = this.#deferred;
    this.#deferred = [];
    for (const task of tasks) {
      this.#underWay -= 1;
      task();
    }
  }
}

export function fakeRuntime(streamOptions: MemoryPairOptions = {}): FakeRuntime {
  const runtime = new FakeRuntime();
  runtime.streamOptions = streamOptions;
  return runtime;
}

/** Listeners are identified by path or port; all hosts are this machine. */
function nameOf(at: { readonly path?: string | undefined; readonly port: number }): string {
  return at.path ?? `port ${at.port}`;
}
