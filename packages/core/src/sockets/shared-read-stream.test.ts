import { describe, expect, test } from "vitest";
import type { ByteSink } from "../bytes/byte-stream.ts";
import { SharedBuffer, SharedReadStream } from "./shared-read-stream.ts";
import { SocketErrors } from "./socket-errors.ts";

const address = { kind: "tcp", host: "127.0.0.1", port: 1, family: "IPv4" } as const;

class Stream extends SharedReadStream {
  readonly queuedBytes = 0;

  constructor() {
    const facts = {
      local: address,
      remote: address,
      tls: null,
      role: "client",
      highWaterMark: 1,
      silentEnd: null,
    } as const;
    super(facts, new SocketErrors(() => ""));
  }

  write(): boolean {
    return true;
  }

  protected startReading(): void {}
  protected stopReading(): void {}
  protected shutDown(): void {}
  protected discard(): void {
    this.finish();
  }
}

/** A stream whose socket asks where to read to before each read. */
function scene(sink: Partial<ByteSink> = {}) {
  const stream = new Stream();
  const heard: number[][] = [];
  stream.open({ data: (chunk) => void heard.push([...chunk]), drained: () => {}, closed: () => {}, ...sink });
  const shared = new SharedBuffer(4);
  let target = stream.nextBuffer(shared.bytes) ?? shared.bytes;
  const read = (...bytes: number[]): void => {
    target.set(bytes);
    stream.hasRead(bytes.length, shared);
    target = stream.nextBuffer(shared.bytes) ?? target;
  };
  return { heard, read, shared: shared.bytes, where: () => target };
}

describe("SharedReadStream", () => {
  test("as many bytes as the last time come as the same array", () => {
    const chunks: Uint8Array[] = [];
    const { read } = scene({ data: (chunk) => void chunks.push(chunk) });
    read(1, 2);
    read(3, 4);
    read(5);
    expect([chunks[1] === chunks[0], chunks[2] === chunks[0], chunks[2]?.length]).toEqual([true, false, 1]);
  });

  test("what is read goes to the stream", () => {
    const { heard, read } = scene();
    read(1, 2);
    read(3);
    expect(heard).toEqual([[1, 2], [3]]);
  });

  test("reads go where the sink wants them, and back into shared memory when it does not mind", () => {
    const memory = new Uint8Array(3);
    const bytesRead: number[] = [];
    let readTarget: Uint8Array | null = null;
    const { heard, read, shared, where } = scene({
      readTarget: () => readTarget,
      bytesRead: (count) => void bytesRead.push(count),
    });
    readTarget = memory;
    read(1);
    expect(where()).toBe(memory);
    readTarget = null;
    read(7, 8, 9);
    expect([where(), [...memory], bytesRead]).toEqual([shared, [7, 8, 9], [3]]);
    read(2);
    expect([where(), heard]).toEqual([shared, [[1], [2]]]);
  });
});
