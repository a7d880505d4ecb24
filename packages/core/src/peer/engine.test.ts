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

  test("flushes what a chunk has marked when the chunk has been worked on, without waiting for the turn's end", () => {
    const engine = new Engine(fakeRuntime());
    const flushed: string[] = [];
    engine.receiving();
    engine.receiving();
    engine.markDirty({ flush: () => flushed.push("first") });
    engine.received();
    expect(flushed).toEqual([]);
    engine.received();
    expect(flushed).toEqual(["first"]);
  });

  test("leaves to the turn's end what was marked before the chunk, and what comes with it", async () => {
    const runtime = fakeRuntime();
    const engine = new Engine(runtime);
    const flushed: string[] = [];
    engine.markDirty({ flush: () => flushed.push("before") });
    engine.receiving();
    engine.markDirty({ flush: () => flushed.push("within") });
    engine.received();
    expect(flushed).toEqual([]);
    await runtime.settle();
    expect(flushed).toEqual(["before", "within"]);
  });

  test("lets a writer use its place again, unless some of it is kept or waits to be flushed", async () => {
    const runtime = fakeRuntime();
    const engine = new Engine(runtime);
    const writer = engine.writer(1024, false);
    const starts: number[] = [];
    const turn = async (work: () => void): Promise<void> => {
      writer.control(1, 0, 0);
      starts.push(writer.start);
      engine.markDirty({ flush: work });
      await runtime.settle();
    };
    await turn(() => undefined);
    await turn(() => engine.keepWritten());
    await turn(() => engine.markDirty({ flush: () => undefined }));
    await turn(() => undefined);
    expect(starts).toEqual([0, 0, 32, 64]);
  });

  test("makes one view of a turn's only frame for all turns in which it is as long", async () => {
    const runtime = fakeRuntime();
    const engine = new Engine(runtime);
    const bytes = new Uint8Array(4096);
    const view = engine.view(bytes, 0, 20);
    const long = engine.view(bytes, 0, 2000);
    engine.markDirty({ flush: () => undefined });
    await runtime.settle();
    expect(engine.view(bytes, 0, 20)).toBe(view);
    expect(engine.view(bytes, 0, 21).length).toBe(21);
    expect(engine.view(new Uint8Array(4096), 0, 20)).not.toBe(view);
    expect(engine.view(bytes, 0, 2000)).not.toBe(long);
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
