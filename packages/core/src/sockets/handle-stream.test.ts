import { beforeEach, describe, expect, test } from "vitest";
import type { ByteSink, ByteStream } from "../bytes/byte-stream.ts";
import { ErrorCode } from "../errors.ts";
import { complete, type FakeHandle, fakeBinding, fakeHandle, read } from "../test-support/fake-handle.ts";
import { microtasks } from "../test-support/microtasks.ts";
import type { Handle } from "./handle.ts";
import { handleStreams } from "./handle-stream.ts";
import { SocketErrors } from "./socket-errors.ts";
import type { StreamFacts } from "./stream-facts.ts";

const END_OF_FILE = -4095;
const address = { kind: "tcp", host: "127.0.0.1", port: 1, family: "IPv4" } as const;
const facts: StreamFacts = {
  local: address,
  remote: address,
  tls: null,
  role: "server",
  highWaterMark: 4,
  silentEnd: null,
};

const HandleStream = handleStreams({
  binding: fakeBinding,
  errors: new SocketErrors((cause) => (cause as { code?: string }).code ?? ""),
  nameOf: (status) => (status === -104 ? "ECONNRESET" : "EPIPE"),
});

let handle: FakeHandle;
let stream: ByteStream;
let heard: unknown[];

/** Opens the stream with a sink that notes what it hears. */
function open(sink: Partial<ByteSink> = {}): void {
  stream.open({
    data: (chunk) => void heard.push([...chunk]),
    drained: () => void heard.push("drained"),
    closed: (error) => void heard.push(error === null ? "closed" : (error as { code?: unknown }).code),
    ...sink,
  });
}

/** What the handle did when it was told that it is closed. */
function closed(): void {
  const owner = Object.getOwnPropertySymbols(handle)[0] as symbol;
  (handle as unknown as Record<symbol, { gone(): void }>)[owner]?.gone();
}

/** The handle of a Unix socket. */
function withoutReset(whole: FakeHandle): Handle {
  const { reset: _reset, ...rest } = whole;
  return rest;
}

beforeEach(() => {
  handle = fakeHandle();
  stream = new HandleStream(handle, facts);
  heard = [];
});

describe("reading", () => {
  test("begins when the stream is opened, into memory that all streams share", () => {
    const other = fakeHandle();
    const otherStream = new HandleStream(other, facts);
    expect(handle.log).toEqual(["no delay: true"]);
    open();
    otherStream.open({ data: () => undefined, drained: () => undefined, closed: () => undefined });
    expect(handle.log).toEqual(["no delay: true", "prepare", "read"]);
    expect(other.target).toBe(handle.target);
  });

  test("goes into memory of the stream's own size, whoever was read into last", () => {
    const large = fakeHandle();
    const largeStream = new HandleStream(large, { ...facts, highWaterMark: 8 });
    open();
    largeStream.open({ data: (chunk) => void heard.push([...chunk]), drained() {}, closed() {} });
    read(handle, [1, 2]);
    read(large, [3, 4, 5, 6, 7, 8]);
    read(handle, [9]);
    expect([handle.target.length, large.target.length]).toEqual([4, 8]);
    expect(heard).toEqual([[1, 2], [3, 4, 5, 6, 7, 8], [9]]);
  });

  test("delivers what was read", () => {
    open();
    read(handle, [1, 2]);
    read(handle, 0);
    read(handle, [3]);
    expect(heard).toEqual([[1, 2], [3]]);
  });

  test("goes where the sink wants it, and back into shared memory when it does not mind", () => {
    const memory = new Uint8Array(3);
    let readTarget: Uint8Array | null = null;
    open({ readTarget: () => readTarget, bytesRead: (count) => void heard.push(count) });
    const shared = handle.target;
    readTarget = memory;
    read(handle, [1]);
    readTarget = null;
    read(handle, [7, 8]);
    expect([heard, [...memory], handle.target === shared]).toEqual([[[1], 2], [7, 8, 0], true]);
  });

  test("stops and goes on, without a word to the handle that it has heard already", () => {
    open();
    stream.pause();
    stream.pause();
    stream.resume();
    stream.resume();
    expect(handle.log.slice(1)).toEqual(["prepare", "read", "stop", "read"]);
  });

  test("that cannot begin ends the stream", async () => {
    handle.statuses.read = -104;
    open();
    closed();
    await microtasks();
    expect(heard).toEqual([ErrorCode.CONNECTION_RESET]);
  });

  test("that fails ends the stream", async () => {
    open();
    read(handle, -104);
    closed();
    await microtasks();
    expect([heard, handle.log.at(-1)]).toEqual([[ErrorCode.CONNECTION_RESET], "reset"]);
  });
});

describe("writing", () => {
  test("hands over at once what the system takes, with the same request each time", () => {
    expect([stream.write(Uint8Array.of(1)), stream.write(Uint8Array.of(2)), stream.queuedBytes]).toEqual([
      true,
      true,
      0,
    ]);
    expect([handle.sent, handle.log.slice(1)]).toEqual([
      [1, 2],
      ["write", "write again"],
    ]);
  });

  test("takes a request for itself as long as it waits", () => {
    handle.isFull = true;
    stream.write(Uint8Array.of(1));
    stream.write(Uint8Array.of(2));
    expect(handle.log.slice(1)).not.toContain("write again");
  });

  test("says how much waits, and from the high-water mark on to stop; drained follows once nothing does", () => {
    open();
    handle.isFull = true;
    expect([stream.write(Uint8Array.of(1, 2, 3)), stream.queuedBytes]).toEqual([true, 3]);
    expect([stream.write(Uint8Array.of(4)), stream.queuedBytes]).toEqual([false, 4]);
    complete(handle);
    expect([heard, stream.queuedBytes]).toEqual([[], 1]);
    complete(handle);
    expect([heard, handle.sent, stream.queuedBytes]).toEqual([["drained"], [1, 2, 3, 4], 0]);
  });

  test.each([
    ["at once", false],
    ["later", true],
  ])("that fails %s ends the stream", async (_when, isLater) => {
    open();
    handle.isFull = isLater;
    if (!isLater) handle.statuses.write = -104;
    stream.write(Uint8Array.of(1));
    if (isLater) complete(handle, -104);
    closed();
    await microtasks();
    expect(heard).toEqual([ErrorCode.CONNECTION_RESET]);
  });

  test("is ignored after the end", () => {
    stream.destroy(null);
    expect([stream.write(Uint8Array.of(1)), handle.sent, stream.queuedBytes]).toEqual([false, [], 0]);
  });

  test("what fails after the stream was destroyed is no news", async () => {
    open();
    handle.isFull = true;
    stream.write(Uint8Array.of(1));
    stream.destroy(null);
    complete(handle, -125);
    closed();
    await microtasks();
    expect(heard).toEqual(["closed"]);
  });
});

describe("the end", () => {
  test("both FINs close the handle, whichever comes first", async () => {
    open();
    const closing = stream.close();
    complete(handle);
    expect(handle.log).not.toContain("close");
    read(handle, END_OF_FILE);
    expect(handle.log.at(-1)).toBe("close");
    closed();
    await closing;
    expect(heard).toEqual(["closed"]);
  });

  test("the peer's FIN is answered once what was written is sent", async () => {
    open();
    read(handle, END_OF_FILE);
    expect(handle.log.at(-1)).toBe("fin");
    complete(handle);
    expect(handle.log.at(-1)).toBe("close");
    closed();
    await microtasks();
    expect(heard).toEqual(["closed"]);
  });

  test("a FIN that cannot be sent counts as sent: the peer is gone", () => {
    handle.statuses.shutdown = -107;
    open();
    read(handle, END_OF_FILE);
    expect(handle.log.slice(-2)).toEqual(["fin", "close"]);
    expect(handle.log.filter((entry) => entry === "close")).toHaveLength(1);
  });

  test("after the peer's FIN reading does not begin again", () => {
    open();
    read(handle, END_OF_FILE);
    stream.pause();
    stream.resume();
    expect(handle.log.filter((entry) => entry === "read")).toHaveLength(1);
  });

  test("a stream that is cut off for a reason resets, another closes", () => {
    stream.destroy(new Error("a reason"));
    const [other, otherHandle] = [fakeHandle(), fakeHandle()];
    new HandleStream(other, facts).destroy(null);
    new HandleStream(withoutReset(otherHandle), facts).destroy(new Error("a reason"));
    expect([handle, other, otherHandle].map(({ log }) => log.at(-1))).toEqual(["reset", "close", "close"]);
  });

  test("a stream that is shutting down closes, because a handle cannot reset then", () => {
    open();
    void stream.close();
    read(handle, -104);
    expect(handle.log.at(-1)).toBe("close");
  });

  test("a handle that fails to reset never says that it is closed: the stream ends all the same", async () => {
    handle.statuses.reset = -22;
    open();
    stream.destroy(Object.assign(new Error("a reason"), { code: "a code" }));
    await microtasks();
    expect(heard).toEqual(["a code"]);
  });

  test("a handle that closes by itself is CONNECTION_CLOSED", async () => {
    open();
    closed();
    await microtasks();
    expect(heard).toEqual([ErrorCode.CONNECTION_CLOSED]);
  });
});

test("a handle with a place for its owner is given no other, and those without go on hearing", () => {
  const owner = Symbol("owner_symbol");
  const roomy = Object.assign(fakeHandle(), { [owner]: null });
  open();
  new HandleStream(roomy, facts).open({ data: (chunk) => void heard.push([...chunk]), drained() {}, closed() {} });
  read(roomy, [1]);
  read(handle, [2]);
  expect([Object.getOwnPropertySymbols(roomy), heard]).toEqual([[owner], [[1], [2]]]);
});
