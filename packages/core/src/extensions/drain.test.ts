import { expect, test } from "vitest";
import { MAX_RETRY_AFTER_MS } from "../limits.ts";
import { fakeRuntime } from "../test-support/fake-runtime.ts";
import { testClient } from "../test-support/peers.ts";
import { RawServer } from "../test-support/raw-memory.ts";
import { DRAIN_FRAME, DRAINED_FRAME } from "./drain.ts";

test("a server that repeats DRAIN, with times out of bounds, is answered once, and hooks hear of bounded times once", async () => {
  const runtime = fakeRuntime();
  const raw = await RawServer.start(runtime);
  const { client } = testClient(runtime);
  const notices: unknown[] = [];
  client.onDrain((_client, notice) => void notices.push(notice));
  const connected = client.connect();
  const peer = await raw.admit({ extensions: { drain: true } });
  await connected;
  for (let count = 0; count < 3; count += 1) peer.send(DRAIN_FRAME, { ends_in_ms: 1e15, retry_after_ms: -1 });
  await runtime.settle();
  expect(notices).toEqual([{ endsInMs: MAX_RETRY_AFTER_MS, retryAfterMs: 0 }]);
  expect(peer.frames.all.filter(({ type }) => type === DRAINED_FRAME)).toHaveLength(1);
});
