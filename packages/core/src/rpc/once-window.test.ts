import { expect, test } from "vitest";
import { ErrorCode } from "../errors.ts";
import { memoryStore } from "../store/memory-store.ts";
import { fakeRuntime } from "../test-support/fake-runtime.ts";
import { testClient, testServer } from "../test-support/peers.ts";
import { ONCE_METHOD, onceRequest } from "./once-window.ts";

test.for(["with a store", "without a store"])("$once within itself is refused %s", async (kind) => {
  const runtime = fakeRuntime();
  const resume = kind === "with a store" ? { resume: { store: memoryStore() } } : {};
  await testServer(runtime, resume, (server) => server.rpc("charge", () => 1));
  const { client } = testClient(runtime);
  await client.connect();
  const inner = { key: "k", method: ONCE_METHOD, params: { key: "l", method: "charge", params: {} } };
  const nested = client.call(ONCE_METHOD, { key: "k", method: ONCE_METHOD, params: inner });
  await expect(nested).rejects.toMatchObject({ code: ErrorCode.INVALID_PARAMS });
});

test("a message of that name is a message", () => {
  expect(onceRequest({ key: "k", type: ONCE_METHOD })).toMatchObject({ isCall: false, name: ONCE_METHOD });
});
