import type { Address, ByteSink, ByteStream } from "../bytes/byte-stream.ts";

/** A stream that records writes. Tests set whether it accepts bytes. */
export class StubStream implements ByteStream {
  readonly local: Address = { kind: "memory", name: "stub" };
  readonly remote: Address = { kind: "memory", name: "nobody" };
  readonly tls = null;
  /** Result of further calls of `write`. */
  takes = true;
  queuedBytes = 0;
  /** All arrays passed to `write`, the same objects. */
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

  /** All bytes written so far, as text. */
  get text(): string {
    return this.writes.map((bytes) => String.fromCharCode(...bytes)).join("");
  }
}
