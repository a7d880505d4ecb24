import { ConduitError, ErrorCode } from "@netconduit/core/adapter";
import { expect, test } from "vitest";
import { type Ends, MIB, type Stage } from "./stage.ts";

const BROKEN: readonly unknown[] = [ErrorCode.CONNECTION_RESET, ErrorCode.CONNECTION_CLOSED];

/** `destroy` in every state, called by either side. */
export function describeDestroying(stage: Stage): void {
  const { capabilities } = stage;
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
    a.write(new Uint8Array(stage.floodBytes));
  }

  for (const { title, enter } of states) {
    test(`destroy ends a stream ${title}: closed comes later, once, with the reason`, () =>
      stage.withOpenPair(async (ends) => {
        // No extra turn in between: a fast transport would already be in the next state.
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
    stage.withOpenPair(async ({ a, atA }) => {
      a.destroy(null);
      await atA.whenClosed;
      expect(atA.closedCalls).toEqual([null]);
    }));

  test("a stream destroyed before open tells its sink after open", () =>
    stage.withPair(async ({ a, atA }) => {
      a.destroy(reason);
      await a.close();
      atA.open(a);
      expect(atA.closedCalls).toEqual([]);
      await atA.whenClosed;
      expect(atA.closedCalls).toEqual([reason]);
    }));

  test("destroy after the end changes nothing", () =>
    stage.withOpenPair(async ({ a, atA }) => {
      await a.close();
      a.destroy(reason);
      expect(atA.closedCalls).toEqual([null]);
    }));

  test("nothing is delivered after destroy", () =>
    stage.withOpenPair(async ({ a, b, atA, atB }) => {
      b.write(new Uint8Array(MIB));
      await atA.received(1);
      a.destroy(null);
      const total = atA.total;
      await Promise.all([atA.whenClosed, atB.whenClosed]);
      expect(atA.total).toBe(total);
    }));

  test("a sink may destroy its stream from within data", () =>
    stage.withOpenPair(async ({ a, b, atA }) => {
      atA.onData = () => a.destroy(reason);
      b.write(new Uint8Array(MIB));
      await atA.whenClosed;
      expect(atA.closedCalls).toEqual([reason]);
      expect(atA.chunks).toHaveLength(1);
    }));

  test.skipIf(!capabilities.destroyResets)("destroy with a reason reaches the peer as CONNECTION_RESET", () =>
    stage.withOpenPair(async ({ a, b, atA, atB }) => {
      a.write(Uint8Array.of(1));
      await atB.received(1);
      b.destroy(reason);
      await atA.whenClosed;
      expect(atA.closedCalls).toMatchObject([{ code: ErrorCode.CONNECTION_RESET }]);
    }),
  );

  test("a peer that is destroyed while we write ends the stream with an error: bytes were lost", () =>
    stage.withOpenPair(async ({ a, b, atA, atB }) => {
      b.pause();
      a.write(new Uint8Array(stage.floodBytes));
      b.destroy(reason);
      await Promise.all([atA.whenClosed, atB.whenClosed]);
      expect(atA.closedCalls).toHaveLength(1);
      expect(BROKEN).toContain((atA.closedCalls[0] as { code?: unknown } | null)?.code);
      expect([a.write(Uint8Array.of(1)), a.queuedBytes]).toEqual([false, 0]);
    }));

  test("a peer that is destroyed while we close ends the stream once, and close() resolves", () =>
    stage.withOpenPair(async ({ a, b, atA, atB }) => {
      b.pause();
      a.write(new Uint8Array(stage.floodBytes));
      const closing = a.close();
      b.destroy(reason);
      await Promise.all([closing, atA.whenClosed, atB.whenClosed]);
      expect(BROKEN).toContain((atA.closedCalls[0] as { code?: unknown } | null)?.code);
    }));

  test("addresses stay as they were after destroy", () =>
    stage.withOpenPair(async ({ a, b, atA, atB }) => {
      const before = [a.local, a.remote, b.local, b.remote].map((address) => ({ ...address }));
      a.destroy(reason);
      b.destroy(null);
      await Promise.all([atA.whenClosed, atB.whenClosed]);
      expect([a.local, a.remote, b.local, b.remote]).toEqual(before);
    }));
}
