import type { ClusterDriver, ClusterLink, ClusterOptions } from "@netconduit/core";

/** A cluster for one test. */
export interface TestCluster {
  /** Creates a driver for one node. */
  driver(options: ClusterOptions): ClusterDriver;
  /** Breaks a node's link, or prevents it from connecting. The driver detects this; resolves immediately or when it has. */
  cut(nodeId: string): void | Promise<void>;
  /** Undoes `cut`. */
  heal(nodeId: string): void | Promise<void>;
  close(): Promise<void>;
}

/** An engine and its driver under test. */
export interface ClusterSubject {
  /** Used in test titles. */
  readonly name: string;
  /** Creates a cluster that is isolated from others. */
  make(): Promise<TestCluster>;
  readonly capabilities: {
    readonly logs: boolean;
    readonly records: boolean;
  };
}

/** Fast enough for tests, and slow enough for a busy machine. */
export const TIMES: ClusterOptions = { heartbeatMs: 100, nodeTimeoutMs: 2000, answerTimeoutMs: 10_000 };

/** A driver that silently loses one message to a single node per call of `loseNext`, as an engine may. */
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
