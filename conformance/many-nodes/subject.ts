import type { ClusterDriver, ClusterLink, ClusterOptions } from "@netconduit/core";

/** A cluster of one test, on an engine. */
export interface TestCluster {
  /** A driver for one node. */
  driver(options: ClusterOptions): ClusterDriver;
  /** Breaks the link of a node, or keeps it from being made. Its driver notices; resolves at once or when it has. */
  cut(nodeId: string): void | Promise<void>;
  /** Undoes `cut`. */
  heal(nodeId: string): void | Promise<void>;
  close(): Promise<void>;
}

/** An engine with its driver, as the suites see it. */
export interface ClusterSubject {
  /** For the titles. */
  readonly name: string;
  /** Makes a cluster that shares nothing with others. */
  make(): Promise<TestCluster>;
  readonly capabilities: {
    readonly logs: boolean;
    readonly records: boolean;
  };
}

/** Fast enough for tests, and slow enough for a busy machine. */
export const TIMES: ClusterOptions = { heartbeatMs: 100, nodeTimeoutMs: 2000, answerTimeoutMs: 10_000 };

/** A driver that loses messages to single nodes, one for each call of `loseNext`, as an engine may. Nobody notices. */
export function lossy(driver: ClusterDriver): { readonly driver: ClusterDriver; loseNext(): void } {
  let losing = 0;
  const lossyLink = (link: ClusterLink): ClusterLink =>
    new Proxy(link, {
      get(target, key) {
        const value: unknown = Reflect.get(target, key, target);
        if (typeof value !== "function") return value;
        return (...args: Parameters<ClusterLink["publish"]>): unknown => {
          if (key !== "publish" || losing === 0 || args[0].kind !== "node") return value.apply(target, args);
          losing -= 1;
          return "sent";
        };
      },
    });
  return {
    driver: { ...driver, start: async (host) => lossyLink(await driver.start(host)) },
    loseNext: () => {
      losing += 1;
    },
  };
}
