/**
 * A model of two ends that saturate each other: all streams of both directions are full, frames arrive in any order that a
 * connection allows, and applications take items whenever they like. Whatever happens, everything arrives.
 */

import * as fc from "fast-check";
import { expect, test } from "vitest";
import type { ExtensionHost } from "../../connection/extension.ts";
import type { Lane } from "../../connection/send/lane.ts";
import { RuntimeContext } from "../../context/runtime-context.ts";
import type { Continuable } from "../../context/turn-queue.ts";
import { fakeRuntime } from "../../test-support/fake-runtime.ts";
import { FrameDecoder } from "../../wire/frame-decoder.ts";
import { anyFrameType } from "../../wire/frame-types.ts";
import { type FrameBytes, FrameCursor } from "../../wire/scattered-frame.ts";
import { ConnectionStreams } from "./connection-streams.ts";
import { PeerCallStreams } from "./peer-call-streams.ts";
import { StreamFrame } from "./stream-frames.ts";
import { StreamSender } from "./stream-sender.ts";
import { sendAll } from "./stream-source.ts";

const MIB = 1024 * 1024;
/** Frames that a byte stream takes before it is full. */
const PIPE_FRAMES = 2;
/** Deeper tests run by command. */
const RUNS = Number(process.env["STREAM_RUNS"] ?? 150);

/** One end, with the frames that it has sent and the other hasn't received. */
class End {
  readonly streams: ConnectionStreams;
  readonly control: Uint8Array[] = [];
  readonly data: Uint8Array[] = [];
  readonly taken = new Map<number, number[]>();
  readonly failures: unknown[] = [];
  readonly #dirty: { flush(): void }[] = [];
  readonly #turns: Continuable[] = [];
  readonly #whenSendable: (() => void)[] = [];

  constructor() {
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
        runtime: { now: () => context.runtime.now() },
        turns: { add: (work: Continuable) => this.#turns.push(work) },
        writer: () => writer,
        reader: () => reader,
        wallClock: () => 0,
        markDirty: (item: { flush(): void }) => this.#dirty.push(item),
      },
      // The smallest windows, so that credit runs out all the time.
      settings: { maxMessageBytes: MIB, maxStreamBytes: 65_536, maxStreams: 100 },
      streamLimits: { streams: 100, overdraft: 2 * MIB },
      maxPeerPayloadBytes: MIB,
      isOver: false,
      streamBytes: 0,
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
    this.streams = new ConnectionStreams(host as unknown as ExtensionHost, { streams: 100, overdraft: 2 * MIB });
  }

  get isIdle(): boolean {
    return this.control.length + this.data.length + this.#dirty.length + this.#turns.length === 0;
  }

  /** Does one thing that is to be done here. */
  step(choice: number): void {
    if (choice === 0) for (const item of this.#dirty.splice(0)) item.flush();
    else for (const work of this.#turns.splice(0)) work.continueTurn();
    if (this.data.length >= PIPE_FRAMES) return;
    for (const action of this.#whenSendable.splice(0)) action();
  }

  /** The other end receives the next frame: control frames overtake. */
  deliverTo(other: End, isControl: boolean): void {
    const bytes = isControl ? (this.control.shift() ?? this.data.shift()) : this.data.shift();
    if (bytes === undefined) return;
    const decoder = new FrameDecoder(16 * MIB, anyFrameType);
    decoder.push(bytes);
    decoder.next();
    try {
      other.streams.receive(decoder);
    } catch (error) {
      other.failures.push(error);
    }
    if (this.data.length < PIPE_FRAMES) for (const action of this.#whenSendable.splice(0)) action();
  }

  /** An application takes the input of a call of the peer, each item when `pace` resolves. */
  async take(id: number, pace: () => Promise<void>): Promise<void> {
    const call = new PeerCallStreams(this.streams, 0, id, "echo", { output: 4096, input: true, progress: false });
    this.streams.addPeerCall(0, id, call);
    call.begin(null);
    const taken: number[] = [];
    this.taken.set(id, taken);
    for await (const item of call.input) {
      await pace();
      taken.push((item as { length: number }).length);
    }
  }
}

async function settle(): Promise<void> {
  for (let n = 0; n < 12; n += 1) await Promise.resolve();
}

test("two ends that fill all streams of both directions never lock up, and every item arrives in order", async () => {
  const sizes = fc.array(fc.constantFrom(1, 60, 3000, 5000, 70_000, 200_000), { minLength: 1, maxLength: 12 });
  const scene = fc.record({
    streams: fc.array(fc.record({ isA: fc.boolean(), sizes }), { minLength: 2, maxLength: 6 }),
    steps: fc.array(fc.nat({ max: 7 }), { minLength: 20, maxLength: 300 }),
  });
  await fc.assert(
    fc.asyncProperty(scene, async ({ streams, steps }) => {
      const a = new End();
      const b = new End();
      const waiting: (() => void)[] = [];
      const pace = (): Promise<void> => new Promise((resolve) => waiting.push(resolve));
      const done: Promise<unknown>[] = [];
      const senders = new Map<End, Map<number, StreamSender>>([
        [a, new Map()],
        [b, new Map()],
      ]);
      streams.forEach(({ isA, sizes: list }, id) => {
        const [from, to] = isA ? [a, b] : [b, a];
        const sender = new StreamSender(from.streams, "echo", StreamFrame.INPUT, 0, id, 0);
        senders.get(from)?.set(id, sender);
        // As a call's record does with INPUT_CREDIT.
        from.streams.addCall(0, id, {
          output: null,
          inputCredit: (bytes) => sender.addCredit(bytes),
          inputStopped: () => undefined,
          progressed: () => undefined,
        });
        const end = (): void => from.streams.send(StreamFrame.INPUT_END, 0, id, null, "reply");
        const items = list.map((size, n) => (n % 2 === 0 ? new Uint8Array(size) : "x".repeat(size)));
        done.push(sendAll(items, sender, null, "echo", "input").then(end));
        done.push(to.take(id, pace));
      });
      const act = (choice: number): void => {
        if (choice < 4) (choice < 2 ? a : b).deliverTo(choice < 2 ? b : a, choice % 2 === 0);
        else if (choice < 6) waiting.shift()?.();
        else (choice === 6 ? a : b).step(waiting.length % 2);
      };
      for (const choice of steps) {
        act(choice);
        await settle();
      }
      let isDone = false;
      void Promise.all(done).then(() => {
        isDone = true;
      });
      for (let round = 0; !isDone && round < 5000; round += 1) {
        for (const choice of [0, 1, 2, 3, 4, 5, 6, 7, 6, 7]) act(choice);
        for (const end of [a, b]) for (const choice of [0, 1]) end.step(choice);
        await settle();
      }
      expect([a.failures, b.failures]).toEqual([[], []]);
      expect(isDone).toBe(true);
      streams.forEach(({ isA, sizes: list }, id) => {
        expect((isA ? b : a).taken.get(id)).toEqual(list);
      });
      expect([a.streams.heldBytes, b.streams.heldBytes]).toEqual([0, 0]);
    }),
    { numRuns: RUNS },
  );
});
