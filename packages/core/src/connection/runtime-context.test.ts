import { describe, expect, test } from "vitest";
import { EPOCH_MS, fakeRuntime } from "../test-support/fake-runtime.ts";
import { RuntimeContext, runtimeContextOf } from "./runtime-context.ts";

describe("RuntimeContext", () => {
  test("is one per runtime", () => {
    const [one, two] = [fakeRuntime(), fakeRuntime()];
    expect(runtimeContextOf(one)).toBe(runtimeContextOf(one));
    expect(runtimeContextOf(one)).not.toBe(runtimeContextOf(two));
  });

  test("flushes each item once when the turn has settled; what is marked meanwhile, with the next", async () => {
    const runtime = fakeRuntime();
    const runtimeContext = new RuntimeContext(runtime);
    const flushed: string[] = [];
    const second = { flush: () => flushed.push("second") };
    runtimeContext.markDirty({
      flush: () => {
        flushed.push("first");
        runtimeContext.markDirty(second);
      },
    });
    expect(flushed).toEqual([]);
    await runtime.settle();
    expect(flushed).toEqual(["first", "second"]);
  });

  test("flushes what a chunk has marked when the chunk has been worked on, without waiting for the turn's end", () => {
    const runtimeContext = new RuntimeContext(fakeRuntime());
    const flushed: string[] = [];
    runtimeContext.receiving();
    runtimeContext.receiving();
    runtimeContext.markDirty({ flush: () => flushed.push("first") });
    runtimeContext.received();
    expect(flushed).toEqual([]);
    runtimeContext.received();
    expect(flushed).toEqual(["first"]);
  });

  test("leaves to the turn's end what was marked before the chunk, and what comes with it", async () => {
    const runtime = fakeRuntime();
    const runtimeContext = new RuntimeContext(runtime);
    const flushed: string[] = [];
    runtimeContext.markDirty({ flush: () => flushed.push("before") });
    runtimeContext.receiving();
    runtimeContext.markDirty({ flush: () => flushed.push("within") });
    runtimeContext.received();
    expect(flushed).toEqual([]);
    await runtime.settle();
    expect(flushed).toEqual(["before", "within"]);
  });

  test("lets a writer use its place again, unless some of it is kept or waits to be flushed", async () => {
    const runtime = fakeRuntime();
    const runtimeContext = new RuntimeContext(runtime);
    const writer = runtimeContext.writer(1024, false);
    const starts: number[] = [];
    const turn = async (work: () => void): Promise<void> => {
      writer.control(1, 0, 0);
      starts.push(writer.start);
      runtimeContext.markDirty({ flush: work });
      await runtime.settle();
    };
    await turn(() => undefined);
    await turn(() => runtimeContext.keepWritten());
    await turn(() => runtimeContext.markDirty({ flush: () => undefined }));
    await turn(() => undefined);
    expect(starts).toEqual([0, 0, 32, 64]);
  });

  test("makes one view of a turn's only frame for all turns in which it is as long", async () => {
    const runtime = fakeRuntime();
    const runtimeContext = new RuntimeContext(runtime);
    const bytes = new Uint8Array(4096);
    const view = runtimeContext.view(bytes, 0, 20);
    const long = runtimeContext.view(bytes, 0, 2000);
    runtimeContext.markDirty({ flush: () => undefined });
    await runtime.settle();
    expect(runtimeContext.view(bytes, 0, 20)).toBe(view);
    expect(runtimeContext.view(bytes, 0, 21).length).toBe(21);
    expect(runtimeContext.view(new Uint8Array(4096), 0, 20)).not.toBe(view);
    expect(runtimeContext.view(bytes, 0, 2000)).not.toBe(long);
  });

  test("reads the wall clock once per turn", async () => {
    const runtime = fakeRuntime();
    const runtimeContext = new RuntimeContext(runtime);
    let reads = 0;
    runtime.wallClock = () => {
      reads += 1;
      return EPOCH_MS + reads;
    };
    expect([runtimeContext.wallClock(), runtimeContext.wallClock()]).toEqual([EPOCH_MS + 1, EPOCH_MS + 1]);
    await runtime.settle();
    expect(runtimeContext.wallClock()).toBe(EPOCH_MS + 2);
  });

  test("makes one view of a range for all who ask for it within a turn", async () => {
    const runtime = fakeRuntime();
    const runtimeContext = new RuntimeContext(runtime);
    const bytes = new Uint8Array(100);
    const view = runtimeContext.view(bytes, 10, 20);
    expect([view.byteOffset, view.length]).toEqual([10, 10]);
    expect(runtimeContext.view(bytes, 10, 20)).toBe(view);
    expect(runtimeContext.view(bytes, 10, 21)).not.toBe(view);
    expect(runtimeContext.view(bytes, 0, 100)).toBe(bytes);
    expect(runtimeContext.view(new Uint8Array(100), 10, 20)).not.toBe(view);
  });

  test("hands out one writer for each limit and kind, and one reader for each limit", () => {
    const runtimeContext = new RuntimeContext(fakeRuntime());
    expect(runtimeContext.writer(1024, false)).toBe(runtimeContext.writer(1024, false));
    expect(runtimeContext.writer(1024, true)).not.toBe(runtimeContext.writer(1024, false));
    expect(runtimeContext.writer(2048, false)).not.toBe(runtimeContext.writer(1024, false));
    expect(runtimeContext.reader(1024)).toBe(runtimeContext.reader(1024));
    expect(runtimeContext.reader(2048)).not.toBe(runtimeContext.reader(1024));
  });
});
