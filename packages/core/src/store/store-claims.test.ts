import { expect, test } from "vitest";
import { ErrorCode } from "../errors.ts";
import { Server } from "../server/server.ts";
import { type FakeRuntime, fakeRuntime } from "../test-support/fake-runtime.ts";
import { outcome } from "../test-support/peers.ts";
import { memoryStore } from "./memory-store.ts";
import type { Store } from "./store.ts";

function serverWith(runtime: FakeRuntime, store: Store, port: number): Server {
  return new Server({ password: "secret123", scramIterations: 4096, host: "test", port, resume: { store } }, runtime);
}

const IN_USE = { code: ErrorCode.STORE_IN_USE };

test("A store that isn't shared is for one running server: a second one starts when the first has stopped", async () => {
  const runtime = fakeRuntime();
  const store = memoryStore();
  const [first, second] = [serverWith(runtime, store, 8080), serverWith(runtime, store, 8081)];
  await first.start();
  await expect(second.start()).rejects.toMatchObject(IN_USE);
  expect([first.state, second.state]).toEqual(["running", "stopped"]);
  await first.stop();
  await second.start();
  await expect(first.start()).rejects.toMatchObject(IN_USE);
  await second.stop();
  await first.start();
  await first.stop();
});

test("A server that fails to start, or is stopped while it starts, leaves its store to others", async () => {
  const runtime = fakeRuntime();
  const store = memoryStore();
  const [first, second] = [serverWith(runtime, store, 8080), serverWith(runtime, store, 8081)];
  const remove = first.onStartup(() => {
    throw new Error("No");
  });
  await expect(first.start()).rejects.toThrow("No");
  remove();
  const stopped = outcome(first.start());
  await first.stop();
  await runtime.settle();
  expect(stopped.error?.code).toBe(ErrorCode.INVALID_STATE);
  await second.start();
  await second.stop();
});

test("A server that is started again while its earlier start ends keeps its store", async () => {
  const runtime = fakeRuntime();
  const store = memoryStore();
  const [first, second] = [serverWith(runtime, store, 8080), serverWith(runtime, store, 8081)];
  const stopped = outcome(first.start());
  await first.stop();
  await first.start();
  expect(stopped.state).toBe("rejected");
  await expect(second.start()).rejects.toMatchObject(IN_USE);
  await first.stop();
});

test("A store that is shared is for any number of servers", async () => {
  const runtime = fakeRuntime();
  const store: Store = Object.assign(memoryStore(), { isShared: true });
  const servers = [serverWith(runtime, store, 8080), serverWith(runtime, store, 8081)];
  for (const server of servers) await server.start();
  for (const server of servers) await server.stop();
  expect(servers.map(({ state }) => state)).toEqual(["stopped", "stopped"]);
});
