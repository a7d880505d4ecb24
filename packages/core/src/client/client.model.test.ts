/** Random events at a client and a server in any order. In the end everything has settled and nothing is leaked. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { ConduitError, ErrorCode, RpcError } from "../errors.ts";
import { fakeRuntime } from "../test-support/fake-runtime.ts";
import { type Outcome, outcome, testClient, testServer } from "../test-support/peers.ts";

interface Options {
  readonly resume: boolean;
  readonly queues: boolean;
  readonly leaveEarly: boolean;
}

const untilAborted = (signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => signal.addEventListener("abort", () => resolve()));

async function scene({ resume, queues, leaveEarly }: Options) {
  const runtime = fakeRuntime();
  const received: number[] = [];
  const outcomes: [what: string, Outcome<unknown>][] = [];
  const watch = (what: string, promise: Promise<unknown>): void => void outcomes.push([what, outcome(promise)]);
  let connectHook: () => unknown = () => undefined;
  const times = { connectionTimeoutMs: 2000, closeTimeoutMs: 500 };
  const { server } = await testServer(runtime, resume ? { ...times, resume: { windowMs: 5000 } } : times, (made) => {
    made.on("n", (_connection, n) => void received.push(n as number));
    made.on("acknowledged", () => undefined);
    made.rpc("echo", (params) => params);
    made.rpc("slow", (_params, { signal }) => untilAborted(signal));
    made.stream("items", async function* (_params, { signal }) {
      yield 1;
      await untilAborted(signal);
    });
    made.topic("news");
    made.onClientConnect(() => connectHook());
    made.onClientResume(() => connectHook());
  });
  const { client, errors } = testClient(runtime, {
    resume,
    closeTimeoutMs: 500,
    connectTimeoutMs: 3000,
    queueWhileDisconnected: queues ? "send" : "reject",
    reconnect: { delayMs: 50, jitter: false, leaveEarly },
  });
  let sent = 0;
  const removes: (() => void)[] = [];
  const atNextState = (task: () => void): void => {
    const remove = client.onStateChange(() => {
      remove();
      task();
    });
    removes.push(remove);
  };
  const steps: Readonly<Record<string, () => unknown>> = {
    connect: () => watch("connect", client.connect()),
    close: () => watch("close", client.close()),
    connectAtNextState: () => atNextState(() => watch("connect", client.connect())),
    closeAtNextState: () => atNextState(() => watch("close", client.close())),
    connected: () => watch("connected", client.connected({ timeoutMs: 3000 })),
    cut: () => runtime.pairs.at(-1)?.accepted.destroy(null),
    settle: () => runtime.settle(),
    advance: () => runtime.advance(300),
    send: () => client.send("n", sent++),
    sendAcknowledged: () => watch("ack", client.send("acknowledged", 1, { ack: { attempts: 3, timeoutMs: 500 } })),
    call: () => watch("call", client.call("echo", { a: 1 })),
    callSlow: () => watch("slow call", client.call("slow", {}, { timeoutMs: 4000 })),
    stream: () => {
      const items = client.stream("items");
      watch(
        "stream",
        items.next().then(() => items.next()),
      );
    },
    subscribe: () => watch("subscribe", client.subscribe("news").ready),
    serverCloses: () => void server.connections[0]?.close("Elsewhere", { reconnect: true }),
    start: () => watch("start", server.start()),
    stop: () => watch("stop", server.stop({ drainMs: 0 })),
    drain: () => watch("stop", server.stop({ drainMs: 1000 })),
    letIn: () => {
      connectHook = () => undefined;
    },
    letInSlowly: () => {
      connectHook = () => new Promise((resolve) => void runtime.setTimer(() => resolve(0), 500, false));
    },
    refuse: () => {
      connectHook = () => Promise.reject(new RpcError(7001, "Not you"));
    },
  };
  const end = async (): Promise<void> => {
    for (const remove of removes) remove();
    watch("close", client.close());
    watch("stop", server.stop({ drainMs: 0 }));
    await runtime.advance(20_000);
  };
  return { runtime, server, client, errors, received, outcomes, steps, end };
}

type Scene = Awaited<ReturnType<typeof scene>>;

/** Whether an operation may fail with this error. Only a start may happen in the wrong state. */
function isExpected(what: string, { error }: Outcome<unknown>): boolean {
  if (error === undefined) return true;
  return error instanceof ConduitError && (what === "start" || error.code !== ErrorCode.INVALID_STATE);
}

const names = [
  ...["connect", "close", "connectAtNextState", "closeAtNextState", "connected", "cut", "settle", "advance", "send"],
  ...["sendAcknowledged", "call", "callSlow", "stream", "subscribe", "serverCloses", "start", "stop", "drain", "letIn"],
  ...["letInSlowly", "refuse", "connect", "start", "cut", "cut", "settle", "advance", "send"],
] satisfies (keyof Scene["steps"])[];

test("after any events in any order, everything settles once, messages arrive once and in order, and nothing is leaked", async () => {
  const options = fc.record({ resume: fc.boolean(), queues: fc.boolean(), leaveEarly: fc.boolean() });
  const plan = fc.array(fc.constantFrom(...names), { minLength: 5, maxLength: 40 });
  await fc.assert(
    fc.asyncProperty(plan, options, async (steps, given) => {
      const the = await scene(given);
      for (const name of ["connect", "settle", ...steps]) {
        try {
          await the.steps[name]?.();
        } catch (error) {
          // A message that can't be sent is rejected immediately.
          expect(error).toBeInstanceOf(ConduitError);
        }
      }
      await the.end();
      expect(the.outcomes.filter(([, { settled }]) => settled !== 1)).toEqual([]);
      expect(the.outcomes.filter(([what, ended]) => !isExpected(what, ended))).toEqual([]);
      expect(the.errors.filter(({ code }) => code === ErrorCode.INVALID_STATE || code === 0)).toEqual([]);
      expect([the.client.state, the.server.state, the.server.connectionCount]).toEqual(["closed", "stopped", 0]);
      expect(the.received).toEqual([...new Set(the.received)].sort((a, b) => a - b));
      expect(the.runtime.timers.keepingAlive).toBe(0);
    }),
    { numRuns: 150 },
  );
});
