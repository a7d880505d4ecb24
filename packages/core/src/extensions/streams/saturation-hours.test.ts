/**
 * Two ends that saturate each other for hours of simulated time: streams open and end in both directions, over slow
 * lines with latency, with consumers that are fast, slow, asleep, or leave. The clock advances from event to event,
 * so waiting streams without a pending event are deadlocked.
 */

import { expect, test } from "vitest";
import { Random } from "../../test-support/random.ts";
import { StreamEnd, settle } from "../../test-support/stream-end.ts";

/** `STREAM_HOURS=24` runs longer; `STREAM_SEED=7` changes the run. */
const HOURS = Number(process.env["STREAM_HOURS"] ?? 2);
const SEED = Number(process.env["STREAM_SEED"] ?? 1);

const HOUR_MS = 3_600_000;
const BYTES_PER_MS = 32;
const DELAY_MS = 50;
const STREAMS = 20;
const SIZES = [1, 60, 3000, 5000, 70_000, 200_000] as const;
/** A call's reply follows its last credit. */
const REPLY_MS = 60_000;

class Model {
  nowMs = 0;
  readonly random = new Random(SEED);
  readonly a = new StreamEnd(() => this.nowMs);
  readonly b = new StreamEnd(() => this.nowMs);
  /** Number of bytes received in both directions. */
  bytes = 0;
  streams = 0;
  open = 0;
  readonly #events: { readonly atMs: number; run(): void }[] = [];
  readonly #busy = new Set<StreamEnd>();
  readonly #turning = new Set<StreamEnd>();

  at(delayMs: number, run: () => void): void {
    const atMs = this.nowMs + delayMs;
    let index = this.#events.length;
    while (index > 0 && (this.#events[index - 1] as { atMs: number }).atMs < atMs) index -= 1;
    this.#events.splice(index, 0, { atMs, run });
  }

  wait(delayMs: number): Promise<void> {
    return new Promise((resolve) => this.at(delayMs, resolve));
  }

  /** Runs until there are no more events. */
  async run(): Promise<void> {
    for (;;) {
      await settle();
      this.#work(this.a, this.b);
      this.#work(this.b, this.a);
      const event = this.#events.pop();
      if (event === undefined) return;
      this.nowMs = event.atMs;
      event.run();
    }
  }

  /** Runs streams sequentially, each with new items. */
  async again(from: StreamEnd, to: StreamEnd): Promise<void> {
    while (this.nowMs < HOURS * HOUR_MS) {
      this.streams += 1;
      this.open += 1;
      await this.#stream(from, to, this.streams);
      this.open -= 1;
      await this.wait(REPLY_MS);
    }
  }

  async #stream(from: StreamEnd, to: StreamEnd, id: number): Promise<void> {
    const count = 1 + this.random.below(100);
    const sizes = Array.from({ length: count }, () => this.random.pick(SIZES));
    const sent = from.send(id, sizes.map(itemOf));
    const call = to.called(id);
    const leavesAfter = this.random.isLucky(0.1) ? Math.floor(count / 2) : count;
    const taken: number[] = [];
    if (leavesAfter > 0) {
      for await (const item of call.input) {
        await this.#pace();
        taken.push((item as { length: number }).length);
        if (taken.length === leavesAfter && leavesAfter < count) break;
      }
    }
    expect(taken).toEqual(sizes.slice(0, leavesAfter));
    call.answered();
    await sent;
    void this.wait(REPLY_MS).then(() => from.streams.deleteCall(0, id));
  }

  /** Most consumers take an item immediately, some later, and a few sleep for minutes. */
  #pace(): Promise<void> | undefined {
    const chance = this.random.next();
    if (chance < 0.8) return undefined;
    return this.wait(chance < 0.998 ? this.random.next() * 200 : this.random.next() * 300_000);
  }

  #work(end: StreamEnd, other: StreamEnd): void {
    end.flush();
    if (end.hasTurn && !this.#turning.has(end)) {
      this.#turning.add(end);
      this.at(1, () => {
        this.#turning.delete(end);
        end.nextTurn();
      });
    }
    if (this.#busy.has(end)) return;
    const bytes = end.frame("control") ?? end.frame("data");
    if (bytes === undefined) return;
    this.#busy.add(end);
    const takesMs = bytes.length / BYTES_PER_MS;
    this.at(takesMs, () => this.#busy.delete(end));
    this.at(takesMs + DELAY_MS, () => {
      this.bytes += bytes.length;
      other.receive(bytes);
    });
  }
}

function itemOf(size: number, index: number): unknown {
  return index % 2 === 0 ? new Uint8Array(size) : "x".repeat(size);
}

test("two ends that saturate each other for hours of model time never lock up", { timeout: 600_000 }, async () => {
  const model = new Model();
  const { a, b } = model;
  for (let n = 0; n < STREAMS; n += 1) {
    void model.again(a, b).catch((error: unknown) => a.failures.push(error));
    void model.again(b, a).catch((error: unknown) => b.failures.push(error));
  }
  await model.run();
  expect([a.failures, b.failures]).toEqual([[], []]);
  expect(model.open).toBe(0);
  expect(model.nowMs).toBeGreaterThan(HOURS * HOUR_MS);
  // The lines were busy most of the time.
  expect(model.bytes).toBeGreaterThan(HOURS * HOUR_MS * BYTES_PER_MS);
  for (const { streams } of [a, b]) {
    expect([streams.heldBytes, streams.grantedBytes, streams.counts]).toEqual([0, 0, { own: 0, peer: 0 }]);
  }
});
