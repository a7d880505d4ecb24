import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { describe, expect, onTestFinished, test } from "vitest";
import { COLUMNS, ROWS, TITLE } from "../scripts/lib/fleet-screen.ts";
import { Screen } from "../scripts/lib/terminal-svg.ts";
import { DeviceLog } from "./fleet/device-log.ts";
import { draw, type Picture } from "./fleet/picture.ts";
import { EXAMPLES } from "./lib/port.ts";
import type { Program } from "./lib/program.ts";
import type { RuntimeName } from "./lib/runtimes.ts";
import { startProgram, startServer } from "./lib/test-support.ts";

const MIB = 2 ** 20;
const DEVICES = ["pump-1", "pump-2", "pump-3"];
const MIXES: readonly (readonly [server: RuntimeName, device: RuntimeName, dashboard: RuntimeName])[] = [
  ["node", "node", "node"],
  ["node", "bun", "deno"],
  ["bun", "deno", "node"],
  ["deno", "node", "bun"],
];

/** Starts a fleet. It is stopped by a signal at the end of the test, so that it ends its processes. */
async function startFleet(server: RuntimeName, device: RuntimeName, dashboard: RuntimeName): Promise<Program> {
  const args = ["--server", server, "--device", device, "--dashboard", dashboard];
  const fleet = startProgram("fleet/start.ts", { args, env: { INTERVAL_MS: "50" } });
  onTestFinished(async () => {
    await fleet.stop();
  });
  for (const device of DEVICES) await joined(fleet, device, 1);
  return fleet;
}

function joined(fleet: Program, device: string, nth: number): Promise<RegExpMatchArray> {
  return fleet.line(new RegExp(`^(pump-\\d, )*${device}(, pump-\\d)* joined$`), nth);
}

/** Numbers in the matching lines, in the order in which they were printed. */
function numbers(fleet: Program, pattern: RegExp): number[] {
  return fleet.output.split("\n").flatMap((line) => line.match(pattern)?.slice(1, 2).map(Number) ?? []);
}

/** The numbers from 1 to the list's length. */
function counted(list: readonly number[]): number[] {
  return list.map((_, index) => index + 1);
}

/** Resolves with the error code of a connection attempt; null if the port accepts it. */
function dial(port: number): Promise<string | null> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1", () => {
      socket.destroy();
      resolve(null);
    });
    socket.on("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? ""));
  });
}

describe.each(MIXES)(
  "the fleet with a server on %s, devices on %s, a dashboard on %s",
  {
    timeout: 120_000,
  },
  (server, device, dashboard) => {
    test("when the server is killed, devices, presence, subscriptions, logs and an upload come back", async () => {
      const fleet = await startFleet(server, device, dashboard);
      // Slow enough that the upload can't finish before the server is killed.
      fleet.type("limit 2");
      await fleet.line(/^3 devices upload at most 2 MiB\/s each$/);
      fleet.type("record pump-1 64");
      // At this point the server has verified some bytes, because fewer than these are still unacknowledged.
      await fleet.line(/^pump-1-1\.bin: (?:[6-9]|[1-9]\d)\d{6} of 67108864 bytes, from 0 on$/);

      fleet.type("kill");
      await fleet.line(/^disconnected: /);
      await fleet.line(/^server: process \d+ on /, 2);
      const connected = `connected to the fleet server on ${server}`;
      await fleet.line(new RegExp(`^${connected}$`), 2);
      for (const name of DEVICES) {
        await fleet.line(new RegExp(`^telemetry of ${name}: back, not recovered: the server is a new one$`));
        await joined(fleet, name, 2);
      }
      const [, again = ""] = await fleet.line(/^pump-1-1\.bin: \d+ of 67108864 bytes, from ([1-9]\d*) on$/);
      fleet.type("limit 10000");
      await fleet.line(
        new RegExp(`^pump-1-1.bin of pump-1 is here and verified: 67108864 bytes, continued at byte ${again}$`),
      );
      expect(Number(again)).toBeGreaterThanOrEqual(MIB);
      expect(Number(again)).toBeLessThan(64 * MIB);

      for (const name of DEVICES) {
        // The device itself keeps its log, so no line is lost or repeated.
        await fleet.line(new RegExp(`^${name} log \\d+: ${connected}$`), 2);
        const log = numbers(fleet, new RegExp(`^${name} log (\\d+): `));
        expect(log).toEqual(counted(log));
        const samples = numbers(fleet, new RegExp(`^${name} sample (\\d+): `));
        expect(samples).toEqual([...new Set(samples)].sort((a, b) => a - b));
      }
      fleet.type("quit");
      expect(await fleet.ended).toEqual({ code: 0, signal: null });
    });

    test("when the dashboard's connection is cut, it misses nothing; at the end no process and no port is left", async () => {
      const fleet = await startFleet(server, device, dashboard);
      for (const name of DEVICES) await fleet.line(new RegExp(`^${name} sample \\d+: `), 2);
      fleet.type("cut");
      await fleet.line(/^disconnected: cut on demand$/);
      await fleet.line(/^news: back and recovered, nothing missed$/);
      for (const name of DEVICES) {
        await fleet.line(new RegExp(`^telemetry of ${name}: back and recovered, nothing missed$`));
        await joined(fleet, name, 2);
        const before = numbers(fleet, new RegExp(`^${name} sample (\\d+): `)).length;
        await fleet.line(new RegExp(`^${name} sample \\d+: `), before + 2);
        const samples = numbers(fleet, new RegExp(`^${name} sample (\\d+): `));
        const [first = 0] = samples;
        expect(samples).toEqual(samples.map((_, index) => first + index));
      }
      fleet.type("quit");
      expect(await fleet.ended).toEqual({ code: 0, signal: null });

      const processes = numbers(fleet, /^(?:server|device|dashboard): process (\d+) /);
      expect(processes).toHaveLength(3);
      for (const pid of processes) expect(() => process.kill(pid, 0)).toThrow("ESRCH");
      const [port = 0] = numbers(fleet, /^server: Listening on 127\.0\.0\.1:(\d+)$/);
      expect(await dial(port)).toBe("ECONNREFUSED");
    });

    test("commands that fail say why, and the dashboard continues", async () => {
      const fleet = await startFleet(server, device, dashboard);
      fleet.type("record pump-9 1");
      await fleet.line(/^NOT_FOUND: pump-9 is not connected$/);
      fleet.type("record pump-1 0");
      await fleet.line(/^VALIDATION: .*mebibytes/);
      fleet.type("record pump-2 1");
      await fleet.line(/^pump-2-1\.bin of pump-2 is here and verified: 1048576 bytes, in one go$/);
      expect(await fleet.stop()).toEqual({ code: 0, signal: null });
    });
  },
);

describe("the programs of the fleet, started one by one", { timeout: 60_000 }, () => {
  async function parts(): Promise<{ device: (...names: string[]) => Program; dashboard: Program }> {
    const folder = (): string => {
      const path = mkdtempSync(join(tmpdir(), "fleet-test-"));
      onTestFinished(() => rmSync(path, { recursive: true }));
      return path;
    };
    const { env: address } = await startServer("fleet/server.ts", { env: { FILES: folder() } });
    const env = { ...address, FILES: folder(), INTERVAL_MS: "50" };
    return {
      device: (...args) => startProgram("fleet/device.ts", { args, env }),
      dashboard: startProgram("fleet/dashboard.ts", { env }),
    };
  }

  test("a device whose program starts again is shown from its first sample and log line", async () => {
    const { device, dashboard } = await parts();
    const first = device("pump-1");
    await dashboard.line(/^pump-1 sample 20: /);
    await first.kill();
    await dashboard.line(/^pump-1 left$/);
    device("pump-1");
    await dashboard.line(/^pump-1 sample [1-9]: /, 10);
    await dashboard.line(/^pump-1 log 1: connected to the fleet server on node$/, 2);
  });

  test("a device whose former connection is stuck gets commands over its new one", async () => {
    const { device, dashboard } = await parts();
    const stuck = device("pump-1");
    await dashboard.line(/^pump-1 log 1: /);
    process.kill(stuck.pid as number, "SIGSTOP");
    device("pump-1");
    await dashboard.line(/^pump-1 log 1: /, 2);
    dashboard.type("record pump-1 1");
    await dashboard.line(/^pump-1-1\.bin of pump-1 is here and verified: 1048576 bytes, in one go$/);
    dashboard.type("limit 3");
    await dashboard.line(/^1 device uploads at most 3 MiB\/s$/);
  });

  test("uploads of one device at the same time are all shown", async () => {
    const { device, dashboard } = await parts();
    device("pump-1");
    await dashboard.line(/^pump-1 joined$/);
    dashboard.type("limit 0.1");
    dashboard.type("record pump-1 1");
    dashboard.type("record pump-1 1");
    await dashboard.line(/^pump-1-2\.bin: /);
    expect(dashboard.output).toMatch(/\npump-1 sample .*\npump-1-1\.bin: .*\npump-1-2\.bin: /);
  });

  test.runIf(process.platform === "linux")("a dashboard that can't log in leaves the terminal as it was", async () => {
    const { env } = await startServer("fleet/server.ts");
    const command = `${process.execPath} ${join(EXAMPLES, "fleet/dashboard.ts")}`;
    const terminal = spawn("script", ["--quiet", "--command", command, "/dev/null"], {
      env: { ...process.env, ...env, PASSWORD: "wrong" },
    });
    const output = await text(terminal.stdout);
    expect(output).toContain("AUTH_FAILED");
    expect(output).not.toContain("\u001b[?1049h");
  });

  test("a device's log has any number of readers, and restarts for a reader of an earlier run", async () => {
    const warnings: Error[] = [];
    const warned = (warning: Error): number => warnings.push(warning);
    process.on("warning", warned);
    onTestFinished(() => void process.off("warning", warned));
    const log = new DeviceLog(2);
    log.add("first");
    const stopping = new AbortController();
    const places = [null, { run: 1, number: 5 }, { run: 2, number: 1 }, ...Array.from({ length: 10 }, () => null)];
    const readers = places.map((after) => log.lines(after, stopping.signal));
    const lines = readers.map((reader) => reader.next());
    log.add("second");
    const read = await Promise.all(lines.map(async (line) => (await line).value?.text));
    expect(read.slice(0, 4)).toEqual(["first", "first", "second", "first"]);
    const more = readers.slice(3).map((reader) => reader.next());
    await Promise.all(more);
    const waiting = readers.slice(3).map((reader) => reader.next());
    await new Promise((resolve) => setImmediate(resolve));
    stopping.abort();
    expect((await Promise.allSettled(waiting)).map(({ status }) => status)).toEqual(Array(10).fill("rejected"));
    expect(warnings).toEqual([]);
  });
});

describe("the picture of the fleet in the README", () => {
  const svg = readFileSync(fileURLToPath(new URL("../docs/fleet.svg", import.meta.url)), "utf8");
  const texts = (source: string): string[] =>
    [...source.matchAll(/<text [^>]*>([^<]*)</g)].map(([, text = ""]) => text);

  test("is a screen as the dashboard draws it now; run pnpm fleet-picture if it isn't", async () => {
    const at = new Date(0);
    const upload = { file: "pump-1-1.bin", bytes: 20e6, resumedFrom: 8e6, total: 24 * MIB, bytesPerSecond: 2e6 };
    const sample = { run: 0, number: 70, celsius: 61.6, bar: 3.25, runtime: "bun" };
    const picture: Picture = {
      server: "fleet server on node",
      isConnected: true,
      latencyMs: null,
      dashboards: 1,
      devices: new Map(
        DEVICES.toReversed().map((name) => {
          const own = { ...sample, uploads: name === "pump-1" ? [upload] : [] };
          return [name, { name, isConnected: true, sample: own, missing: 0, celsius: [60, 61, 62] }];
        }),
      ),
      log: [{ device: "pump-1", line: { run: 0, number: 1, at, text: "connected to the fleet server on node" } }],
      events: [{ at, text: "connected to the fleet server on node", tone: "good" }],
    };
    const screen = new Screen(COLUMNS, ROWS);
    await screen.write(draw(picture, COLUMNS, ROWS));
    expect(screen.lines.flatMap((line) => line.match(/^● (pump-\d)/)?.[1] ?? [])).toEqual(DEVICES);
    const fresh = screen.svg(TITLE);
    // Compare the frame and all texts that don't depend on timing.
    const frame = (source: string): string[] => source.split("\n").slice(0, 5);
    expect(frame(svg)).toEqual(frame(fresh));
    const lasting = (source: string): string[] =>
      texts(source).filter((text) => !/\d/.test(text.replaceAll(/pump-\d(-\d\.bin)?/g, "")));
    const shown = new Set(lasting(svg));
    expect(lasting(fresh).filter((text) => !shown.has(text))).toEqual([]);
  });

  test("shows what came back after a cut, and after the server was killed", () => {
    const shown = texts(svg);
    for (const device of DEVICES) {
      expect(shown).toContain(`telemetry of ${device}: back and recovered, nothing missed`);
      expect(shown).toContain(`telemetry of ${device}: back, not recovered: the server is a new one`);
      const joins = shown.filter((text) => text.endsWith(" joined") && text.includes(device));
      expect(joins.length).toBeGreaterThanOrEqual(3);
    }
    expect(shown.join("\n")).toMatch(/continued at \d+\.\d MiB/);
  });
});
