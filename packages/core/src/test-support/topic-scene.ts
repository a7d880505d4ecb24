import type { Client, ClientInit } from "../client/client.ts";
import type { Subscription } from "../client/topics/subscription.ts";
import { TOPIC_DATA_FRAME, TOPIC_START_FRAME, TOPIC_SUBSCRIBE } from "../extensions/topics/topic.ts";
import type { Connection } from "../server/connection.ts";
import type { ServerInit } from "../server/server.ts";
import { fakeRuntime } from "./fake-runtime.ts";
import { testClient, testServer } from "./peers.ts";
import { type MemoryPeer, rawClient } from "./raw-memory.ts";
import { EXTENSIONS } from "./raw-peer.ts";

/** A server on a fake runtime, and functions that connect clients to it. */
export async function topicScene(options: Partial<ServerInit> = {}) {
  const runtime = fakeRuntime();
  const { server, errors, port } = await testServer(runtime, options);
  const join = async (clientOptions: Partial<ClientInit> = {}): Promise<Client> => {
    const { client } = testClient(runtime, { reconnect: { jitter: false, delayMs: 100 }, ...clientOptions });
    await client.connect();
    return client;
  };
  /** Connects a raw client and subscribes it. */
  const raw = async (topic: string): Promise<MemoryPeer> => {
    const peer = await rawClient(runtime, port, { extensions: [...EXTENSIONS, "topic"] });
    peer.call(TOPIC_SUBSCRIBE, { topic });
    await peer.next(TOPIC_START_FRAME);
    return peer;
  };
  const connectionOf = (client: Client): Connection =>
    server.connections.find(({ session }) => session.token === client.sessionToken) as Connection;
  return { runtime, server, errors, port, join, raw, connectionOf };
}

/** Removes and returns the messages that have arrived. */
export async function taken<T>(subscription: Subscription<T>): Promise<T[]> {
  const items: T[] = [];
  while (subscription.waiting > 0) items.push((await subscription.next()).value as T);
  return items;
}

/** Returns the data of the TOPIC_DATA frames that have arrived. */
export async function dataOf(peer: MemoryPeer): Promise<unknown[]> {
  const frames = await peer.received();
  return frames.filter(({ type }) => type === TOPIC_DATA_FRAME).map(({ payload }) => payload?.["data"]);
}
