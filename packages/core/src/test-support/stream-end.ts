/**
 * One end of a connection, reduced to what streams use. Sent frames wait in `control` and `data` until a test passes
 * them to the other end.
 */

import type { ExtensionHost } from "../connection/extension.ts";
import type { Lane } from "../connection/send/lane.ts";
import { RuntimeContext } from "../context/runtime-context.ts";
import type { Continuable } from "../context/turn-queue.ts";
import { ConnectionStreams } from "../extensions/streams/connection-streams.ts";
import { PeerCallStreams } from "../extensions/streams/peer-call-streams.ts";
import { StreamFrame } from "../extensions/streams/stream-frames.ts";
import { StreamSender } from "../extensions/streams/stream-sender.ts";
import { sendAll } from "../extensions/streams/stream-source.ts";
import { FrameDecoder } from "../wire/frame-decoder.ts";
import { anyFrameType } from "../wire/frame-types.ts";
import { type FrameBytes, FrameCursor } from "../wire/scattered-frame.ts";
import { fakeRuntime } from "./fake-runtime.ts";

const MIB = 1024 * 1024;
/** Number of frames that a byte stream accepts before it is full. */
const PIPE_FRAMES = 2;
const LIMITS = { streams: 1000, overdraft: 2 * MIB };

export class StreamEnd {
  readonly streams: ConnectionStreams;
  readonly control: Uint8Array[] = [];
  readonly data: Uint8Array[] = [];
  readonly failures: unknown[] = [];
  readonly #dirty: { flush(): void }[] = [];
  readonly #turns: Continuable[] = [];
  readonly #whenSendable: (() => void)[] = [];

  /** @param now monotonic milliseconds */
  constructor(now: () => number = () => 0) {
    const context = new RuntimeContext(fakeRuntime());
    const writer = context.writer(16 * MIB, false);
    const reader = context.reader(16 * MIB, false);
    const send = (lane: Lane, frame: FrameBytes): void => {
      const cursor = new FrameCursor(frame);
      const bytes = new Uint8Array(cursor.left);
      cursor.copyTo(bytes);
      (lane === "control" ? this.control : this.data).push(bytes);
    };
    const canSend = (): boolean => this.data.length < PIPE_FRAMES;
    const host = {
      context: {
        runtime: { now },
        turns: { add: (work: Continuable) => this.#turns.push(work) },
        writer: () => writer,
        reader: () => reader,
        wallClock: () => 0,
        markDirty: (item: { flush(): void }) => this.#dirty.push(item),
      },
      // The smallest windows, so that credit runs out constantly.
      settings: { maxMessageBytes: MIB, maxStreamBytes: 65_536, maxStreams: 1000 },
      streamLimits: LIMITS,
      maxPeerPayloadBytes: MIB,
      isOver: false,
      streamBytes: 0,
      countHeldBytes: () => undefined,
      requests: { chargeItems: () => undefined },
      sendQueue: {
        get canSend() {
          return canSend();
        },
        push: (frame: FrameBytes, lane: Lane) => send(lane, frame),
        flush: () => undefined,
        isCongested: false,
        waitForRoom: () => Promise.resolve(),
      },
      whenSendable: (action: () => void) => this.#whenSendable.push(action),
      sendControl: (type: number, idHi: number, idLo: number, lane: Lane) => {
        writer.control(type, idHi, idLo);
        send(lane, writer);
      },
      sendPayload: (type: number, payload: Record<string, unknown>, lane: Lane, idHi: number, idLo: number) => {
        writer.payload(type, idHi, idLo, payload);
        send(lane, writer);
      },
      readMap: (frame: FrameDecoder) => reader.readMap(frame),
      fail: (error: unknown) => this.failures.push(error),
      report: (error: unknown) => this.failures.push(error),
    };
    this.streams = new ConnectionStreams(host as unknown as ExtensionHost, LIMITS);
  }

  /** Ends a turn of the event loop: sends the gathered frames. */
  flush(): void {
    for (const item of this.#dirty.splice(0)) item.flush();
    this.#sendable();
  }

  /** Starts the next turn: streams that waited for it continue. */
  nextTurn(): void {
    for (const work of this.#turns.splice(0)) work.continueTurn();
    this.#sendable();
  }

  /** Whether streams are waiting for the next turn. */
  get hasTurn(): boolean {
    return this.#turns.length > 0;
  }

  /** Removes the next outgoing frame. */
  frame(lane: "control" | "data"): Uint8Array | undefined {
    const bytes = this[lane].shift();
    this.#sendable();
    return bytes;
  }

  receive(bytes: Uint8Array): void {
    const decoder = new FrameDecoder(16 * MIB, anyFrameType);
    decoder.push(bytes);
    decoder.next();
    try {
      this.streams.receive(decoder);
    } catch (error) {
      this.failures.push(error);
    }
  }

  /** Sends a call's input, as a call's record does. Resolves when it has ended, possibly before its items have arrived. */
  async send(id: number, items: Iterable<unknown>): Promise<void> {
    const sender = new StreamSender(this.streams, "echo", StreamFrame.INPUT, 0, id, 0);
    const stopped = new Error("The peer takes no more");
    this.streams.addCall(0, id, {
      hasInput: true,
      output: null,
      inputCredit: (bytes) => sender.addCredit(bytes),
      inputStopped: () => sender.abort(stopped),
      progressed: () => undefined,
    });
    try {
      await sendAll(items, sender, null, "echo", "input");
    } catch (error) {
      if (error !== stopped) this.failures.push(error);
    }
    this.streams.send(StreamFrame.INPUT_END, 0, id, null, "reply");
  }

  /** Receives a call with an open input from the other end. */
  called(id: number): PeerCallStreams {
    const call = new PeerCallStreams(this.streams, 0, id, "echo", { output: 4096, input: true, progress: false });
    this.streams.addPeerCall(0, id, call);
    call.begin(null, null);
    return call;
  }

  #sendable(): void {
    if (this.data.length >= PIPE_FRAMES) return;
    for (const action of this.#whenSendable.splice(0)) action();
  }
}

/** Lets promises settle. */
export async function settle(): Promise<void> {
  for (let n = 0; n < 12; n += 1) await Promise.resolve();
}
