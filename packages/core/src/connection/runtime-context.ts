/**
 * What all servers and clients on one runtime share: the turn (frames of one turn of the event loop leave in few writes
 * per connection, small turns in one), the timer wheel, the turn's wall clock, and the frame writers, payload readers and
 * decoders (a process with ten thousand clients has one slab, not ten thousand).
 */

import { type LoginMemory, NextLogins } from "../auth/next-logins.ts";
import { ScramKeyCache } from "../auth/scram.ts";
import { asError } from "../errors.ts";
import type { Runtime } from "../runtime.ts";
import { TimerWheel } from "../util/timer-wheel.ts";
import { BufferPool, RECEIVING, SENDING } from "../wire/buffer-pool.ts";
import { FrameDecoder } from "../wire/frame-decoder.ts";
import { FrameWriter } from "../wire/frame-writer.ts";
import { PayloadReader } from "../wire/payload-reader.ts";
import type { ReceiveMemory } from "../wire/receive-memory.ts";

/** More are never needed at the same time, unless many frames arrive in parts. */
const MAX_SPARE_DECODERS = 64;

/** Smaller frames are received in fresh memory: pooling them would take longer. */
const MIN_POOLED_BYTES = 32 * 1024;

/** A turn after which its list is used again has flushed no more. */
const MAX_SPARE_DIRTY = 1024;

/** Longer views are made anew each time. */
const MAX_KEPT_VIEW_BYTES = 1024;

/** Something with bytes to write at the end of the turn. */
export interface Flushable {
  flush(): void;
}

export class RuntimeContext {
  readonly runtime: Runtime;
  readonly wheel: TimerWheel;
  /** Unix milliseconds, from which others are counted where there are many of them. */
  readonly originMs: number;
  /** Keys that clients derived from their passwords, and challenges of logins to come: one client's serve all. */
  readonly logins: LoginMemory = { keys: new ScramKeyCache(), next: new NextLogins() };
  /** When the last chunk came in, on any connection. */
  receivedAtMs = 0;
  readonly #writers = new Map<string, FrameWriter>();
  /** The same writers, in an array: each turn goes through them, and a map's iterators are garbage. */
  readonly #inUse: FrameWriter[] = [];
  readonly #readers = new Map<number, PayloadReader>();
  /** Decoders that no connection needs: one does only while it holds a part of a frame. */
  readonly #decoders: FrameDecoder[] = [];
  /** Memory for large frames that leave. */
  readonly buffers: BufferPool;
  /** For what arrives. */
  readonly #memory: ReceiveMemory;
  /** What is to be flushed: the first so many. The arrays are never emptied, because they would give up their memory. */
  #dirty: (Flushable | null)[] = [];
  #dirtyCount = 0;
  #spare: (Flushable | null)[] = [];
  #armed = false;
  /** Chunks that are being worked on, one within the other. */
  #receiving = 0;
  /** The turn ends with the chunk. */
  #endsWithChunk = false;
  #wallClockMs = 0;
  /** Of what was written in this turn, a stream still refers to some. */
  #isKept = false;
  /** Views of the beginning of {@link #viewedSlab}, by their length: one frame a turn is always written there. */
  #views: (Uint8Array | undefined)[] = [];
  #viewedSlab: Uint8Array | null = null;
  /** The last view made for a write. Broadcasts write the same range to many connections. */
  #viewBytes: Uint8Array | null = null;
  #viewStart = 0;
  #viewEnd = 0;
  #view: Uint8Array | null = null;

  constructor(runtime: Runtime) {
    this.runtime = runtime;
    this.originMs = runtime.wallClock();
    this.wheel = new TimerWheel(runtime, { onError: (error) => runtime.warn(asError(error)) });
    const allocate = (bytes: number): Uint8Array => runtime.allocate(bytes);
    this.buffers = new BufferPool(allocate, this.wheel, SENDING);
    const received = new BufferPool(allocate, this.wheel, RECEIVING);
    this.#memory = {
      allocate: (bytes) => (bytes < MIN_POOLED_BYTES ? allocate(bytes) : received.take(bytes)),
      release: (memory) => {
        if (memory.length >= MIN_POOLED_BYTES) received.give(memory);
      },
    };
  }

  /** Unix milliseconds at which the present turn first asked. One system call per turn instead of one per frame. */
  wallClock(): number {
    if (this.#wallClockMs === 0) {
      this.#wallClockMs = this.runtime.wallClock();
      this.#arm();
    }
    return this.#wallClockMs;
  }

  /** The writer for these settings. Its state is good until the next call, whoever makes it. */
  writer(maxMessageBytes: number, compress: boolean): FrameWriter {
    const key = `${maxMessageBytes}/${compress}`;
    let writer = this.#writers.get(key);
    if (writer === undefined) {
      const { runtime } = this;
      writer = new FrameWriter({
        wallClock: () => this.wallClock(),
        maxMessageBytes,
        compress: compress ? (bytes) => runtime.deflate(bytes) : null,
        scatter: true,
        allocate: (bytes) => runtime.allocate(bytes),
      });
      this.#writers.set(key, writer);
      this.#inUse.push(writer);
    }
    return writer;
  }

  /** The reader for this limit. Its state is good until the next call, whoever makes it. */
  reader(maxMessageBytes: number): PayloadReader {
    let reader = this.#readers.get(maxMessageBytes);
    if (reader === undefined) {
      const { runtime } = this;
      const inflate = (bytes: Uint8Array, maxBytes: number): Uint8Array => runtime.inflate(bytes, maxBytes);
      reader = new PayloadReader(inflate, maxMessageBytes, this.#memory);
      this.#readers.set(maxMessageBytes, reader);
    }
    return reader;
  }

  /** A decoder for payloads up to `maxPayloadBytes`; the borrower gives it back once it is spent. */
  lendDecoder(maxPayloadBytes: number): FrameDecoder {
    const decoder = this.#decoders.pop() ?? new FrameDecoder(maxPayloadBytes, this.#memory);
    decoder.maxPayloadBytes = maxPayloadBytes;
    return decoder;
  }

  returnDecoder(decoder: FrameDecoder): void {
    if (this.#decoders.length < MAX_SPARE_DECODERS) this.#decoders.push(decoder);
  }

  /** Has `item` flushed once the turn has settled. */
  markDirty(item: Flushable): void {
    this.#dirty[this.#dirtyCount] = item;
    this.#dirtyCount += 1;
    this.#arm();
  }

  /** `bytes[start, end)` as an array of its own. */
  view(bytes: Uint8Array, start: number, end: number): Uint8Array {
    if (this.#view !== null && this.#viewBytes === bytes && this.#viewStart === start && this.#viewEnd === end) {
      return this.#view;
    }
    const view =
      start === 0 && end <= MAX_KEPT_VIEW_BYTES
        ? this.#viewOfBeginning(bytes, end)
        : this.runtime.view(bytes, start, end);
    this.#viewBytes = bytes;
    this.#viewStart = start;
    this.#viewEnd = end;
    this.#view = view;
    return view;
  }

  #viewOfBeginning(bytes: Uint8Array, end: number): Uint8Array {
    if (this.#viewedSlab !== bytes) {
      this.#viewedSlab = bytes;
      this.#views = [];
    }
    this.#views[end] ??= this.runtime.view(bytes, 0, end);
    return this.#views[end];
  }

  /** A stream still refers to what was written: its place is not used again. */
  keepWritten(): void {
    this.#isKept = true;
  }

  /** Notes that a chunk came in. @returns when: monotonic milliseconds, rounded up. */
  recordReceive(): number {
    this.receivedAtMs = Math.ceil(this.runtime.now());
    return this.receivedAtMs;
  }

  /** A chunk that came in is worked on now; {@link received} follows. */
  receiving(): void {
    this.#receiving += 1;
  }

  /**
   * The chunk has been worked on. What was answered at once leaves now, without a hop to the end of the turn, which takes
   * half a microsecond and half a kilobyte; what promises answer leaves there.
   */
  received(): void {
    this.#receiving -= 1;
    if (this.#receiving > 0 || !this.#endsWithChunk) return;
    this.#endsWithChunk = false;
    this.#settle();
  }

  #arm(): void {
    if (this.#armed) return;
    this.#armed = true;
    if (this.#receiving > 0) this.#endsWithChunk = true;
    else this.runtime.defer(this.#settle);
  }

  readonly #settle = (): void => {
    this.#armed = false;
    this.#wallClockMs = 0;
    const batch = this.#dirty;
    const count = this.#dirtyCount;
    this.#dirty = this.#spare;
    this.#dirtyCount = 0;
    for (let index = 0; index < count; index += 1) {
      (batch[index] as Flushable).flush();
      batch[index] = null;
    }
    this.#spare = count > MAX_SPARE_DIRTY ? [] : batch;
    this.#view = null;
    this.#viewBytes = null;
    // What was pushed meanwhile is not flushed yet.
    const isKept = this.#isKept || this.#dirtyCount > 0;
    const writers = this.#inUse;
    for (let index = 0; index < writers.length; index += 1) (writers[index] as FrameWriter).newTurn(isKept);
    this.#isKept = false;
  };
}

const engines = new WeakMap<Runtime, RuntimeContext>();

/** The runtimeContext of `runtime`; made on first use. */
export function runtimeContextOf(runtime: Runtime): RuntimeContext {
  let runtimeContext = engines.get(runtime);
  if (runtimeContext === undefined) {
    runtimeContext = new RuntimeContext(runtime);
    engines.set(runtime, runtimeContext);
  }
  return runtimeContext;
}
