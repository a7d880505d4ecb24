import { describe, expect, test } from "vitest";
import { type FakeRuntime, fakeRuntime } from "../../test-support/fake-runtime.ts";
import { StubStream } from "../../test-support/stub-stream.ts";
import { decodeFrames } from "../../wire/frame.ts";
import { FrameWriter } from "../../wire/frame-writer.ts";
import { RuntimeContext } from "../runtime-context.ts";
import { type Lane, SendQueue } from "./send-queue.ts";

/** Takes bytes as a socket does: up to `room` into the system at once, the rest by reference until `take`. */
class SocketLikeStream extends StubStream {
  room = Number.POSITIVE_INFINITY;
  readonly #sent: Uint8Array[] = [];
  #queue: Uint8Array[] = [];

  override write(bytes: Uint8Array): boolean {
    this.writes.push(bytes);
    const now = this.#queue.length > 0 ? 0 : Math.min(this.room, bytes.length);
    this.room -= now;
    this.#sent.push(bytes.slice(0, now));
    if (now < bytes.length) this.#queue.push(bytes.subarray(now));
    this.queuedBytes += bytes.length - now;
    return this.queuedBytes < 65_536;
  }

  /** The system takes all that waits. */
  take(): void {
    this.#sent.push(...this.#queue.map((bytes) => bytes.slice()));
    this.#queue = [];
    this.queuedBytes = 0;
  }

  get bytes(): Buffer {
    return Buffer.concat(this.#sent);
  }
}

interface Scene {
  readonly runtime: FakeRuntime;
  readonly stream: SocketLikeStream;
  readonly sendQueue: SendQueue;
  readonly runtimeContext: RuntimeContext;
  send(data: unknown, lane?: Lane): void;
  /** Takes what waits until nothing does, and gives all messages that were sent. */
  received(): Promise<unknown[]>;
}

function scene(options: { readonly room?: number } = {}): Scene {
  const runtime = fakeRuntime();
  const runtimeContext = new RuntimeContext(runtime);
  const stream = new SocketLikeStream();
  stream.room = options.room ?? Number.POSITIVE_INFINITY;
  const sendQueue = new SendQueue(
    { runtimeContext, settings: { sendQueueSize: 1000, sendQueueBytes: 100_000_000 } },
    stream,
    {
      hasBacklog: false,
      sendQueueDrained: () => undefined,
    },
  );
  const writer = runtimeContext.writer(100_000_000, false);
  return {
    runtime,
    stream,
    sendQueue,
    runtimeContext,
    send(data, lane = "message") {
      writer.message(0, 0, "m", data);
      sendQueue.push(writer, lane);
    },
    async received() {
      await runtime.settle();
      while (stream.queuedBytes > 0) {
        stream.take();
        sendQueue.streamDrained();
      }
      return decodeFrames(stream.bytes).map(({ payload }) => (payload as { data: unknown }).data);
    },
  };
}

/** Bytes that differ from their neighbours, and from those of another seed. */
function binary(length: number, seed: number): Uint8Array {
  return Uint8Array.from({ length }, (_, index) => (index * 31 + seed + (index >> 8)) & 0xff);
}

describe("a frame with large binary data", () => {
  for (const room of [Number.POSITIVE_INFINITY, 0, 1, 100_000, 65_536 + 65_536]) {
    test(`arrives whole among others when the system takes ${room} bytes at once`, async () => {
      const at = scene({ room });
      const sent = ["first", binary(1_300_000, 1), "middle", binary(70_000, 2), { a: [binary(20_000, 3), 1] }, "last"];
      for (const data of sent) at.send(data);
      expect(await at.received()).toEqual(sent);
    });
  }

  test("belongs to the application again at once, taken or not", async () => {
    for (const room of [Number.POSITIVE_INFINITY, 100_000]) {
      const at = scene({ room });
      const data = binary(300_000, 1);
      at.send(data);
      at.send(data, "reply");
      const before = data.slice();
      data.fill(0);
      expect(await at.received()).toEqual([before, before]);
    }
  });

  test("goes through one small buffer while the stream takes everything", () => {
    const at = scene();
    at.send(binary(1_000_000, 1));
    at.send(binary(1_000_000, 2));
    expect(new Set(at.stream.writes.map(({ buffer }) => buffer)).size).toBe(1);
    expect(at.stream.writes.map(({ length }) => length > 400_000)).toEqual([true, true, true, true]);
  });

  test("is not cut in two by an urgent one", async () => {
    const at = scene({ room: 100_000 });
    const data = binary(2_000_000, 1);
    at.send(data);
    at.send("urgent", "urgent");
    expect(await at.received()).toEqual([data, "urgent"]);
  });

  test("counts as one message, or one answer, while a part of it waits", () => {
    const at = scene({ room: 0 });
    at.send(binary(2_000_000, 1), "message");
    expect([at.sendQueue.queuedFrames, at.sendQueue.bufferedBytes > 2_000_000]).toEqual([1, true]);
    const answers = scene({ room: 0 });
    answers.send(binary(2_000_000, 1), "reply");
    expect([answers.sendQueue.queuedFrames, answers.sendQueue.isCongested]).toEqual([1, false]);
  });

  test("waits in the backlog while the peer has sent PAUSE, as a copy", async () => {
    const at = scene();
    at.sendQueue.setPeerPaused(true);
    const data = binary(100_000, 1);
    at.send(data);
    const before = data.slice();
    data.fill(0);
    expect(at.stream.writes).toHaveLength(0);
    at.sendQueue.setPeerPaused(false);
    expect(await at.received()).toEqual([before]);
  });

  test("gives its memory back when the stream has drained, and the next one uses it", async () => {
    const at = scene({ room: 100_000 });
    at.send(binary(1_300_000, 1));
    expect(at.runtimeContext.buffers.spareBytes).toBe(0);
    await at.received();
    const { spareBytes } = at.runtimeContext.buffers;
    expect(spareBytes).toBeGreaterThan(1_000_000);
    at.stream.room = 100_000;
    at.send(binary(1_300_000, 2));
    await at.received();
    expect(at.runtimeContext.buffers.spareBytes).toBe(spareBytes);
  });

  test("gives none back that a stream may still refer to: one that refuses, as it is being destroyed", async () => {
    const at = scene();
    at.stream.write = () => false;
    at.send(binary(1_300_000, 1));
    at.sendQueue.over();
    expect([at.stream.queuedBytes, at.runtimeContext.buffers.spareBytes]).toEqual([0, 0]);
  });

  test("is flushed before the stream is closed", async () => {
    const at = scene({ room: 100_000 });
    const data = binary(2_000_000, 1);
    at.send(data);
    at.sendQueue.end();
    expect(at.stream.closeCalls).toBe(0);
    expect(await at.received()).toEqual([data]);
    expect(at.stream.closeCalls).toBe(1);
  });
});

describe("FrameWriter.gather", () => {
  test("makes a scattered frame the one that a writer without scattering writes", () => {
    const options = { wallClock: () => 1, maxMessageBytes: 10_000_000, compress: null };
    const scattering = new FrameWriter({ ...options, scatter: true });
    const plain = new FrameWriter(options);
    for (const data of [binary(16_384, 1), { a: binary(65_535, 2), b: "x", c: [binary(65_536, 3)] }, "none"]) {
      for (const writer of [scattering, plain]) writer.rpcRequest(1, 2, "method", { data }, 1000);
      scattering.gather();
      const [left, right] = [scattering, plain].map(({ bytes, start, end }) => Buffer.from(bytes.subarray(start, end)));
      expect(left?.equals(right as Buffer)).toBe(true);
      expect(scattering.large).toBeNull();
    }
  });
});
