import { readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { PacedResult } from "../lib/commands.ts";
import { Session } from "../lib/session.ts";
import { MESSAGE_TEXT, NEWS_TEXT } from "../lib/workload.ts";
import { peer } from "./netconduit-python.ts";

const CLIENTS = 3;
/** Long enough for each loop to run at least once. */
const SECONDS = 0.02;
const TIMEOUT_MS = 60_000;

const reason = await peer.missing();
let session: Session;

test("the Python programs send the same texts as the others", () => {
  const source = (file: string): string => readFileSync(new URL(`python/${file}`, import.meta.url), "utf8");
  expect(source("client.py")).toContain(`MESSAGE_TEXT = "${MESSAGE_TEXT}"\n`);
  expect(source("server.py")).toContain(`NEWS_TEXT = "${NEWS_TEXT}"\n`);
});

const title = `the peer netconduit-python${reason === null ? "" : `: ${reason}`}`;

describe.skipIf(reason !== null)(title, { timeout: TIMEOUT_MS }, () => {
  beforeAll(async () => {
    const options = { tls: false, methods: 3, maxConnections: CLIENTS, maxPayloadBytes: 1024 * 1024 };
    session = await Session.open(peer, { server: "node", client: "node" }, options);
    // Resolves once the server has these connections.
    await session.connect(CLIENTS, 2);
  }, TIMEOUT_MS);

  afterAll(() => session.close(), TIMEOUT_MS);

  test.each([
    { kind: "call", inFlight: 1, methods: 1 },
    { kind: "call", inFlight: 5, methods: 3 },
    { kind: "request", inFlight: 5, methods: 1 },
  ] as const)("answers: $kind, $inFlight in flight, $methods methods", async (load) => {
    const { count, medianMs } = await session.client.call("load", { ...load, seconds: SECONDS });
    expect(count).toBeGreaterThanOrEqual(load.inFlight);
    if (load.inFlight === 1) expect(medianMs).toBeGreaterThan(0);
    else expect(medianMs).toBeNull();
  });

  test("answers calls at a fixed rate", async () => {
    const slow = (await session.client.call("paced", { perSecond: 100, seconds: 0.05 })) as NonNullable<PacedResult>;
    expect(slow.p50).toBeLessThanOrEqual(slow.p99);
    expect(slow.p99).toBeLessThanOrEqual(slow.p999);
  });

  test.each(["upload", "download"] as const)("carries bytes: %s", async (direction) => {
    for (const bytes of [1, 100_000, 1024 * 1024]) {
      const args = { direction, bytes, inFlight: 2, seconds: SECONDS };
      expect((await session.client.call("transfer", args)).messages).toBeGreaterThanOrEqual(2);
    }
  });

  test.each([1, 10])("broadcasts %i at a time to every client", async (perTurn) => {
    const { server, client } = session;
    await client.call("watch", { signalPort: session.started.signalPort, perTurn });
    const sent = await server.call("broadcast", { perTurn, seconds: SECONDS });
    const { deliveries, sum } = await client.call("watched", null);
    expect(sent.messages).toBeGreaterThanOrEqual(perTurn);
    expect({ deliveries, sum }).toEqual({ deliveries: sent.messages * CLIENTS, sum: sent.sum * CLIENTS });
  });

  test("reports its memory and its CPU time", async () => {
    expect(await session.memory()).toEqual({ rssBytes: expect.any(Number), heapBytes: null });
    expect(await session.server.call("cpu", null)).toEqual({ cpuMs: expect.any(Number) });
    expect(await session.client.call("cpu", null)).toEqual({ cpuMs: expect.any(Number) });
  });

  test("reports a failed command", async () => {
    const options = { tls: true, methods: 1, maxConnections: 1, maxPayloadBytes: 1 };
    await expect(session.server.call("start", options)).rejects.toThrow("netconduit has no TLS");
  });

  test("closes connections, and the server notices", async () => {
    await session.disconnect();
    // Leave one connection open when the server is stopped.
    await session.connect(1);
  });
});
