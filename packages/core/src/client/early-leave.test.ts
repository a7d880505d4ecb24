import { expect, onTestFinished, test, vi } from "vitest";
import { memoryPair } from "../bytes/memory-pair.ts";
import type { ServerInit } from "../server/server.ts";
import { fakeRuntime } from "../test-support/fake-runtime.ts";
import { gate } from "../test-support/gate.ts";
import { outcome, testClient, testServer } from "../test-support/peers.ts";

const RECONNECT = { delayMs: 10, maxDelayMs: 10, jitter: false, leaveEarly: true };

/** Starts two servers behind one address, with a client of each kind at the first. New connections lead to the second. */
async function scene(options: Partial<ServerInit> = {}, client: object = {}) {
  const runtime = fakeRuntime();
  const { server, port } = await testServer(runtime, options);
  const { client: patient } = testClient(runtime, { port });
  const { client: mover } = testClient(runtime, { port, reconnect: RECONNECT, ...client });
  await patient.connect();
  await mover.connect();
  const { server: next, port: nextPort } = await testServer(runtime, { ...options, port: 40_999 });
  const reasons: string[] = [];
  mover.onDisconnect((_client, { codeName }) => void reasons.push(codeName));
  const dial = runtime.connect.bind(runtime);
  const leads = { to: nextPort };
  runtime.connect = (target, signal) => dial({ ...target, port: leads.to }, signal);
  /** The first server handles a call of the patient client until `open` is open. */
  const open = gate();
  server.rpc("slow", () => open.promise);
  const call = outcome(patient.call("slow", {}, { timeoutMs: 0 }));
  await runtime.settle();
  return { runtime, server, next, leads, patient, mover, reasons, open, call };
}

test("a client moves from a stopping server to another while the former still answers others", async () => {
  const { runtime, server, next, patient, mover, reasons, open, call } = await scene();
  const stopped = outcome(server.stop({ drainMs: 20_000 }));
  await runtime.advance(1000);
  expect([reasons, mover.state, next.connectionCount]).toEqual([["SERVER_STOPPING"], "active", 1]);
  expect([patient.state, call.state, stopped.state]).toEqual(["draining", "pending", "pending"]);
  open.open();
  await runtime.advance(1000);
  expect([call.state, stopped.state]).toEqual(["resolved", "resolved"]);
});

test.each([0.25, 0.999])(
  "a client leaves at a random time in the first half of the server's drain time: at %d of it",
  async (part) => {
    const random = vi.spyOn(Math, "random").mockReturnValue(part);
    onTestFinished(() => random.mockRestore());
    const { runtime, server, mover, reasons } = await scene({}, { reconnect: { ...RECONNECT, jitter: true } });
    void server.stop({ drainMs: 4000 });
    await runtime.advance(part * 2000 - 100);
    expect([reasons, mover.state]).toEqual([[], "draining"]);
    await runtime.advance(200);
    expect([reasons, mover.state]).toEqual([["SERVER_STOPPING"], "active"]);
  },
);

test("a client stays while calls of either side are in progress", async () => {
  const { runtime, server, next, mover } = await scene();
  const [ours, theirs] = [gate(), gate()];
  server.rpc("own", () => ours.promise);
  mover.rpc("ask", () => theirs.promise);
  const asked = outcome(server.connections[1]?.call("ask", {}, { timeoutMs: 0 }) ?? Promise.reject());
  const own = outcome(mover.call("own", {}, { timeoutMs: 0 }));
  await runtime.settle();
  void server.stop({ drainMs: 20_000 });
  await runtime.advance(1000);
  expect([mover.state, next.connectionCount]).toEqual(["draining", 0]);
  ours.open();
  await runtime.advance(1000);
  expect([own.state, next.connectionCount]).toEqual(["resolved", 0]);
  theirs.open();
  await runtime.advance(1000);
  expect([asked.state, next.connectionCount]).toEqual(["resolved", 1]);
});

test("a resuming client stays until its messages have been handled, and new messages go to the next server", async () => {
  const options = { resume: true, queueWhileDisconnected: "send" };
  const { runtime, server, next, mover, reasons } = await scene({ resume: true }, options);
  const handled: unknown[] = [];
  const hold = gate();
  server.on("n", async (_client, n) => {
    await hold.promise;
    handled.push(n);
  });
  next.on("n", (_client, n) => void handled.push(n));
  mover.send("n", 1);
  await runtime.settle();
  void server.stop({ drainMs: 20_000 });
  await runtime.advance(2000);
  mover.send("n", 2);
  expect([mover.state, reasons, handled]).toEqual(["draining", [], []]);
  hold.open();
  await runtime.advance(2000);
  expect([mover.state, reasons, handled]).toEqual(["active", ["SERVER_STOPPING"], [1, 2]]);
});

test("a client that loses its stream while leaving still leaves early, even if its first login fails", async () => {
  const { runtime, server, next, leads, mover } = await scene({ resume: true }, { resume: true });
  const hold = gate();
  server.rpc("own", () => hold.promise);
  const own = outcome(mover.call("own", {}, { timeoutMs: 0 }));
  await runtime.settle();
  const { to } = leads;
  leads.to = server.address.port;
  void server.stop({ drainMs: 20_000 });
  await runtime.settle();
  expect(mover.state).toBe("draining");
  runtime.dialBehaviours.push(async () => {
    const [near, far] = memoryPair();
    far.destroy(null);
    return near;
  });
  runtime.pairs[1]?.dialled.destroy(null);
  await runtime.advance(1000);
  expect([runtime.dials.length, mover.state]).toEqual([4, "draining"]);
  leads.to = to;
  hold.open();
  await runtime.advance(2000);
  expect([own.state, mover.state, next.connectionCount]).toEqual(["resolved", "active", 1]);
});

test("a client without the option stays until the server closes the connection", async () => {
  const { runtime, server, next, mover } = await scene({}, { reconnect: { ...RECONNECT, leaveEarly: false } });
  void server.stop({ drainMs: 20_000 });
  await runtime.advance(10_000);
  expect([mover.state, next.connectionCount]).toEqual(["draining", 0]);
});

test("a client respects the server's delay before reconnecting, even if it leaves early", async () => {
  const { runtime, server, next } = await scene();
  void server.stop({ drainMs: 20_000, retryAfterMs: 5000 });
  await runtime.advance(4900);
  expect(next.connectionCount).toBe(0);
  await runtime.advance(500);
  expect(next.connectionCount).toBe(1);
});
