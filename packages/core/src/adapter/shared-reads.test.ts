import { describe, expect, test } from "vitest";
import type { ByteSink } from "../bytes/byte-stream.ts";
import { SharedReadStream, SharedReads } from "./shared-reads.ts";
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

/** A socket that reads where it is told, as Node's do: it asks for a buffer first, and after each read. */
function scene(sink: Partial<ByteSink> = {}) {
  const stream = new Stream();
  const heard: number[][] = [];
  stream.open({ data: (chunk) => void heard.push([...chunk]), drained: () => {}, closed: () => {}, ...sink });
  const socket = {};
  const reads = new SharedReads(true, (other) => (other === socket ? stream : null));
  const { onread } = reads.options(4);
  if (onread === undefined) throw new Error("not possible");
  let target = onread.buffer();
  const read = (...bytes: number[]): void => {
    target.set(bytes);
    onread.callback.call(socket, bytes.length);
    target = onread.buffer() ?? target;
  };
  return { reads, stream, heard, read, onread, where: () => target };
}

describe("SharedReads", () => {
  test("as many bytes as the last time come as the same array", () => {
    const chunks: Uint8Array[] = [];
    const { read } = scene({ data: (chunk) => void chunks.push(chunk) });
    read(1, 2);
    read(3, 4);
    read(5);
    expect([chunks[1] === chunks[0], chunks[2] === chunks[0], chunks[2]?.length]).toEqual([true, false, 1]);
  });

  test("sockets of one size share their memory and functions", () => {
    const { reads } = scene();
    expect(reads.options(8).onread).toBe(reads.options(8).onread);
    expect(reads.options(8).onread).not.toBe(reads.options(16).onread);
    expect(reads.options(8).onread?.buffer()).toHaveLength(8);
  });

  test("where it is not possible no option is given", () => {
    expect(new SharedReads(false, () => null).options(8)).toEqual({});
  });

  test("what is read goes to the stream", () => {
    const { heard, read } = scene();
    read(1, 2);
    read(3);
    expect(heard).toEqual([[1, 2], [3]]);
  });

  test("what is read for a socket without a stream is thrown away", () => {
    const { heard, onread } = scene();
    expect(onread.callback.call({}, 1)).toBe(true);
    expect(heard).toEqual([]);
  });

  test("reads go where the sink wants them, and back into shared memory when it does not mind", () => {
    const memory = new Uint8Array(3);
    const landed: number[] = [];
    let landing: Uint8Array | null = null;
    const { heard, read, where } = scene({ landing: () => landing, landed: (count) => void landed.push(count) });
    const shared = where();
    landing = memory;
    read(1);
    expect(where()).toBe(memory);
    landing = null;
    read(7, 8, 9);
    expect([where(), [...memory], landed]).toEqual([shared, [7, 8, 9], [3]]);
    read(2);
    expect([where(), heard]).toEqual([shared, [[1], [2]]]);
  });
});
