import { describe, expect, test } from "vitest";
import { EPOCH_MS, fakeRuntime } from "../test-support/fake-runtime.ts";
import { Engine, engineOf } from "./engine.ts";

describe("Engine", () => {
  test("is one per runtime", () => {
    const [one, two] = [fakeRuntime(), fakeRuntime()];
    expect(engineOf(one)).toBe(engineOf(one));
    expect(engineOf(one)).not.toBe(engineOf(two));
  });

  test("flushes each item once when the turn has settled; what is marked meanwhile, with the next", async () => {
    const runtime = fakeRuntime();
    const engine = new Engine(runtime);
    const flushed: string[] = [];
    const second = { flush: () => flushed.push("second") };
    engine.markDirty({
      flush: () => {
        flushed.push("first");
        engine.markDirty(second);
      },
    });
    expect(flushed).toEqual([]);
    await runtime.settle();
    expect(flushed).toEqual(["first", "second"]);
  });

  test("reads the wall clock once per turn", async () => {
    const runtime = fakeRuntime();
    const engine = new Engine(runtime);
    let reads = 0;
    runtime.wallClock = () => {
      reads += 1;
      return EPOCH_MS + reads;
    };
    expect([engine.wallClock(), engine.wallClock()]).toEqual([EPOCH_MS + 1, EPOCH_MS + 1]);
    await runtime.settle();
    expect(engine.wallClock()).toBe(EPOCH_MS + 2);
  });

  test("makes one view of a range for all who ask for it within a turn", async () => {
    const runtime = fakeRuntime();
    const engine = new Engine(runtime);
    const bytes = new Uint8Array(100);
    const view = engine.view(bytes, 10, 20);
    expect([view.byteOffset, view.length]).toEqual([10, 10]);
    expect(engine.view(bytes, 10, 20)).toBe(view);
    expect(engine.view(bytes, 10, 21)).not.toBe(view);
    expect(engine.view(bytes, 0, 100)).toBe(bytes);
    expect(engine.view(new Uint8Array(100), 10, 20)).not.toBe(view);
  });

  test("hands out one writer for each limit and kind, and one reader for each limit", () => {
    const engine = new Engine(fakeRuntime());
    expect(engine.writer(1024, false)).toBe(engine.writer(1024, false));
    expect(engine.writer(1024, true)).not.toBe(engine.writer(1024, false));
    expect(engine.writer(2048, false)).not.toBe(engine.writer(1024, false));
    expect(engine.reader(1024)).toBe(engine.reader(1024));
    expect(engine.reader(2048)).not.toBe(engine.reader(1024));
  });
});
