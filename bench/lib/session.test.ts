import { describe, expect, test } from "vitest";
import { peer as bare } from "../peers/bare.ts";
import { peer as raw } from "../peers/raw.ts";
import type { Peer } from "./peer.ts";
import { Session } from "./session.ts";

const NODE = { server: "node", client: "node" } as const;
const OPTIONS = { tls: false, maxConnections: 20, maxPayloadBytes: 128 * 1024, methods: 2 };
const TIMEOUT_MS = 60_000;

async function withSession(peer: Peer, options: Partial<typeof OPTIONS>, use: (session: Session) => Promise<void>) {
  const session = await Session.open(peer, NODE, { ...OPTIONS, ...options });
  try {
    await use(session);
  } finally {
    await session.close();
  }
}

describe.each([
  ["raw", "TCP", raw, false],
  ["bare", "TCP", bare, false],
  ["raw", "TLS", raw, true],
  ["bare", "TLS", bare, true],
] as const)("%s over %s", (_name, _transport, peer, tls) => {
  test(
    "calls, bytes both ways and broadcasts arrive whole, over processes of their own",
    async () => {
      await withSession(peer, { tls }, async ({ client, server, started }) => {
        const { target } = started;
        await client.call("connect", {
          target,
          tls,
          maxPayloadBytes: OPTIONS.maxPayloadBytes,
          count: 3,
          concurrency: 2,
        });
        await client.call("callEach", null);
        const load = await client.call("load", { kind: "call", inFlight: 8, methods: 1, seconds: 0.05 });
        expect(load.count).toBeGreaterThan(0);
        for (const direction of ["upload", "download"] as const) {
          const args = { direction, bytes: 100_001, inFlight: 2, seconds: 0.05 };
          expect((await client.call("transfer", args)).messages).toBeGreaterThan(0);
        }
        await client.call("watch", { signalPort: started.signalPort, perTurn: 10 });
        const sent = await server.call("broadcast", { perTurn: 10, seconds: 0.05 });
        const got = await client.call("watched", null);
        expect(got).toEqual({ deliveries: sent.messages * 3, sum: sent.sum * 3 });
      });
    },
    TIMEOUT_MS,
  );
});

test(
  "calls at a fixed rate are timed from when they were due",
  async () => {
    await withSession(bare, {}, async (session) => {
      await session.connect(1);
      const result = await session.client.call("paced", { perSecond: 500, seconds: 0.1 });
      expect(result === null || (result.p50 > 0 && result.p50 <= result.p99 && result.p99 <= result.p999)).toBe(true);
    });
  },
  TIMEOUT_MS,
);

test(
  "what a process can't do comes back as an error that names it",
  async () => {
    await withSession(raw, {}, async ({ client }) => {
      const none = client.call("load", { kind: "call", inFlight: 1, methods: 1, seconds: 0.01 });
      await expect(none).rejects.toThrow("the client of raw on node: Error: No client is connected");
    });
  },
  TIMEOUT_MS,
);

test(
  "a process that can't be started is an error that says why",
  async () => {
    const strange: Peer = { ...raw, name: "no-such-peer" };
    await expect(Session.open(strange, NODE, OPTIONS)).rejects.toThrow(/of no-such-peer on node: .*exit code 1/);
  },
  TIMEOUT_MS,
);
