import { expect, test } from "vitest";
import type { Client } from "../client/client.ts";
import { ErrorCode } from "../errors.ts";
import type { Server } from "../server/server.ts";
import { clusterScene, type TestNode } from "../test-support/cluster-scene.ts";
import { clusterStore } from "./cluster-store.ts";

const resume = () => ({ store: clusterStore() });

test("A call with a key is carried out once, on whatever node it comes again", async () => {
  const all = clusterScene();
  const charged: string[] = [];
  const prepare = (server: Server): void => {
    server.rpc("charge", ({ amount }) => {
      charged.push(`${amount} by ${server.config.name}`);
      return charged.length;
    });
  };
  const a = await all.node("a", { resume: resume() }, prepare);
  const b = await all.node("b", { resume: resume() }, prepare);
  const charge = (client: Client): Promise<unknown> => client.call("charge", { amount: 5 }, { once: "order-1" });
  expect(await charge(await a.join())).toBe(1);
  expect(await charge(await b.join())).toBe(1);
  expect(charged).toEqual(["5 by a"]);
});

test("A store keeps, replaces, lists and forgets values, for all nodes", async () => {
  const all = clusterScene();
  const stores = { a: clusterStore(), b: clusterStore() };
  await all.node("a", { resume: { store: stores.a } });
  await all.node("b", { resume: { store: stores.b } });
  const [one, two] = [Uint8Array.of(1), Uint8Array.of(2)];
  expect(await stores.a.create("x/1", one, 60_000)).toBe(true);
  expect(await stores.b.create("x/1", two, 60_000)).toBe(false);
  expect(await stores.b.get("x/1")).toEqual(one);
  await stores.b.put("x/1", two, 60_000);
  expect(await stores.a.get("x/1")).toEqual(two);
  await stores.a.put("x/2", one, 86_400_000);
  expect(await stores.b.keys("x/", 10)).toEqual(["x/1", "x/2"]);
  await stores.b.delete("x/2");
  expect(await stores.a.get("x/2")).toBeNull();
  await all.runtime.advance(60_000);
  expect(await stores.b.get("x/1")).toBeNull();
  expect(await stores.b.create("x/1", one, 60_000)).toBe(true);
});

test("A store rejects while the link is down, without a cluster, and if another server has it", async () => {
  const all = clusterScene();
  const store = clusterStore();
  await expect(store.get("x")).rejects.toMatchObject({ code: ErrorCode.CLUSTER_UNAVAILABLE });
  await all.node("a", { resume: { store } });
  await expect(all.node("b", { resume: { store } })).rejects.toMatchObject({ code: ErrorCode.INVALID_CONFIG });
  all.cluster.cut("a");
  await expect(store.get("x")).rejects.toMatchObject({ code: ErrorCode.CLUSTER_UNAVAILABLE });
  await expect(store.put("x", Uint8Array.of(1), 40 * 86_400_000)).rejects.toMatchObject({
    code: ErrorCode.INVALID_CONFIG,
  });
});

test("A message with ack is handled once, also if its sender tries another node", async () => {
  const all = clusterScene();
  const handled: unknown[] = [];
  const prepare = (server: Server): void => {
    server.on("order", (_connection, data) => {
      handled.push(data);
    });
  };
  const nodes: TestNode[] = [];
  for (const id of ["a", "b"]) nodes.push(await all.node(id, { resume: resume() }, prepare));
  for (const node of nodes) await (await node.join()).send("order", 7, { ack: { once: "order-7" } });
  expect(handled).toEqual([7]);
});
