import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, onTestFinished, test } from "vitest";
import { RUNTIMES } from "./lib/runtimes.ts";
import { on } from "./lib/test-support.ts";

const QUICK = { INTERVAL_MS: "50" };
const certificate = (file: string): string =>
  fileURLToPath(new URL(`../packages/node/test-data/tls/${file}`, import.meta.url));

/** An unused path for a Unix socket. */
function socketPath(): string {
  const folder = mkdtempSync(join(tmpdir(), "netconduit-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return join(folder, "monitoring.sock");
}

describe.each(RUNTIMES)("the monitoring example on %s", { timeout: 30_000 }, (runtime) => {
  const { startProgram, startServer } = on(runtime);

  test("the server collects samples and latencies of every agent, and the dashboard shows them", async () => {
    const { server, env } = await startServer("monitoring/server.ts", { env: QUICK });
    startProgram("monitoring/agent.ts", { args: ["web-1"], env });
    startProgram("monitoring/agent.ts", { args: ["web-2"], env });
    await Promise.all([
      server.line(/^web-1: \d+ MiB, up \d+ s, latency \d+\.\d\d ms$/),
      server.line(/^web-2: \d+ MiB, up \d+ s, latency \d+\.\d\d ms$/),
    ]);
    const dashboard = startProgram("monitoring/dashboard.ts", { env });
    await dashboard.line(/^web-1 \(127\.0\.0\.1:\d+, since 20.*Z\): \d+ MiB, \d+\.\d\d ms$/);
    await dashboard.line(/^2 agents on Monitoring; this dashboard is active, 0 calls pending$/);
    expect(await dashboard.ended).toEqual({ code: 0, signal: null });
  });

  test("agents register again when their server comes back", async () => {
    const env = { ...QUICK, SOCKET: socketPath() };
    const first = startProgram("monitoring/server.ts", { env });
    await first.line(/^Listening on /);
    const agent = startProgram("monitoring/agent.ts", { args: ["web-1"], env });
    await first.line(/^web-1: \d+ MiB/);
    await first.kill();
    await agent.line(/^Disconnected: /);
    const second = startProgram("monitoring/server.ts", { env });
    await second.line(/^web-1 registered /);
    await agent.line(/^Reconnected$/);
    await second.line(/^web-1: \d+ MiB/);
  });

  test("a stopped agent tells the server why it disconnects", async () => {
    const { server, env } = await startServer("monitoring/server.ts");
    const agent = startProgram("monitoring/agent.ts", { args: ["web-1"], env });
    await server.line(/^web-1 registered /);
    expect(await agent.stop()).toEqual({ code: 0, signal: null });
    await server.line(/^web-1 disconnected: Agent stopped$/);
  });

  test("everything works over TLS, and a client with the wrong CA can't connect", async () => {
    const tls = { TLS_CERT: certificate("server.crt"), TLS_KEY: certificate("server.key") };
    const { server, env } = await startServer("monitoring/server.ts", { env: { ...QUICK, ...tls } });
    startProgram("monitoring/agent.ts", { args: ["web-1"], env: { ...env, TLS_CA: certificate("ca.crt") } });
    await server.line(/^web-1 registered from 127\.0\.0\.1:\d+ over TLS$/);
    await server.line(/^web-1: \d+ MiB/);
    const stranger = startProgram("monitoring/dashboard.ts", { env: { ...env, TLS_CA: certificate("other-ca.crt") } });
    await stranger.line(/^TLS_UNTRUSTED: /);
    expect(await stranger.ended).toEqual({ code: 1, signal: null });
  });
});
