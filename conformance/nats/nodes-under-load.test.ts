import { afterEach, describe, expect, test } from "vitest";
import { NatsProcess } from "../../scripts/lib/nats-process.ts";
import type { NatsInstallation } from "../../scripts/lib/nats-server.ts";
import { Cleanups } from "../support/cleanups.ts";
import { Relay } from "../support/relay.ts";
import { checkChat, checkOrders, LoadNode, missingOf, stopWriting } from "./load.ts";
import { describeWithNats } from "./with-nats.ts";

/** Number of messages that each node stores between two events. */
const SOME = 40;

function describeNodesUnderLoad(nats: NatsInstallation): void {
  describe("three nodes under load", { timeout: 120_000 }, () => {
    const cleanups = new Cleanups();
    afterEach(() => cleanups.dispose());

    async function natsServer(): Promise<NatsProcess> {
      const server = await NatsProcess.start(nats);
      cleanups.defer(() => server[Symbol.asyncDispose]());
      return server;
    }

    async function start(run: string, nodeId: string, servers: string, replicas: 1 | 3 = 1): Promise<LoadNode> {
      const node = await LoadNode.start({ nodeId, run, servers, replicas });
      cleanups.defer(() => node.kill());
      return node;
    }

    /** Starts nodes that have discovered each other and are writing. */
    async function startThree(urls: readonly string[], replicas: 1 | 3 = 1): Promise<[LoadNode, LoadNode, LoadNode]> {
      const ids = ["a", "b", "c"];
      const [a, b, c] = await Promise.all(ids.map((id, index) => start(id, id, urls[index]!, replicas)));
      const nodes: [LoadNode, LoadNode, LoadNode] = [a!, b!, c!];
      for (const node of nodes) node.command("write");
      for (const node of nodes) await node.stores(SOME);
      return nodes;
    }

    test("a node is killed and restarted: acknowledged messages are kept once, at their places", async () => {
      const { url } = await natsServer();
      const [a, b, c] = await startThree([url, url, url]);
      await c.kill();
      await Promise.all([a.until("left", "c", "timeout"), b.until("left", "c", "timeout")]);
      const again = await start("c2", "c", url);
      again.command("write");
      await Promise.all([a.until("joined", "c"), b.until("joined", "c")]);
      await again.stores(SOME);
      await stopWriting([a, b, again]);
      await checkChat([a, b, c, again], [a, b, again]);
      await checkOrders([a, b, c, again], [a, b, again], url);
    });

    test("a node stalls until the others consider it dead, and resumes: nothing is lost or reported as lost", async () => {
      const { url } = await natsServer();
      const nodes = await startThree([url, url, url]);
      const [a, b, c] = nodes;
      c.pause();
      await Promise.all([a.until("left", "c", "timeout"), b.until("left", "c", "timeout")]);
      c.resume();
      await Promise.all([a.until("joined", "c"), b.until("joined", "c")]);
      await c.stores(SOME);
      await stopWriting(nodes);
      await checkChat(nodes, nodes);
      for (const reader of nodes) {
        expect(nodes.map(({ options }) => missingOf(reader, options.run))).toEqual([0, 0, 0]);
        expect(reader.all("chat").every(([, , , recovered]) => recovered)).toBe(true);
      }
      await checkOrders(nodes, nodes, url);
    });

    test("the network between a node and NATS fails for a while: losses are counted and reported", async () => {
      const { url, port } = await natsServer();
      const relay = new Relay(port);
      await relay.start();
      cleanups.defer(() => relay.kill());
      const nodes = await startThree([url, url, `nats://127.0.0.1:${relay.address.port}`]);
      const [a, b, c] = nodes;
      relay.silence();
      await c.until("state", "reconnecting");
      await Promise.all([a.until("left", "c", "timeout"), b.until("left", "c", "timeout")]);
      relay.speak();
      await c.until("state", "connected");
      await Promise.all([a.until("joined", "c"), b.until("joined", "c")]);
      await Promise.all([a.hears(c), b.hears(c)]);
      // Messages sent over the node's former connection arrive late.
      relay.deliverHeld();
      await c.stores(SOME);
      const [, , { alone, refused, lostSent }] = (await stopWriting(nodes)) as [unknown, unknown, Totals];
      await checkChat(nodes, nodes);
      expect(refused).toBe(alone);
      expect(alone).toBeGreaterThan(0);
      for (const reader of [a, b]) {
        expect(missingOf(reader, "c")).toBeGreaterThanOrEqual(refused);
        expect(missingOf(reader, "c")).toBeLessThanOrEqual(refused + lostSent);
      }
      await checkOrders(nodes, nodes, url);
    });

    test("NATS is killed and restarted: acknowledged messages are kept, other losses are counted and reported", async () => {
      const server = await natsServer();
      const nodes = await startThree([server.url, server.url, server.url]);
      await server.kill();
      for (const node of nodes) await node.until("state", "reconnecting");
      await server.start();
      for (const node of nodes) await node.until("state", "connected");
      for (const node of nodes) await node.stores(SOME);
      const totals = await stopWriting(nodes);
      for (const { alone, refused } of totals) expect(refused).toBe(alone);
      await checkChat(nodes, nodes);
      await checkOrders(nodes, nodes, server.url);
    });

    test("one of three NATS servers is partitioned from the others: acknowledged messages are kept, gaps are reported", async () => {
      const routes: Relay[] = [];
      const servers = await NatsProcess.startCluster(nats, 3, async (from, to, port) => {
        const relay = new Relay(port);
        await relay.start();
        cleanups.defer(() => relay.kill());
        if (from === CUT_OFF || to === CUT_OFF) routes.push(relay);
        return relay.address.port;
      });
      for (const server of servers) cleanups.defer(() => server[Symbol.asyncDispose]());
      const urls = servers.map(({ url }) => url);
      const nodes = await startThree(urls, 3);
      const [a, b, c] = nodes;
      for (const route of routes) await route.kill();
      await Promise.all([a.until("left", "c", "timeout"), b.until("left", "c", "timeout")]);
      for (let left = 0; left < 2; left += 1) await c.until("left");
      // Two of three servers continue to store, with a new leader if theirs was cut off.
      await a.stores(SOME);
      await b.stores(SOME);
      for (const route of routes) await route.start();
      await Promise.all([a.until("joined", "c"), b.until("joined", "c")]);
      for (let joined = 0; joined < 2; joined += 1) await c.until("joined");
      await c.stores(SOME);
      await stopWriting(nodes);
      await checkChat(nodes, nodes);
      // The links to NATS were up all the time, so these messages couldn't be rejected.
      for (const reader of [a, b]) expect(missingOf(reader, "c")).toBeGreaterThan(0);
      await checkOrders(nodes, nodes, urls[0]!);
    });
  });
}

/** Index of the server that loses its routes. */
const CUT_OFF = 2;

type Totals = Awaited<ReturnType<typeof stopWriting>>[number];

await describeWithNats("nodes under load", describeNodesUnderLoad);
