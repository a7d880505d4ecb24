import { expect, test } from "vitest";
import type { ClientInit } from "../../client/client.ts";
import { ErrorCode, RpcError } from "../../errors.ts";
import type { Server } from "../../server/server.ts";
import { type FakeRuntime, fakeRuntime } from "../../test-support/fake-runtime.ts";
import { testClient, testPool, testServer } from "../../test-support/peers.ts";
import { taken } from "../../test-support/topic-scene.ts";

const DELAY_MS = 3000;
/** Time after which the client has reconnected. */
const BACK_MS = DELAY_MS + 500;

/** Connects a client that reconnects after 3 s. */
async function scene(options: Partial<ClientInit> = {}) {
  const runtime = fakeRuntime();
  const { server } = await testServer(runtime, { resume: true });
  const reconnect = { delayMs: DELAY_MS, maxDelayMs: DELAY_MS, jitter: false };
  const { client, errors } = testClient(runtime, { resume: true, reconnect, ...options });
  await client.connect();
  return { runtime, server, client, errors };
}

async function cut(runtime: FakeRuntime): Promise<void> {
  runtime.pairs.at(-1)?.dialled.destroy(null);
  await runtime.settle();
}

test("a subscription made while there is no stream starts when the session continues", async () => {
  const { runtime, server, client } = await scene();
  const topic = server.topic("news");
  await cut(runtime);
  const subscription = client.subscribe("news");
  await runtime.advance(BACK_MS);
  topic.publish(1);
  await runtime.settle();
  expect(await taken(subscription)).toEqual([1]);
  expect(server.connections[0]?.resumes).toBe(1);
});

test("a subscription starts also if there is no stream for longer than rpcTimeoutMs", async () => {
  const { runtime, server, client, errors } = await scene({ rpcTimeoutMs: 500 });
  const topic = server.topic("news");
  await cut(runtime);
  const subscription = client.subscribe("news");
  await runtime.advance(BACK_MS);
  topic.publish(1);
  await runtime.settle();
  expect(await taken(subscription)).toEqual([1]);
  expect(errors).toEqual([]);
});

test.each([500, 30_000])(
  "a subscription closed while there is no stream ends at the server too, with rpcTimeoutMs %d",
  async (rpcTimeoutMs) => {
    const { runtime, server, client, errors } = await scene({ rpcTimeoutMs });
    const topic = server.topic("news");
    const subscription = client.subscribe("news");
    await runtime.settle();
    expect(topic.subscribers).toEqual(server.connections);
    await cut(runtime);
    await subscription.close();
    await runtime.advance(BACK_MS);
    expect(server.connections[0]?.resumes).toBe(1);
    expect(topic.subscribers).toEqual([]);
    expect(errors).toEqual([]);
  },
);

test("a subscription that was refused for now is asked for again, also while there is no stream", async () => {
  let asked = 0;
  const { runtime, server, client } = await scene();
  const topic = server.topic("news", {
    authorize: () => {
      asked += 1;
      if (asked > 1) return true;
      throw new RpcError(ErrorCode.RATE_LIMITED, "Later", { details: { retry_after: 1 } });
    },
  });
  const subscription = client.subscribe("news");
  await runtime.settle();
  expect(asked).toBe(1);
  await cut(runtime);
  await runtime.advance(BACK_MS);
  topic.publish(1);
  await runtime.settle();
  expect(await taken(subscription)).toEqual([1]);
});

test("a subscription of a pool that moves to another server ends at the first one when its session continues", async () => {
  const runtime = fakeRuntime();
  const one = (await testServer(runtime, { port: 1, resume: true })).server;
  const two = (await testServer(runtime, { port: 2, resume: true })).server;
  const news = [one.topic("news"), two.topic("news")];
  const { pool } = testPool(runtime, [1, 2], { resume: true });
  await pool.connect({ all: true });
  const subscription = pool.subscribe("news");
  await subscription.ready;
  const [first, second] = news[0]?.size === 1 ? [one, two] : [two, one];
  const at = runtime.dials.findIndex(({ target }) => target.port === first.address.port);
  runtime.pairs[at]?.dialled.destroy(null);
  await runtime.advance(500);
  expect(first.connections.map(({ resumes }) => resumes)).toEqual([1]);
  const subscribers = (server: Server) => news[server === one ? 0 : 1]?.subscribers.length;
  expect([subscribers(first), subscribers(second)]).toEqual([0, 1]);
});
