import { expect, test } from "vitest";
import type { HandlerContext } from "../rpc/incoming-request.ts";
import { fakeRuntime } from "../test-support/fake-runtime.ts";
import { outcome, testClient, testServer } from "../test-support/peers.ts";
import { withParent } from "./nested-call.ts";

/** Returns the context of a handler whose caller has this timeout. */
async function contextOf(timeoutMs: number, signal?: AbortSignal) {
  const runtime = fakeRuntime();
  const contexts: HandlerContext<unknown>[] = [];
  await testServer(runtime, {}, (server) => {
    server.rpc("outer", (_params, context) => {
      contexts.push(context);
      return new Promise(() => undefined);
    });
  });
  const { client } = testClient(runtime);
  await client.connect();
  outcome(client.call("outer", {}, { timeoutMs, signal }));
  await runtime.settle();
  return { runtime, parent: contexts[0] as HandlerContext<unknown> };
}

test.each([
  ["its own timeout, if that is shorter", 1000, 400, 400],
  ["its caller's, if that is shorter", 1000, 4000, 1000],
  ["its caller's, if it has none", 1000, undefined, 1000],
  ["its caller's, also if it is to wait without a limit", 1000, 0, 1000],
  ["its own, if its caller waits without a limit", 0, 400, 400],
  ["no limit, if neither has one", 0, 0, 0],
])("a nested call has %s", async (_, outer, inner, expected) => {
  const { parent } = await contextOf(outer);
  expect(withParent("inner", { parent, timeoutMs: inner })?.timeoutMs).toBe(expected);
});

test("a nested call has the time that is left", async () => {
  const { runtime, parent } = await contextOf(1000);
  await runtime.advance(300);
  expect(withParent("inner", { parent, timeoutMs: undefined })?.timeoutMs).toBe(700);
});

test.each(["its own signal", "its caller"])("a nested call is cancelled by %s", async (by) => {
  const [outer, own] = [new AbortController(), new AbortController()];
  const { runtime, parent } = await contextOf(1000, outer.signal);
  const signal = withParent("inner", { parent, signal: own.signal })?.signal;
  expect(signal?.aborted).toBe(false);
  (by === "its caller" ? outer : own).abort();
  await runtime.settle();
  expect(signal?.aborted).toBe(true);
});

test("a call for a caller that has given up isn't made", async () => {
  const outer = new AbortController();
  const { runtime, parent } = await contextOf(1000, outer.signal);
  outer.abort();
  await runtime.settle();
  expect(() => withParent("inner", { parent })).toThrow(expect.objectContaining({ codeName: "CANCELLED" }));
});
