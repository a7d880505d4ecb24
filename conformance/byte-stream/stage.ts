import type { ByteStream } from "@netconduit/core/adapter";
import { expect } from "vitest";
import { Recorder } from "./recorder.ts";
import type { ByteStreamCapabilities, ByteStreamSubject } from "./subject.ts";

export const MIB: number = 1024 * 1024;
export const CHUNK_BYTES: number = 64 * 1024;

/** A pair of streams with their recorders. */
export interface Ends {
  readonly a: ByteStream;
  readonly b: ByteStream;
  readonly atA: Recorder;
  readonly atB: Recorder;
}

/**
 * Creates pairs for tests. Afterwards destroys both ends and checks that each opened end closed exactly once, as its
 * last event.
 */
export class Stage {
  readonly capabilities: ByteStreamCapabilities;
  readonly transferBytes: number;
  readonly #subject: ByteStreamSubject;

  constructor(subject: ByteStreamSubject) {
    this.#subject = subject;
    this.capabilities = subject.capabilities;
    this.transferBytes = subject.capabilities.transferBytes ?? 24 * MIB;
  }

  /** More bytes than a stream and the operating system buffer together, so that the peer has to read. */
  get floodBytes(): number {
    return this.capabilities.highWaterMark + this.capabilities.kernelBytes + MIB;
  }

  async withPair(body: (ends: Ends) => Promise<void>): Promise<void> {
    const pair = await this.#subject.makePair();
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

  async withOpenPair(body: (ends: Ends) => Promise<void>): Promise<void> {
    await this.withPair(async (ends) => {
      ends.atA.open(ends.a);
      ends.atB.open(ends.b);
      await body(ends);
    });
  }
}

/** Sends a byte from `b` to `a` and waits for it, `count` times, so that bytes in flight to `b` can arrive. */
export async function rounds({ b, atA }: Ends, count: number): Promise<void> {
  for (let round = 0; round < count; round++) {
    const { total } = atA;
    b.write(Uint8Array.of(round));
    await atA.received(total + 1);
  }
}

/** Waits for turns of the event loop, for tests of events that must not happen. */
export async function turns(count: number): Promise<void> {
  for (let turn = 0; turn < count; turn++) await new Promise((resolve) => setImmediate(resolve));
}
