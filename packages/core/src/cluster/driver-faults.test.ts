/** Drivers that violate their contract or whose link ends at an unfortunate time. */

import { expect, test } from "vitest";
import { ErrorCode } from "../errors.ts";
import { clusterScene, firstIdOf, idsOf, type TestNode } from "../test-support/cluster-scene.ts";
import { outcome } from "../test-support/peers.ts";
import type { ClusterDriver, ClusterLink } from "./driver.ts";

const LIMITS = { heartbeatMs: 100, nodeTimeoutMs: 300 };
const BROKEN = new Error("the driver is broken");

type Change = (link: ClusterLink) => Partial<ClusterLink>;

/** Starts node b, and node a with a modified link. */
async function scene(change: Change) {
  const all = clusterScene({}, LIMITS);
  const errors: unknown[] = [];
  const inner = all.cluster.driver({ nodeId: "a", ...LIMITS });
  const cluster: ClusterDriver = {
    ...inner,
    async start(host) {
      const link = await inner.start(host);
      return new Proxy(link, {
        get(_target, key) {
          const value = change(link)[key as keyof ClusterLink] ?? link[key as keyof ClusterLink];
          return typeof value === "function" ? (value as () => unknown).bind(link) : value;
        },
      });
    },
  };
  const b = await all.node("b");
  const a = await all.node("a", { cluster }, (server) => {
    server.onError((error) => errors.push(error));
  });
  await all.runtime.settle();
  return { all, a, b, errors };
}

async function stop(all: Awaited<ReturnType<typeof scene>>["all"], { server }: TestNode): Promise<unknown> {
  const stopped = outcome(server.stop());
  await all.runtime.advance(5000);
  return stopped.state;
}

test("A publish that throws counts as rejected and is reported; heartbeats continue and calls settle", async () => {
  let isBroken = false;
  const { all, a, b, errors } = await scene((link) => ({
    publish(address, payload) {
      if (isBroken) throw BROKEN;
      return link.publish(address, payload);
    },
  }));
  const client = await b.join();
  client.rpc("never", () => new Promise(() => undefined));
  const peer = a.server.peer(firstIdOf(b));
  const late = outcome(peer.call("never", {}, { timeoutMs: 50 }));
  isBroken = true;
  await expect(peer.call("never")).rejects.toMatchObject({ code: ErrorCode.CLUSTER_UNAVAILABLE });
  expect(a.server.broadcast("news", 1)).toBe(0);
  await all.runtime.advance(1000);
  expect(late.error?.code).toBe(ErrorCode.TIMEOUT);
  expect(idsOf(b)).toEqual(["b"]);
  expect(errors).toContain(BROKEN);
  isBroken = false;
  await all.runtime.advance(200);
  expect(idsOf(b)).toEqual(["b", "a"]);
  isBroken = true;
  expect(await stop(all, a)).toBe("resolved");
});

test("A close that rejects is reported and doesn't prevent the server's stop or replacement", async () => {
  const { all, a, errors } = await scene(() => ({ close: () => Promise.reject(BROKEN) }));
  expect(await stop(all, a)).toBe("resolved");
  expect(errors).toEqual([BROKEN]);
  await a.server.start();
  await all.runtime.advance(10);
  await all.node("a");
  await all.runtime.settle();
  expect(errors.at(-1)).toBe(BROKEN);
  expect(errors).toHaveLength(3);
});

test("A close that never settles is reported, and the server stops after ten seconds", async () => {
  const { all, a, errors } = await scene(() => ({ close: () => new Promise(() => undefined) }));
  const stopped = outcome(a.server.stop());
  await all.runtime.advance(9_999);
  expect(stopped.state).toBe("pending");
  await all.runtime.advance(1);
  expect(stopped.state).toBe("resolved");
  expect(errors).toMatchObject([{ code: ErrorCode.CLUSTER_UNAVAILABLE, message: expect.stringContaining("10000 ms") }]);
});

test.each([
  ["throws when the node subscribes", () => ({ subscribe: () => raise(BROKEN) }), BROKEN],
  ["has ended meanwhile", () => ({ state: "disconnected" as const }), { code: ErrorCode.CLUSTER_UNAVAILABLE }],
])("A start fails and closes the link if the link %s", async (_what, change: Change, error) => {
  const closed: string[] = [];
  const start = scene((link) => ({
    ...change(link),
    async close() {
      closed.push("closed");
      await link.close();
    },
  }));
  await expect(start).rejects.toMatchObject(error);
  expect(closed).toEqual(["closed"]);
});

function raise(error: Error): never {
  throw error;
}
