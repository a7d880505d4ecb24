import { expect, test } from "vitest";
import { MAX_RETRY_AFTER_MS } from "../limits.ts";
import { clientAtRawServer } from "../test-support/peers.ts";
import { DRAIN_FRAME, DRAINED_FRAME } from "./drain.ts";

test("a server that repeats DRAIN, with times out of bounds, is answered once, and hooks are notified of bounded times once", async () => {
  const { runtime, client, peer } = await clientAtRawServer({ extensions: { drain: true } });
  const notices: unknown[] = [];
  client.onDrain((_client, notice) => void notices.push(notice));
  for (let count = 0; count < 3; count += 1) peer.send(DRAIN_FRAME, { ends_in_ms: 1e15, retry_after_ms: -1 });
  await runtime.settle();
  expect(notices).toEqual([{ endsInMs: MAX_RETRY_AFTER_MS, retryAfterMs: 0 }]);
  expect(peer.frames.all.filter(({ type }) => type === DRAINED_FRAME)).toHaveLength(1);
});
