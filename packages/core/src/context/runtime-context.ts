/**
 * State shared by all servers and clients on one runtime: the turn of the event loop with its clock and slab, the timer
 * wheel, frame writers and payload readers. A process with ten thousand clients has one slab, not ten thousand.
 *
 * The frames of one turn leave in few writes per connection. A turn that receives a chunk ends when the chunk is
 * processed, so replies that are ready by then leave immediately; this saves a hop of half a microsecond and half a
 * kilobyte. Any other turn ends with `Runtime.defer`.
 */

import { printableError } from "../errors.ts";
import type { CallClock } from "../rpc/incoming-request.ts";
import type { Runtime } from "../runtime.ts";
import { TimerWheel } from "../util/timer-wheel.ts";
import { BufferPool, RECEIVING, SENDING } from "../wire/buffer-pool.ts";
import { FrameWriter } from "../wire/frame-writer.ts";
import { PayloadReader } from "../wire/payload-reader.ts";
import type { ReceiveMemory } from "../wire/receive-memory.ts";
import { Slab } from "../wire/slab.ts";
import { DecoderPool } from "./decoder-pool.ts";
import { TimeSlice } from "./time-slice.ts";
import { TurnQueue } from "./turn-queue.ts";

/** Smaller frames are received in new memory, because pooling it would take longer. */
const MIN_POOLED_BYTES = 32 * 1024;

/** An object that flushes its bytes at the end of the turn. */
export interface Flushable {
  flush(): void;
}

export class RuntimeContext implements CallClock {
  readonly runtime: Runtime;
  readonly wheel: TimerWheel;
  readonly slab: Slab;
  /** Time used in this turn by the connection being processed. */
  readonly slice: TimeSlice;
  /** Connections that continue in a later turn. */
  readonly turns: TurnQueue;
  /** Memory for large outgoing frames. */
  readonly buffers: BufferPool;
  /** Memory for incoming frames. */
  readonly receiveMemory: ReceiveMemory;
  readonly decoders: DecoderPool;
  readonly #received: BufferPool;
  /** Connections that haven't ended. */
  #connections = 0;
  /** Writers by settings. */
  readonly #writers = new Map<string, FrameWriter>();
  readonly #readers = new Map<string, PayloadReader>();
  #dirty: Flushable[] = [];
  /** Whether the end of the turn is scheduled. */
  #isTurnEnding = false;
  /** Number of chunks being processed, nested. */
  #receiving = 0;
  #endsWithChunk = false;
  /** 0 until first read in this turn; likewise the next one. */
  #wallClockMs = 0;
  #turnMs = 0;

  constructor(runtime: Runtime) {
    this.runtime = runtime;
    this.wheel = new TimerWheel(runtime, { onError: (error) => runtime.warn(printableError(error)) });
    this.slice = new TimeSlice(runtime);
    this.turns = new TurnQueue(runtime);
    this.slab = new Slab((bytes, start, end) => runtime.view(bytes, start, end));
    const allocate = (bytes: number): Uint8Array => runtime.allocate(bytes);
    this.buffers = new BufferPool(allocate, this.wheel, SENDING);
    const received = new BufferPool(allocate, this.wheel, RECEIVING);
    this.#received = received;
    this.receiveMemory = {
      allocate: (bytes) => (bytes < MIN_POOLED_BYTES ? allocate(bytes) : received.take(bytes)),
      release: (memory) => {
        if (memory.length >= MIN_POOLED_BYTES) received.give(memory);
      },
    };
    this.decoders = new DecoderPool(this.receiveMemory);
  }

  /** Unix milliseconds when this turn first read it: one system call per turn instead of one per frame. */
  wallClock(): number {
    if (this.#wallClockMs === 0) {
      this.#wallClockMs = this.runtime.wallClock();
      this.#endTurnLater();
    }
    return this.#wallClockMs;
  }

  /** Whole monotonic milliseconds when this turn first read them. */
  turnMs(): number {
    if (this.#turnMs === 0) {
      this.#turnMs = Math.ceil(this.runtime.now());
      this.#endTurnLater();
    }
    return this.#turnMs;
  }

  /** The writer for these settings. Its frame is valid until the next call by any user. */
  writer(maxMessageBytes: number, compress: boolean): FrameWriter {
    const key = `${maxMessageBytes}/${compress}`;
    let writer = this.#writers.get(key);
    if (writer === undefined) {
      const { runtime, slab } = this;
      writer = new FrameWriter({
        wallClock: () => this.wallClock(),
        maxMessageBytes,
        compress: compress ? (bytes) => runtime.deflate(bytes) : null,
        scatter: true,
        allocate: (bytes) => runtime.allocate(bytes),
        slab,
      });
      this.#writers.set(key, writer);
    }
    return writer;
  }

  /** The reader for these settings. Its fields are valid until the next call by any user. */
  reader(maxMessageBytes: number, inflates: boolean): PayloadReader {
    const key = `${maxMessageBytes}/${inflates}`;
    let reader = this.#readers.get(key);
    if (reader === undefined) {
      const { runtime } = this;
      const inflate = (bytes: Uint8Array, maxBytes: number): Uint8Array => runtime.inflate(bytes, maxBytes);
      reader = new PayloadReader(inflates ? inflate : null, maxMessageBytes, this.receiveMemory);
      this.#readers.set(key, reader);
    }
    return reader;
  }

  connectionMade(): void {
    this.#connections += 1;
  }

  connectionEnded(): void {
    this.#connections -= 1;
    this.releaseIdleState();
  }

  /** If no connections are left, frees memory, and stops the runtime's timer unless something is scheduled. */
  releaseIdleState(): void {
    if (this.#connections > 0) return;
    this.buffers.clear();
    this.#received.clear();
    this.wheel.disarmIfEmpty();
  }

  /** Schedules `item` to be flushed at the end of the turn. */
  markDirty(item: Flushable): void {
    this.#dirty.push(item);
    this.#endTurnLater();
  }

  /** Starts processing a chunk; `endReceive` must follow. */
  beginReceive(): void {
    this.#receiving += 1;
  }

  endReceive(): void {
    this.#receiving -= 1;
    if (this.#receiving > 0 || !this.#endsWithChunk) return;
    this.#endsWithChunk = false;
    this.#endTurn();
  }

  #endTurnLater(): void {
    if (this.#isTurnEnding) return;
    this.#isTurnEnding = true;
    if (this.#receiving > 0) this.#endsWithChunk = true;
    else this.runtime.defer(this.#endTurn);
  }

  readonly #endTurn = (): void => {
    this.#isTurnEnding = false;
    this.#wallClockMs = 0;
    this.#turnMs = 0;
    const dirty = this.#dirty;
    this.#dirty = [];
    for (const item of dirty) item.flush();
    this.slab.endTurn(this.#dirty.length > 0);
  };
}

const contexts = new WeakMap<Runtime, RuntimeContext>();

/** The context of `runtime`, created on first use. */
export function runtimeContextOf(runtime: Runtime): RuntimeContext {
  let context = contexts.get(runtime);
  if (context === undefined) {
    context = new RuntimeContext(runtime);
    contexts.set(runtime, context);
  }
  return context;
}
