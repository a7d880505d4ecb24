import { expect, test } from "vitest";
import { fakeRuntime } from "../test-support/fake-runtime.ts";
import { testServer } from "../test-support/peers.ts";
import { rawClient } from "../test-support/raw-memory.ts";
import { EXTENSIONS } from "../test-support/raw-peer.ts";
import { REFUSED_FRAME } from "./refusal.ts";

test("a peer that claims 2^53 - 1 refused messages is reported with 1,000,000", async () => {
  const runtime = fakeRuntime();
  const counts: unknown[] = [];
  const { port } = await testServer(runtime, {}, (server) =>
    server.onError((_failure, { count }) => counts.push(count)),
  );
  const peer = await rawClient(runtime, port, {
    extensions: Object.fromEntries([...EXTENSIONS, "refusal"].map((name) => [name, true])),
  });
  const refused = { name: "t", code: 1, error: "no", count: Number.MAX_SAFE_INTEGER };
  for (let sent = 0; sent < 3; sent += 1) peer.send(REFUSED_FRAME, refused);
  await runtime.settle();
  peer.reset();
  await runtime.settle();
  expect(counts).toEqual([1_000_000, 1_000_000]);
});

test("control characters in texts of REFUSED, which could pass for lines of a log, are shown as spaces", async () => {
  const runtime = fakeRuntime();
  const failures: unknown[] = [];
  const { port } = await testServer(runtime, {}, (server) => server.onError((failure) => failures.push(failure)));
  const peer = await rawClient(runtime, port, {
    extensions: Object.fromEntries([...EXTENSIONS, "refusal"].map((name) => [name, true])),
  });
  peer.send(REFUSED_FRAME, {
    name: "a\nb",
    code: 1,
    error: "no\r\n[root] logged in\u001b[2J",
    failure_id: "x\ny",
    count: 1,
  });
  await runtime.settle();
  expect(failures).toMatchObject([
    { message: "no  [root] logged in [2J", method: "a b", details: { failure_id: "x y" } },
  ]);
});
