/** Servers of an in-memory cluster on a fake runtime, and their clients. */

import type { Client, ClientInit } from "../client/client.ts";
import type { ClusterOptions } from "../cluster/cluster-options.ts";
import { MemoryCluster, type MemoryClusterOptions } from "../cluster/memory/memory-cluster.ts";
import type { Server, ServerInit } from "../server/server.ts";
import { type FakeRuntime, fakeRuntime } from "./fake-runtime.ts";
import { testClient, testServer } from "./peers.ts";

export interface TestNode {
  readonly id: string;
  readonly server: Server;
  readonly port: number;
  join(options?: Partial<ClientInit>): Promise<Client>;
}

export interface ClusterScene {
  readonly runtime: FakeRuntime;
  readonly cluster: MemoryCluster;
  node(id: string, options?: Partial<ServerInit>, prepare?: (server: Server) => void): Promise<TestNode>;
}

const USERS = { ada: { password: "a", roles: ["admin"] }, bob: { password: "b" } };
export const ADA = { username: "ada", password: "a" };
export const BOB = { username: "bob", password: "b" };

export function clusterScene(options: MemoryClusterOptions = {}, clusterOptions: ClusterOptions = {}): ClusterScene {
  const runtime = fakeRuntime();
  const cluster = new MemoryCluster(options);
  let nextPort = 8080;
  return {
    runtime,
    cluster,
    async node(id, serverOptions = {}, prepare) {
      const port = nextPort++;
      const driver = cluster.driver({ nodeId: id, ...clusterOptions });
      const { server } = await testServer(
        runtime,
        { port, users: USERS, cluster: driver, name: id, ...serverOptions },
        prepare,
      );
      const join = async (given: Partial<ClientInit> = {}): Promise<Client> => {
        const { client } = testClient(runtime, { port, ...given });
        await client.connect();
        return client;
      };
      return { id, server, port, join };
    },
  };
}

/** Starts three nodes that have discovered each other. */
export async function three(all: ClusterScene, options: Partial<ServerInit> = {}, prepare?: (server: Server) => void) {
  const nodes: TestNode[] = [];
  for (const id of ["a", "b", "c"]) nodes.push(await all.node(id, options, prepare));
  await all.runtime.settle();
  return nodes as [TestNode, TestNode, TestNode];
}

export function idsOf({ server }: TestNode): string[] {
  return (server.cluster?.nodes ?? []).map(({ id }) => id);
}

/** Returns the connection id of a node's first client. */
export function firstIdOf({ server }: TestNode): string {
  return server.connections[0]?.id ?? "";
}
