/** Servers and clients in tests with vitest's fake timers, which also stop the clocks. */
import { Client, Server } from "@netconduit/node";
import { afterEach, expect, test, vi } from "vitest";

const CLOCKS = ["Date", "performance"] as const;
const TIMERS = ["queueMicrotask", "setImmediate", "setTimeout", "setInterval"] as const;

afterEach(() => void vi.useRealTimers());

test("connect() and call() work while vitest fakes the timers, the microtasks and the clocks", async () => {
  vi.useFakeTimers({ toFake: [...CLOCKS, ...TIMERS, "clearTimeout", "clearInterval", "clearImmediate"] });
  const server = new Server({ password: "secret123", host: "127.0.0.1", port: 0 });
  server.rpc("echo", async (params) => params);
  await server.start();
  const client = new Client({ password: "secret123", host: "127.0.0.1", port: server.address.port });
  await client.connect();
  expect(await client.call("echo", { n: 1 })).toEqual({ n: 1 });
  expect(await Promise.all([1, 2, 3].map((n) => client.call("echo", { n })))).toEqual([{ n: 1 }, { n: 2 }, { n: 3 }]);
  await client.disconnect();
  await server.stop();
});
