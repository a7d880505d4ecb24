/** A runtime in memory for unit tests: dials can be replaced, and cryptography and zlib come from Node, synchronously. */
import { createHash, createHmac, pbkdf2Sync, randomBytes } from "node:crypto";
import { deflateSync, inflateSync } from "node:zlib";
import type { ByteStream } from "../bytes/byte-stream.ts";
import type { MemoryPairOptions } from "../bytes/memory-pair.ts";
import { ConduitError, ErrorCode } from "../errors.ts";
import type { ConnectTarget, DialSignal, RuntimeCrypto } from "../runtime.ts";
import { MemoryRuntime } from "../testing/memory-runtime.ts";
import type { RuntimeParts } from "../testing/runtime-parts.ts";
import { ipFamily } from "../util/ip-address.ts";

export { EPOCH_MS } from "../testing/memory-runtime.ts";

/** A call of `connect`. */
export interface Dial {
  readonly target: ConnectTarget;
  readonly signal: DialSignal;
  /** Time of the call. */
  readonly atMs: number;
}

/** Replaces the connection to a listener for one `connect` call. */
export type DialBehaviour = (dial: Dial) => Promise<ByteStream>;

/** A new object for each runtime, because tests replace its functions. */
function syncCrypto(): RuntimeCrypto {
  return {
    randomBytes: (count) => new Uint8Array(randomBytes(count)),
    sha256: (data) => new Uint8Array(createHash("sha256").update(data).digest()),
    hmacSha256: (key, data) => new Uint8Array(createHmac("sha256", key).update(data).digest()),
    pbkdf2Sha256: async (password, salt, iterations) =>
      new Uint8Array(pbkdf2Sync(password, salt, iterations, 32, "sha256")),
  };
}

const parts: RuntimeParts = {
  crypto: syncCrypto(),
  deflate: (bytes) => new Uint8Array(deflateSync(bytes, { level: 6 })),
  inflate(bytes, maxBytes) {
    try {
      return new Uint8Array(inflateSync(bytes, { maxOutputLength: Math.max(1, maxBytes) }));
    } catch (cause) {
      const tooLarge = (cause as { code?: string }).code === "ERR_BUFFER_TOO_LARGE";
      const code = tooLarge ? ErrorCode.INFLATED_TOO_LARGE : ErrorCode.INFLATE_FAILED;
      throw new ConduitError(code, `Cannot inflate ${bytes.length} bytes`, { cause });
    }
  },
  inOwnContext: (task, a, b) => task(a, b),
  // Never zeroed, so that tests detect bytes that aren't overwritten.
  allocate: (bytes) => new Uint8Array(bytes).fill(0xa5),
  view: (bytes, start, end) => (start === 0 && end === bytes.length ? bytes : bytes.subarray(start, end)),
  files: undefined,
};

export class FakeRuntime extends MemoryRuntime {
  override readonly name = "fake";
  override readonly crypto: RuntimeCrypto = syncCrypto();
  /** All `connect` calls, oldest first. */
  readonly dials: Dial[] = [];
  /** Used by the next `connect` calls, one each, before listeners. */
  readonly dialBehaviours: DialBehaviour[] = [];
  /** IPv4 and IPv6 addresses by name. Looking up other names fails. */
  readonly names = new Map<string, readonly string[] | Promise<readonly string[]>>();
  /** Number of `lookup` calls. */
  lookups = 0;
  #deferred: (() => void)[] = [];

  constructor(streamOptions: MemoryPairOptions = {}) {
    super(parts, streamOptions);
  }

  /** Runs in the same turn of the event loop, after its microtasks. */
  override defer(task: () => void): void {
    if (this.#deferred.push(task) > 1) return;
    queueMicrotask(() => process.nextTick(() => this.#runDeferred()));
  }

  override async lookup(name: string, family: 4 | 6): Promise<readonly string[]> {
    this.lookups += 1;
    const addresses = await this.names.get(name);
    if (addresses === undefined) throw new Error(`Unknown name ${name}`);
    return addresses.filter((address) => ipFamily(address) === family);
  }

  override async connect(target: ConnectTarget, signal: DialSignal): Promise<ByteStream> {
    const dial: Dial = { target, signal, atMs: this.now() };
    this.dials.push(dial);
    const behaviour = this.dialBehaviours.shift();
    return behaviour === undefined ? super.connect(target, signal) : behaviour(dial);
  }

  /** Simulates a stopped process: timers that become due in this time fire afterwards. */
  override standStill(ms: number): void {
    super.standStill(ms);
  }

  /** Simulates an accept error of the listener on this port or path. */
  failAccept(at: { readonly port?: number; readonly path?: string }, error: ConduitError): void {
    this.listener({ path: at.path, port: at.port ?? 0 })?.failed(error);
  }

  /** Simulates a system without resources for another connection to the listener on this port. */
  exhaust(port: number, error: ConduitError): void {
    this.listener({ port })?.exhausted?.(error);
  }

  #runDeferred(): void {
    const tasks = this.#deferred;
    this.#deferred = [];
    for (const task of tasks) task();
  }
}

export function fakeRuntime(streamOptions: MemoryPairOptions = {}): FakeRuntime {
  return new FakeRuntime(streamOptions);
}
