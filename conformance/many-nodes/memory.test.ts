import { MemoryCluster } from "@netconduit/core/testing";
import { nodeSubject } from "../support/node-subject.ts";
import { describeClusterDriver } from "./driver.suite.ts";
import { describeManyNodes } from "./nodes.suite.ts";
import type { ClusterSubject } from "./subject.ts";

const memory: ClusterSubject = {
  name: "in memory",
  async make() {
    const cluster = new MemoryCluster();
    return {
      driver: (options) => cluster.driver(options),
      cut: (nodeId) => cluster.cut(nodeId),
      heal: (nodeId) => cluster.heal(nodeId),
      close: async () => undefined,
    };
  },
  capabilities: { logs: true, records: true },
};

describeClusterDriver(memory);
describeManyNodes(nodeSubject, memory);
