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

test.each([{ params: [] }, { params: "text" }, { params: 1 }])(
  "$params as params is refused, as by any call",
  ({ params }) => {
    const refused = expect.objectContaining({ code: ErrorCode.INVALID_PARAMS });
    expect(() => onceRequest({ key: "k", method: "charge", params })).toThrow(refused);
  },
);

test("a name that no method and no message has is refused by its length, before it is remembered", () => {
  const longest = "m".repeat(1024);
  expect(onceRequest({ key: "k", method: longest })).toMatchObject({ isCall: true, name: longest });
  expect(onceRequest({ key: "k", type: longest })).toMatchObject({ isCall: false, name: longest });
  for (const named of [{ method: `${longest}m` }, { type: `${longest}m` }]) {
    expect(() => onceRequest({ key: "k", ...named })).toThrow(
      expect.objectContaining({ code: ErrorCode.INVALID_PARAMS }),
    );
  }
});
