/**
 * What every {@link ByteStream} must do, whatever runtime and transport it comes from. A test file calls
 * {@link describeByteStream} with a way to make a connected pair.
 */

import { type ByteStream, ConduitError, ErrorCode } from "@netconduit/core/adapter";
import { describe, expect, test } from "vitest";
import { fillPattern, Recorder, sendPattern } from "./recorder.ts";

/** Two ends of one connection, neither opened yet. */
export interface StreamPair {
  readonly a: ByteStream;
  readonly b: ByteStream;
  /** Frees what the pair is made of. The suite has destroyed both ends by then. */
  dispose(): Promise<void> | void;
}

/** How transports rightly differ. */
export interface ByteStreamCapabilities {
  /** `write` returns false from so many queued bytes on, at the latest. */
  readonly highWaterMark: number;
  /** `destroy(error)` reaches the peer as CONNECTION_RESET; elsewhere the peer may see a plain end. */
  readonly destroyResets: boolean;
  /** Bytes the operating system may hold per direction, beyond `queuedBytes`. 0: none. */
  readonly kernelBytes: number;
  /** Bytes of the large transfer, each way. Default 64 MiB. */
  readonly transferBytes?: number;
}

/** How to make pairs, and what to expect of them. */
export interface ByteStreamSubject {
  makePair(): Promise<StreamPair>;
  readonly capabilities: ByteStreamCapabilities;
}

const MIB = 1024 * 1024;
const CHUNK_BYTES = 64 * 1024;
const TIMEOUT_MS = 60_000;

export function describeByteStream(name: string, { makePair, capabilities }: ByteStreamSubject): void {
  const transferBytes = capabilities.transferBytes ?? 64 * MIB;

  /** Runs `body` on a fresh pair; afterwards both ends are destroyed and each has closed exactly once, last. */
  async function withPair(body: (ends: Ends) => Promise<void>): Promise<void> {
    const pair = await makePair();
    const ends: Ends = { a: pair.a, b: pair.b, atA: new Recorder(), atB: new Recorder() };
    try {
      await body(ends);
    } finally {
      pair.a.destroy(null);
      pair.b.destroy(null);
      await Promise.all([
        ends.atA.opened ? ends.atA.whenClosed : undefined,
        ends.atB.opened ? ends.atB.whenClosed : undefined,
      ]);
      await pair.dispose();
    }
    for (const recorder of [ends.atA, ends.atB]) {
      if (recorder.opened) expect(recorder.closedCalls).toHaveLength(1);
      expect(recorder.callsAfterClosed).toEqual([]);
    }
  }

  async function withOpenPair(body: (ends: Ends) => Promise<void>): Promise<void> {
    await withPair(async (ends) => {
      ends.atA.open(ends.a);
      ends.atB.open(ends.b);
      await body(ends);
    });
  }

  describe(name, { timeout: TIMEOUT_MS }, () => {
    test("bytes arrive in order, in both directions", () =>
      withOpenPair(async ({ a, b, atA, atB }) => {
        a.write(Uint8Array.of(1, 2));
        b.write(Uint8Array.of(9));
        a.write(Uint8Array.of(3));
        await Promise.all([atB.received(3), atA.received(1)]);
        expect([...atB.bytes()]).toEqual([1, 2, 3]);
        expect([...atA.bytes()]).toEqual([9]);
      }));

    test("an empty write sends nothing and does no harm", () =>
      withOpenPair(async ({ a, atB }) => {
        a.write(new Uint8Array(0));
        a.write(Uint8Array.of(7));
        await atB.received(1);
        expect([...atB.bytes()]).toEqual([7]);
      }));

    test("what was sent before open is delivered after it", () =>
      withPair(async ({ a, b, atA, atB }) => {
        atA.open(a);
        a.write(Uint8Array.of(1, 2, 3));
        b.write(Uint8Array.of(4));
        await atA.received(1);
        atB.open(b);
        await atB.received(3);
        expect([...atB.bytes()]).toEqual([1, 2, 3]);
      }));

    test("10,000 tiny writes arrive complete and in order", () =>
      withOpenPair(async ({ a, atB }) => {
        for (let i = 0; i < 10_000; i++) a.write(Uint8Array.of(i & 0xff, i >> 8));
        await atB.received(20_000);
        const bytes = atB.bytes();
        const values = Array.from({ length: 10_000 }, (_, i) => (bytes[2 * i] ?? 0) | ((bytes[2 * i + 1] ?? 0) << 8));
        expect(values).toEqual(Array.from({ length: 10_000 }, (_, i) => i));
      }));

    test("written bytes are never changed and may be written to many streams", () =>
      withOpenPair(async ({ a, b, atA, atB }) => {
        const bytes = fillPattern(new Uint8Array(CHUNK_BYTES), 0);
        for (let i = 0; i < 4; i++) {
          a.write(bytes);
          b.write(bytes);
        }
        await Promise.all([atB.received(4 * CHUNK_BYTES), atA.received(4 * CHUNK_BYTES)]);
        expect(bytes).toEqual(fillPattern(new Uint8Array(CHUNK_BYTES), 0));
      }));

    test(`${transferBytes / MIB} MiB each way arrive intact, and a writer that heeds write() bounds the queue`, () =>
      withOpenPair(async ({ a, b, atA, atB }) => {
        atA.verifyPattern();
        atB.verifyPattern();
        const [mostAtA, mostAtB] = await Promise.all([
          sendPattern(a, atA, transferBytes, CHUNK_BYTES),
          sendPattern(b, atB, transferBytes, CHUNK_BYTES),
          atA.received(transferBytes),
          atB.received(transferBytes),
        ]);
        expect(atA.firstMismatch).toBe(-1);
        expect(atB.firstMismatch).toBe(-1);
        expect(Math.max(mostAtA, mostAtB)).toBeLessThan(capabilities.highWaterMark + CHUNK_BYTES);
      }));

    test("drained comes only after write returned false", () =>
      withOpenPair(async ({ a, b, atA, atB }) => {
        expect(a.write(Uint8Array.of(1))).toBe(true);
        await atB.received(1);
        b.write(Uint8Array.of(2));
        await atA.received(1);
        expect(atA.drains).toBe(0);
        const flooded = capabilities.highWaterMark + capabilities.kernelBytes + MIB;
        expect(a.write(new Uint8Array(flooded))).toBe(false);
        await Promise.all([atA.drainedTimes(1), atB.received(1 + flooded)]);
        expect(atA.drains).toBe(1);
      }));

    test("a peer that does not read makes write return false, and queuedBytes says what waits", () =>
      withOpenPair(async ({ a, b }) => {
        b.pause();
        const flooded = capabilities.highWaterMark + capabilities.kernelBytes + MIB;
        for (let sent = 0; sent < flooded; sent += MIB) a.write(new Uint8Array(MIB));
        expect(a.write(Uint8Array.of(1))).toBe(false);
        expect(a.queuedBytes).toBeGreaterThanOrEqual(capabilities.highWaterMark);
        a.destroy(null);
        expect(a.queuedBytes).toBe(0);
      }));

    test("a paused stream delivers nothing more, and everything in order once it is resumed", () =>
      withOpenPair(async ({ a, b, atA, atB }) => {
        atB.verifyPattern();
        a.write(fillPattern(new Uint8Array(10), 0));
        await atB.received(10);
        b.pause();
        a.write(fillPattern(new Uint8Array(CHUNK_BYTES), 10));
        // Every round gives what is on its way a turn of the loop to arrive in.
        for (let round = 1; round <= 20; round++) {
          b.write(Uint8Array.of(round));
          await atA.received(round);
        }
        const whilePaused = atB.total;
        a.write(fillPattern(new Uint8Array(CHUNK_BYTES), 10 + CHUNK_BYTES));
        for (let round = 21; round <= 40; round++) {
          b.write(Uint8Array.of(round));
          await atA.received(round);
        }
        expect(atB.total).toBe(whilePaused);
        b.resume();
        await atB.received(10 + 2 * CHUNK_BYTES);
        expect(atB.firstMismatch).toBe(-1);
      }));

    test("a stream paused before open delivers nothing until it is resumed", () =>
      withPair(async ({ a, b, atA, atB }) => {
        atA.open(a);
        b.pause();
        atB.open(b);
        a.write(Uint8Array.of(1));
        for (let round = 1; round <= 20; round++) {
          b.write(Uint8Array.of(round));
          await atA.received(round);
        }
        expect(atB.total).toBe(0);
        b.resume();
        await atB.received(1);
      }));

    test("close flushes what was written, and both sides close cleanly", () =>
      withOpenPair(async ({ a, atA, atB }) => {
        atB.verifyPattern();
        const size = 8 * MIB;
        a.write(fillPattern(new Uint8Array(size), 0));
        await a.close();
        await atB.whenClosed;
        expect([atB.total, atB.firstMismatch]).toEqual([size, -1]);
        expect([atA.closedCalls, atB.closedCalls]).toEqual([[null], [null]]);
      }));

    test("data is delivered after close until the peer ends, which flushes what it wrote", () =>
      withOpenPair(async ({ a, b, atA }) => {
        atA.verifyPattern();
        const size = 4 * MIB;
        b.write(fillPattern(new Uint8Array(size), 0));
        await a.close();
        expect([atA.total, atA.firstMismatch]).toEqual([size, -1]);
        expect(atA.closedCalls).toEqual([null]);
      }));

    test("close resolves after the sink was told, however often and late it is called", () =>
      withOpenPair(async ({ a, b, atA, atB }) => {
        await Promise.all([a.close(), a.close(), b.close()]);
        expect(atA.closedCalls).toEqual([null]);
        await atB.whenClosed;
        await a.close();
        await b.close();
      }));

    test("write after close is ignored and returns false", () =>
      withOpenPair(async ({ a, atB }) => {
        a.write(Uint8Array.of(1));
        const closing = a.close();
        expect(a.write(Uint8Array.of(2))).toBe(false);
        await closing;
        expect(a.write(Uint8Array.of(3))).toBe(false);
        await atB.whenClosed;
        expect([...atB.bytes()]).toEqual([1]);
      }));

    test("a stream whose peer ended delivers its data at open, then closes", () =>
      withPair(async ({ a, b, atA, atB }) => {
        atA.open(a);
        a.write(Uint8Array.of(5, 6));
        const closing = a.close();
        atB.open(b);
        await Promise.all([closing, atB.whenClosed]);
        expect([...atB.bytes()]).toEqual([5, 6]);
        expect(atB.closedCalls).toEqual([null]);
      }));

    test("addresses stay as they were after the stream has closed", () =>
      withOpenPair(async ({ a, b, atB }) => {
        const before = [a.local, a.remote, b.local, b.remote].map((address) => ({ ...address }));
        await a.close();
        await atB.whenClosed;
        expect([a.local, a.remote, b.local, b.remote]).toEqual(before);
      }));

    const reason = new ConduitError(ErrorCode.SLOW_CONSUMER, "destroyed by the test");
    const states: readonly { title: string; enter(ends: Ends): void | Promise<void> }[] = [
      { title: "idle", enter: () => {} },
      { title: "paused", enter: ({ a }) => a.pause() },
      { title: "with writes the peer does not read", enter: flood },
      {
        title: "while it receives",
        async enter({ b, atA }) {
          b.write(new Uint8Array(MIB));
          await atA.received(1);
        },
      },
      { title: "closing", enter: ({ a }) => void a.close() },
      {
        title: "closing with writes the peer does not read",
        enter(ends) {
          flood(ends);
          void ends.a.close();
        },
      },
      { title: "whose peer is closing", enter: ({ b }) => void b.close() },
    ];

    function flood({ a, b }: Ends): void {
      b.pause();
      a.write(new Uint8Array(capabilities.kernelBytes + MIB));
    }

    for (const { title, enter } of states) {
      test(`destroy ends a stream ${title}: closed comes later, once, with the reason`, () =>
        withOpenPair(async (ends) => {
          // No turn in between unless the state takes one: a fast transport would leave it again.
          const entering = enter(ends);
          if (entering !== undefined) await entering;
          ends.a.destroy(reason);
          ends.a.destroy(new Error("a second reason"));
          expect(ends.atA.closedCalls).toEqual([]);
          expect([ends.a.write(Uint8Array.of(1)), ends.a.queuedBytes]).toEqual([false, 0]);
          await Promise.all([ends.atA.whenClosed, ends.a.close()]);
          expect(ends.atA.closedCalls).toEqual([reason]);
          ends.b.resume();
          await ends.atB.whenClosed;
        }));
    }

    test("destroy without a reason closes with null", () =>
      withOpenPair(async ({ a, atA }) => {
        a.destroy(null);
        await atA.whenClosed;
        expect(atA.closedCalls).toEqual([null]);
      }));

    test("a stream destroyed before open tells its sink after open", () =>
      withPair(async ({ a, atA }) => {
        a.destroy(reason);
        await a.close();
        atA.open(a);
        expect(atA.closedCalls).toEqual([]);
        await atA.whenClosed;
        expect(atA.closedCalls).toEqual([reason]);
      }));

    test("destroy after the end changes nothing", () =>
      withOpenPair(async ({ a, atA }) => {
        await a.close();
        a.destroy(reason);
        expect(atA.closedCalls).toEqual([null]);
      }));

    test("nothing is delivered after destroy", () =>
      withOpenPair(async ({ a, b, atA, atB }) => {
        b.write(new Uint8Array(MIB));
        await atA.received(1);
        a.destroy(null);
        const total = atA.total;
        await Promise.all([atA.whenClosed, atB.whenClosed]);
        expect(atA.total).toBe(total);
      }));

    test("a sink may destroy its stream from within data", () =>
      withOpenPair(async ({ a, b, atA }) => {
        atA.onData = () => a.destroy(reason);
        b.write(new Uint8Array(MIB));
        await atA.whenClosed;
        expect(atA.closedCalls).toEqual([reason]);
        expect(atA.chunks).toHaveLength(1);
      }));

    test.skipIf(!capabilities.destroyResets)("destroy with a reason reaches the peer as CONNECTION_RESET", () =>
      withOpenPair(async ({ a, b, atA, atB }) => {
        a.write(Uint8Array.of(1));
        await atB.received(1);
        b.destroy(reason);
        await atA.whenClosed;
        expect(atA.closedCalls).toMatchObject([{ code: ErrorCode.CONNECTION_RESET }]);
      }),
    );
  });
}

interface Ends {
  readonly a: ByteStream;
  readonly b: ByteStream;
  readonly atA: Recorder;
  readonly atB: Recorder;
}
