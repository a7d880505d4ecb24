import { afterAll, describe, expect, test } from "vitest";
import { RUNTIMES, type RuntimeName } from "../../docs-tests/lib/runtimes.ts";
import type { Role } from "./control-lines.ts";
import { PeerProcess } from "./peer-process.ts";
import type { Scenario } from "./scenario.ts";
import { runScenario } from "./scenario-run.ts";
import { scenarios } from "./scenarios.ts";

/** Longer than a scenario's time limit, which has a better message. */
const TIMEOUT_MS = 120_000;

/** The processes of a test file: one for the servers and one for the clients on each runtime. */
class Peers {
  readonly #started = new Map<string, Promise<PeerProcess>>();

  get(role: Role, runtime: RuntimeName): Promise<PeerProcess> {
    const key = `${role} ${runtime}`;
    let peer = this.#started.get(key);
    if (peer === undefined) {
      peer = PeerProcess.start(runtime);
      this.#started.set(key, peer);
    }
    return peer;
  }

  async stop(): Promise<void> {
    for (const started of await Promise.allSettled(this.#started.values())) {
      if (started.status === "fulfilled") await started.value.stop();
    }
  }
}

/** Runs all scenarios with servers on one runtime and clients on every runtime. */
export function describePairs(serverRuntime: RuntimeName): void {
  const peers = new Peers();
  afterAll(() => peers.stop());

  async function run(scenario: Scenario, clientRuntime: RuntimeName): Promise<void> {
    const { dies } = scenario;
    const server = await (dies === "server" ? PeerProcess.start(serverRuntime) : peers.get("server", serverRuntime));
    const client = await (dies === "client" ? PeerProcess.start(clientRuntime) : peers.get("client", clientRuntime));
    try {
      await runScenario(scenario, server, client);
    } finally {
      if (dies === "server") await server.stop();
      if (dies === "client") await client.stop();
    }
  }

  for (const clientRuntime of RUNTIMES) {
    describe.concurrent(`${serverRuntime} server, ${clientRuntime} client`, { timeout: TIMEOUT_MS }, () => {
      test("each end is a process of its own, on the runtime of the title", async () => {
        const server = await peers.get("server", serverRuntime);
        const client = await peers.get("client", clientRuntime);
        expect(server.facts.runtime).toBe(serverRuntime);
        expect(client.facts.runtime).toBe(clientRuntime);
        expect(new Set([server.facts.pid, client.facts.pid, process.pid]).size).toBe(3);
      });

      for (const scenario of scenarios) test(scenario.title, () => run(scenario, clientRuntime));
    });
  }
}
