import { expect, test } from "vitest";
import { ErrorCode } from "../errors.ts";
import type { HandlerContext } from "../rpc/incoming-request.ts";
import { fakeRuntime } from "../test-support/fake-runtime.ts";
import { gate } from "../test-support/gate.ts";
import { outcome, testClient, testServer } from "../test-support/peers.ts";

const SERVER_STOPPING = { code: ErrorCode.SERVER_STOPPING };

/** Resolves when the signal is aborted. */
function fired(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
}

test("a stream that would continue forever returns when the server begins to stop, which then needn't wait", async () => {
  const runtime = fakeRuntime();
  const { server } = await testServer(runtime, { drainMs: 60_000 }, (made) => {
    made.stream("ticks", async function* (_params, { draining }) {
      for (let n = 0; !draining.aborted; n += 1) {
        yield n;
        if (n === 2) await fired(draining);
      }
    });
  });
  const { client } = testClient(runtime);
  await client.connect();
  const items: unknown[] = [];
  const reading = outcome(
    (async () => {
      for await (const item of client.stream("ticks")) items.push(item);
    })(),
  );
  await runtime.settle();
  const stopping = outcome(server.stop());
  await runtime.settle();
  expect([items, reading.state, stopping.state]).toEqual([[0, 1, 2], "resolved", "resolved"]);
});

test("the signal of draining fires on both sides, before that of the handler, with SERVER_STOPPING", async () => {
  const runtime = fakeRuntime();
  const contexts: HandlerContext<unknown>[] = [];
  const go = gate();
  const wait = async (_params: unknown, context: HandlerContext<unknown>): Promise<string> => {
    contexts.push(context);
    context.draining.addEventListener("abort", () => seen.push([context.draining.reason, context.signal.aborted]));
    await go.promise;
    return "finished";
  };
  const seen: unknown[] = [];
  const { server } = await testServer(runtime, {}, (made) => made.rpc("wait", wait));
  const { client } = testClient(runtime);
  client.rpc("wait", wait);
  await client.connect();
  const call = outcome(client.call("wait"));
  server.connections[0]?.call("wait").catch(() => undefined);
  await runtime.settle();
  expect(contexts.map(({ draining }) => draining.aborted)).toEqual([false, false]);
  const stopping = server.stop();
  await runtime.settle();
  expect(seen).toMatchObject([
    [SERVER_STOPPING, false],
    [SERVER_STOPPING, false],
  ]);
  go.open();
  await runtime.settle();
  await stopping;
  expect(call.value).toBe("finished");
});

test("a handler that asks for the signal only when the server is stopping gets one that has fired", async () => {
  const runtime = fakeRuntime();
  const go = gate();
  const { server } = await testServer(runtime, {}, (made) => {
    made.rpc("late", async (_params, context) => {
      await go.promise;
      return context.draining.aborted;
    });
  });
  const { client } = testClient(runtime);
  await client.connect();
  const call = outcome(client.call("late"));
  await runtime.settle();
  const stopping = server.stop();
  await runtime.settle();
  go.open();
  await runtime.settle();
  await stopping;
  expect(call.value).toBe(true);
});

test("the signal of draining doesn't fire when the connection ends by itself", async () => {
  const runtime = fakeRuntime();
  let signal: AbortSignal | undefined;
  await testServer(runtime, {}, (made) => {
    made.rpc("wait", (_params, { draining }) => {
      signal = draining;
      return new Promise(() => undefined);
    });
  });
  const { client } = testClient(runtime);
  await client.connect();
  const call = outcome(client.call("wait"));
  await runtime.settle();
  await client.close();
  await runtime.settle();
  expect([call.state, signal?.aborted]).toEqual(["rejected", false]);
});
