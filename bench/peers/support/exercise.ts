/** Runs each operation of a peer once, and checks the result. */
import { deepEqual, equal } from "node:assert/strict";
import type { BenchClient, Certificates, Feature, Peer } from "../../lib/peer.ts";
import { mark, NEWS_TEXT, type News, pattern } from "../../lib/workload.ts";

const METHODS = 3;
const CLIENTS = 2;
const MAX_PAYLOAD_BYTES = 1024 * 1024;
/** Interval of polling a peer's connection count. */
const LOOK_AGAIN_MS = 5;

/** Starts the peer's server, connects two clients, and runs every operation once. Throws if a result is wrong. */
export async function exercise(peer: Peer, tls: Certificates | null): Promise<void> {
  const server = await peer.startServer({
    tls,
    maxConnections: CLIENTS,
    maxPayloadBytes: MAX_PAYLOAD_BYTES,
    methods: METHODS,
  });
  try {
    // The target is sent between processes as JSON.
    const target = JSON.parse(JSON.stringify(server.target)) as typeof server.target;
    const options = { tls, maxPayloadBytes: MAX_PAYLOAD_BYTES };
    const clients: BenchClient[] = [];
    for (let i = 0; i < CLIENTS; i++) clients.push(await peer.connect(target, options));
    await until(() => server.connectionCount() === CLIENTS);

    const [client] = clients as [BenchClient];
    await exerciseCalls(client, (feature) => peer.lacks[feature] === undefined);
    if (peer.lacks.broadcast === undefined) await exerciseBroadcast(clients, (news) => server.broadcast?.(news));
    for (const connected of clients) await connected.close();
    await until(() => server.connectionCount() === 0);
    // A server must close while clients are connected.
    await peer.connect(target, options);
  } finally {
    await server.close();
  }
}

async function exerciseCalls(client: BenchClient, has: (feature: Feature) => boolean): Promise<void> {
  if (has("rpc")) {
    equal(await client.call?.({ a: 40, b: 2 }), 42);
    deepEqual(await Promise.all([1, 2, 3].map((a) => client.call?.({ a, b: 0.5 }))), [1.5, 2.5, 3.5]);
  }
  if (has("methods")) equal(await client.call?.({ a: 1, b: 2 }, METHODS - 1), 3);
  if (has("request")) deepEqual({ ...(await client.request?.({ id: 7, text: "seven" })) }, { id: 7, text: "seven" });
  if (has("binary")) {
    for (const length of [0, 1, 1000, MAX_PAYLOAD_BYTES]) {
      const expected = mark(pattern(length));
      equal(await client.upload?.(pattern(length)), expected);
      equal(await client.download?.(length), expected);
    }
  }
}

async function exerciseBroadcast(clients: readonly BenchClient[], broadcast: (news: News) => void): Promise<void> {
  const sent = [1, 2, 3].map((n): News => ({ n, text: NEWS_TEXT }));
  const received = clients.map(async (client) => {
    const got: News[] = [];
    const all = Promise.withResolvers<void>();
    await client.onBroadcast?.((news) => {
      got.push({ n: news.n, text: news.text });
      if (got.length === sent.length) all.resolve();
    });
    return { got, all: all.promise };
  });
  const listening = await Promise.all(received);
  for (const news of sent) broadcast(news);
  for (const { got, all } of listening) {
    await all;
    deepEqual(got, sent);
  }
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, LOOK_AGAIN_MS));
}
