import type { Address, ByteSink, ByteStream } from "../bytes/byte-stream.ts";

/** A stream that keeps what is written, and takes bytes or not as the test says. */
export class StubStream implements ByteStream {
  readonly local: Address = { kind: "memory", name: "stub" };
  readonly remote: Address = { kind: "memory", name: "nobody" };
  readonly tls = null;
  /** What `write` answers from now on. */
  takes = true;
  queuedBytes = 0;
  /** Every array handed to `write`, the same objects. */
  readonly writes: Uint8Array[] = [];
  sink: ByteSink | null = null;
  paused = false;
  closeCalls = 0;
  destroyedWith: Error | null | undefined = undefined;

  open(sink: ByteSink): void {
    this.sink = sink;
  }

  write(bytes: Uint8Array): boolean {
    this.writes.push(bytes);
    return this.takes;
  }

  pause(): void {
    this.paused = true;
  }

  resume(): void {
    this.paused = false;
  }

  async close(): Promise<void> {
    this.closeCalls += 1;
  }

  destroy(reason: Error | null): void {
    this.destroyedWith = reason;
  }

  /** All bytes written so far as text, for tests that write letters. */
  get text(): string {
    return this.writes.map((bytes) => String.fromCharCode(...bytes)).join("");
  }
}
