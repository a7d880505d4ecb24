import { expect, test } from "vitest";
import type { ByteStream } from "./byte-stream.ts";
import { memoryPair } from "./memory-pair.ts";
import { type Carrier, ResumableStream } from "./resumable-stream.ts";

const CHUNK_BYTES = 256 * 1024;
const NOTHING = new Uint8Array(0);
const owner = {
  received: () => undefined,
  keptMore: () => undefined,
  overflowed: () => undefined,
  lost: () => true,
};

/** Creates the carrier of a logged-in stream. */
function carrierOf(stream: ByteStream): Carrier {
  const login = new ResumableStream(stream);
  login.open({ data: () => undefined, drained: () => undefined, closed: () => undefined });
  return login.release();
}

test("a session continues at its byte after more than 4 GiB", { timeout: 60_000 }, () => {
  const tasks: (() => void)[] = [];
  const streams = (): [ByteStream, ByteStream] =>
    memoryPair({ highWaterMark: CHUNK_BYTES, maxChunkBytes: CHUNK_BYTES, schedule: (task) => tasks.push(task) });
  const deliver = (): void => {
    while (tasks.length > 0) tasks.shift()?.();
  };
  const [near, far] = streams();
  const [sender, receiver] = [new ResumableStream(near), new ResumableStream(far)];
  const got = { bytes: 0, last: 0 };
  for (const stream of [sender, receiver]) {
    stream.keep(owner, CHUNK_BYTES, 0);
    stream.open({
      data: (chunk) => {
        got.bytes += chunk.length;
        got.last = chunk.at(-1) ?? 0;
      },
      drained: () => undefined,
      closed: () => undefined,
    });
  }
  const chunk = new Uint8Array(CHUNK_BYTES);
  while (got.bytes <= 2 ** 32) {
    sender.write(chunk);
    deliver();
    sender.acknowledge(receiver.received);
  }
  for (const stream of [sender, receiver]) stream.cut(new Error("cut"));
  sender.write(Uint8Array.of(7));
  const [next, other] = streams();
  receiver.attach(carrierOf(other), sender.received, NOTHING);
  sender.attach(carrierOf(next), receiver.received, NOTHING);
  deliver();
  expect(got).toEqual({ bytes: 2 ** 32 + CHUNK_BYTES + 1, last: 7 });
  expect([sender.sent.end, receiver.received]).toEqual([got.bytes, got.bytes]);
});

test("its owner is notified of a sender that continues although the peer acknowledges nothing, and not of one that waits", () => {
  const [near] = memoryPair({ highWaterMark: CHUNK_BYTES, maxChunkBytes: CHUNK_BYTES, schedule: (task) => task() });
  const stream = new ResumableStream(near);
  let overflows = 0;
  stream.keep({ ...owner, overflowed: () => (overflows += 1) }, 1000, 0);
  stream.open({ data: () => undefined, drained: () => undefined, closed: () => undefined });
  const write = (): boolean => stream.write(new Uint8Array(100));
  while (write());
  write();
  expect([stream.sent.length, overflows]).toEqual([1100, 0]);
  for (let n = 0; n < 100; n += 1) write();
  expect(overflows).toBeGreaterThan(0);
});

test("senders continue when the stream under it has room and enough is acknowledged, and not sooner", () => {
  const tasks: (() => void)[] = [];
  const [near, far] = memoryPair({ highWaterMark: 100, maxChunkBytes: 1000, schedule: (task) => tasks.push(task) });
  const deliver = (): void => {
    while (tasks.length > 0) tasks.shift()?.();
  };
  far.open({ data: () => undefined, drained: () => undefined, closed: () => undefined });
  const stream = new ResumableStream(near);
  let drains = 0;
  stream.keep(owner, 1000, 0);
  stream.open({ data: () => undefined, drained: () => void drains++, closed: () => undefined });
  expect(stream.write(new Uint8Array(500))).toBe(false);
  deliver();
  expect(drains, "the stream has room, and so has the session").toBe(1);
  expect(stream.write(new Uint8Array(500))).toBe(false);
  deliver();
  expect(drains, "the stream has room, and the session has none").toBe(1);
  stream.acknowledge(1);
  expect(drains, "both have room").toBe(2);
  expect(stream.write(new Uint8Array(200))).toBe(false);
  stream.acknowledge(1000);
  expect(drains, "the session has room, and the stream has none").toBe(2);
  deliver();
  expect(drains).toBe(3);
});
