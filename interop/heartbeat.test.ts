import { Client, type CloseReason, Server } from "@netconduit/node";
import { expect, test, vi } from "vitest";
import { Gathered } from "./gathered.ts";
import { interopSuite } from "./interop-suite.ts";
import { PythonDriver } from "./python-driver.ts";

/** netconduit takes whole seconds: the shortest heartbeat it has. */
const INTERVAL_S = 1;
/** More than three intervals without an answer would have ended a connection. */
const TIMEOUT_S = 4;
const BEATS = 6;

const password = "secret";
const theirHeartbeat = { heartbeat_interval: INTERVAL_S, heartbeat_timeout: TIMEOUT_S };
const ourHeartbeat = { heartbeatIntervalMs: INTERVAL_S * 1000, heartbeatTimeoutMs: TIMEOUT_S * 1000 };

interface Counters {
  readonly connected: boolean;
  readonly sent: number;
  readonly answered: number;
}

await interopSuite("heartbeats", (python) => {
  /** Waits until their side has had its answers, and ours has measured as many. */
  async function beats(theirs: () => Promise<Counters>, ours: () => number): Promise<Counters> {
    return vi.waitFor(
      async () => {
        const counters = await theirs();
        expect(counters.answered).toBeGreaterThanOrEqual(BEATS);
        expect(ours()).toBeGreaterThanOrEqual(BEATS);
        return counters;
      },
      { timeout: 60_000, interval: 100 },
    );
  }

  test.concurrent("netconduit's client and our server keep each other alive", async ({ onTestFinished }) => {
    const driver = await PythonDriver.start(python, "client_driver.py");
    const server = new Server({ host: "127.0.0.1", port: 0, password, allowPasswordHash: true, ...ourHeartbeat });
    onTestFinished(async () => {
      await driver.kill();
      await server.stop({ drainMs: 0 });
    });
    const ends = new Gathered<CloseReason>();
    server.onClientDisconnect((_, reason) => ends.add(reason));
    await server.start();
    const options = { server_port: server.address.port, password, ...theirHeartbeat };
    await driver.run("connect", { client: "theirs", options });
    const [connection] = server.connections;
    const counters = await beats(
      () => driver.run<Counters>("heartbeat", { client: "theirs" }),
      () => connection?.latency.samples ?? 0,
    );
    expect(counters.connected).toBe(true);
    expect(connection?.isConnected).toBe(true);
    expect(ends.items).toEqual([]);
    expect(connection?.latencyMs).toBeGreaterThan(0);
  });

  test.concurrent("our client and netconduit's server keep each other alive", async ({ onTestFinished }) => {
    const driver = await PythonDriver.start(python, "server_driver.py");
    const port = await driver.run<number>("start", { server: "theirs", options: { password, ...theirHeartbeat } });
    const client = new Client({ host: "127.0.0.1", port, password, allowPasswordHash: true, ...ourHeartbeat });
    onTestFinished(async () => {
      await client.disconnect();
      await driver.kill();
    });
    const ends = new Gathered<CloseReason>();
    client.onDisconnect((_, reason) => ends.add(reason));
    await client.connect();
    const counters = await beats(
      async () => (await driver.run<[Counters]>("heartbeat", { server: "theirs" }))[0],
      () => client.health().latency?.samples ?? 0,
    );
    expect(counters.connected).toBe(true);
    expect(client.isConnected).toBe(true);
    expect(ends.items).toEqual([]);
    expect(client.latencyMs).toBeGreaterThan(0);
  });
});
