/**
 * A model of two ends that lose their streams. An explorer runs all short plans of steps, and fast-check runs long
 * ones. After each plan the streams stay intact, and each end must have received exactly the bytes that the other has
 * sent.
 */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { plansOf, plansUpTo } from "../test-support/plans.ts";
import type { ByteStream } from "./byte-stream.ts";
import { memoryPair } from "./memory-pair.ts";
import { type Carrier, ResumableStream } from "./resumable-stream.ts";

/** Small, so that senders wait often. */
const KEPT_BYTES = 6;
const NOTHING = new Uint8Array(0);

/** Faults of an end. */
interface Fault {
  /** Acknowledges bytes that are still in flight. */
  readonly acknowledgesEarly?: boolean;
  /** Doesn't count parts of large frames (here: writes of more than 3 bytes). */
  readonly forgetsChunks?: boolean;
  /** Accepts bytes that an old stream still delivers. */
  readonly reusesEpoch?: boolean;
}

type Step =
  | "a sends"
  | "b sends much"
  | "deliver"
  | "a acknowledges"
  | "b acknowledges"
  | "cut"
  | "half-open"
  | "resume";

const STEPS: readonly Step[] = [
  "a sends",
  "b sends much",
  "deliver",
  "a acknowledges",
  "b acknowledges",
  "cut",
  "half-open",
  "resume",
];

class End {
  readonly stream: ResumableStream;
  readonly sent: number[] = [];
  readonly got: number[] = [];
  /** Bytes waiting because the stream is full. */
  readonly waiting: Uint8Array[] = [];
  #isFull = false;
  #uncounted = 0;
  readonly #fault: Fault;

  constructor(stream: ByteStream, fault: Fault) {
    this.#fault = fault;
    this.stream = new ResumableStream(stream);
    this.stream.keep(
      { received: () => undefined, keptMore: () => undefined, overflowed: () => undefined, lost: () => true },
      KEPT_BYTES,
      0,
    );
    this.stream.open({
      data: (chunk) => {
        this.got.push(...chunk);
        if (fault.forgetsChunks === true && chunk.length > 3) this.#uncounted += chunk.length;
      },
      drained: () => {
        this.#isFull = false;
        this.#flush();
      },
      closed: () => undefined,
    });
  }

  /** The count of received bytes that it reports to the other end. */
  received(theirSent: number): number {
    if (this.#fault.acknowledgesEarly === true) return theirSent;
    return this.stream.received - this.#uncounted;
  }

  send(count: number): void {
    const bytes = Uint8Array.from({ length: count }, (_, index) => (this.sent.length + index) % 251);
    this.sent.push(...bytes);
    this.waiting.push(bytes);
    this.#flush();
  }

  #flush(): void {
    while (!this.#isFull && this.waiting.length > 0) {
      if (!this.stream.write(this.waiting.shift() as Uint8Array)) this.#isFull = true;
    }
  }
}

class World {
  readonly #tasks: (() => void)[] = [];
  readonly a: End;
  readonly b: End;
  #streams: readonly [ByteStream, ByteStream];
  /** Carrier of the last stream; null before the first resume. */
  #carrierOfA: Carrier | null = null;
  readonly #fault: Fault;

  constructor(fault: Fault) {
    this.#fault = fault;
    this.#streams = this.#pair();
    this.a = new End(this.#streams[0], fault);
    this.b = new End(this.#streams[1], fault);
  }

  #pair(): [ByteStream, ByteStream] {
    // Two bytes at a time, so that cuts happen in the middle.
    return memoryPair({ highWaterMark: 4, maxChunkBytes: 4, schedule: (task) => this.#tasks.push(task) });
  }

  run(step: Step): void {
    const { a, b } = this;
    switch (step) {
      case "a sends":
        a.send(2);
        return;
      case "b sends much":
        b.send(5);
        return;
      case "deliver":
        this.#tasks.shift()?.();
        return;
      case "a acknowledges":
        if (!a.stream.isSuspended && !b.stream.isSuspended) b.stream.acknowledge(a.received(b.stream.sent.end));
        return;
      case "b acknowledges":
        if (!a.stream.isSuspended && !b.stream.isSuspended) a.stream.acknowledge(b.received(a.stream.sent.end));
        return;
      case "cut":
        this.#streams[0].destroy(new Error("cut"));
        this.#deliverEnds();
        return;
      case "half-open":
        // One end detects it; the other isn't notified until the next stream.
        a.stream.cut(new Error("silent"));
        return;
      case "resume":
        this.#resume();
        return;
    }
  }

  /** Notifies both ends of their stream's end without delivering anything else. */
  #deliverEnds(): void {
    this.a.stream.cut(new Error("cut"));
    this.b.stream.cut(new Error("cut"));
  }

  #resume(): void {
    const { a, b } = this;
    if (!a.stream.isSuspended) return;
    b.stream.cut(new Error("the client has come back"));
    this.#streams = this.#pair();
    const ofA = carrierOf(this.#streams[0]);
    const ofB = carrierOf(this.#streams[1]);
    const receivedByA = a.received(b.stream.sent.end);
    const receivedByB = b.received(a.stream.sent.end);
    if (!b.stream.sent.isPossible(receivedByA) || !a.stream.sent.isPossible(receivedByB)) throw new Error("Impossible");
    b.stream.attach(ofB, receivedByA, NOTHING);
    a.stream.attach(ofA, receivedByB, NOTHING);
    this.#deliverLate(ofA);
  }

  /** The previous stream delivers the bytes that were in flight again. */
  #deliverLate(next: Carrier): void {
    const { a, b } = this;
    const old = this.#carrierOfA;
    this.#carrierOfA = next;
    if (old === null || b.sent.length === a.got.length) return;
    if (this.#fault.reusesEpoch === true) old.owner = a.stream;
    old.data(Uint8Array.of(b.sent[a.got.length] as number));
  }

  /** Delivers everything, without further failures. */
  settle(): void {
    if (this.a.stream.isSuspended || this.b.stream.isSuspended) {
      this.a.stream.cut(new Error("cut"));
      this.run("resume");
    }
    for (let left = 1000; left > 0; left -= 1) {
      while (this.#tasks.length > 0) this.run("deliver");
      this.run("a acknowledges");
      this.run("b acknowledges");
      if (this.a.waiting.length + this.b.waiting.length + this.#tasks.length === 0) return;
    }
    throw new Error("It doesn't settle");
  }
}

/** Creates the carrier of a logged-in stream. */
function carrierOf(stream: ByteStream): Carrier {
  const login = new ResumableStream(stream);
  login.open({ data: () => undefined, drained: () => undefined, closed: () => undefined });
  return login.release();
}

/** Returns a description of the failure; null if there was none. */
function failureOf(plan: readonly Step[], fault: Fault = {}): string | null {
  const world = new World(fault);
  try {
    for (const step of plan) world.run(step);
    world.settle();
  } catch (error) {
    return String(error);
  }
  const { a, b } = world;
  if (a.got.join() !== b.sent.join()) return `a got ${a.got.join()} of ${b.sent.join()}`;
  return b.got.join() === a.sent.join() ? null : `b got ${b.got.join()} of ${a.sent.join()}`;
}

describe("two ends that lose their streams", { timeout: 120_000 }, () => {
  test("get every byte once and in order, in each of 37,449 plans of up to 5 steps", () => {
    let plans = 0;
    for (const plan of plansUpTo(STEPS, 5)) {
      plans += 1;
      const failure = failureOf(plan);
      if (failure !== null) expect.fail(`${plan.join(", ")}: ${failure}`);
    }
    expect(plans).toBe(37_449);
  });

  test("get every byte once and in order, in long plans at random", () => {
    const plan = fc.array(fc.constantFrom(...STEPS), { maxLength: 80 });
    fc.assert(
      fc.property(plan, (steps) => failureOf(steps) === null),
      { numRuns: 2000 },
    );
  });

  test.each<[string, Fault]>([
    ["acknowledges early", { acknowledgesEarly: true }],
    ["forgets the count of chunks", { forgetsChunks: true }],
    ["uses an epoch again", { reusesEpoch: true }],
  ])("show it when one %s", (_name, fault) => {
    let isCaught = false;
    for (let length = 1; length <= 5 && !isCaught; length += 1) {
      for (const plan of plansOf(STEPS, length)) {
        if (failureOf(plan, fault) === null) continue;
        isCaught = true;
        break;
      }
    }
    expect(isCaught).toBe(true);
  });
});
