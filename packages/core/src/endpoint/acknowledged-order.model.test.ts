/** Messages with `ack` whose receiver stalls and whose connection is lost at any moment: all are handled once and in order. */
import fc from "fast-check";
import { expect, onTestFinished, test, vi } from "vitest";
import { ErrorCode } from "../errors.ts";
import { fakeRuntime } from "../test-support/fake-runtime.ts";
import { type Gate, gate } from "../test-support/gate.ts";
import { type Outcome, outcome, testClient, testServer } from "../test-support/peers.ts";
import { Random } from "../test-support/random.ts";

interface Options {
  readonly resume: boolean;
  readonly receiveQueueSize: number;
  readonly sendQueueSize: number;
  /** Seed of the delays. */
  readonly seed: number;
}

async function scene({ resume, seed, ...queues }: Options) {
  const random = new Random(seed);
  vi.spyOn(Math, "random").mockImplementation(() => random.next());
  const runtime = fakeRuntime();
  const handled: number[] = [];
  const sent: Outcome<unknown>[] = [];
  const blocking: Outcome<unknown>[] = [];
  const gates: Gate[] = [];
  const options = { handlerConcurrency: 1, resume: resume ? { windowMs: 60_000 } : false, ...queues };
  await testServer(runtime, options, (made) => {
    made.on("order", (_connection, n) => void handled.push(n as number));
    made.rpc("block", () => {
      const open = gate();
      gates.push(open);
      return open.promise;
    });
  });
  const reconnect = { delayMs: 50, jitter: false };
  const { client } = testClient(runtime, { resume, reconnect, sendQueueSize: queues.sendQueueSize });
  await client.connect();
  const steps: Readonly<Record<string, () => unknown>> = {
    send: () => {
      // Some have a shorter timeout than earlier messages.
      const timeoutMs = 50 + 100 * (sent.length % 4);
      const ack = { timeoutMs, delayMs: 200, attempts: 10_000 };
      sent.push(outcome(client.send("order", sent.length, { ack })));
    },
    block: () => void blocking.push(outcome(client.call("block", {}, { timeoutMs: 0 }))),
    unblock: () => gates.shift()?.open(),
    cut: () => runtime.pairs.at(-1)?.dialled.destroy(null),
    settle: () => runtime.settle(),
    advance: () => runtime.advance(30),
    advanceLong: () => runtime.advance(400),
  };
  const end = async (): Promise<void> => {
    const arePending = (): boolean => [...sent, ...blocking].some(({ state }) => state === "pending");
    // Blocking calls wait for each other.
    for (let round = 0; round < 50 && (arePending() || gates.length > 0); round += 1) {
      for (const { open } of gates.splice(0)) open();
      await runtime.advance(2000);
    }
  };
  return { handled, sent, steps, end };
}

const names = ["send", "send", "send", "block", "block", "unblock", "cut", "settle", "advance", "advanceLong"];

test("messages with ack are handled once and in order, whenever the receiver stalls and the connection is lost", async () => {
  onTestFinished(() => void vi.restoreAllMocks());
  const options = fc.record({
    resume: fc.boolean(),
    receiveQueueSize: fc.constantFrom(1, 3, 100),
    sendQueueSize: fc.constantFrom(5, 1000),
    seed: fc.nat(),
  });
  const plan = fc.array(fc.constantFrom(...names), { minLength: 10, maxLength: 60 });
  await fc.assert(
    fc.asyncProperty(plan, options, async (steps, given) => {
      const the = await scene(given);
      for (const name of steps) await the.steps[name]?.();
      await the.end();
      const refused = the.sent.filter(({ state }) => state !== "resolved");
      expect(refused.filter(({ error }) => error?.code !== ErrorCode.SEND_QUEUE_FULL)).toEqual([]);
      const accepted = the.sent.flatMap(({ state }, n) => (state === "resolved" ? [n] : []));
      expect(the.handled).toEqual(accepted);
    }),
    { numRuns: 100 },
  );
});
