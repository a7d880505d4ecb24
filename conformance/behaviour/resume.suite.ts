import { describe, expect, test } from "vitest";
import { Relay } from "../support/relay.ts";
import type { OpenClient, OpenServer, Subject } from "../support/subject.ts";
import { until } from "../support/turns.ts";
import { PATIENT, type Stage, stagedOn } from "./stage.ts";

const RECONNECT = { delayMs: 1, maxDelayMs: 20, jitter: false };

interface Scene {
  readonly server: OpenServer;
  readonly client: OpenClient;
  readonly relay: Relay;
  /** Cuts the stream. */
  cut(): Promise<void>;
}

/** Connections that survive the loss of their streams, which a relay cuts. */
export function describeResume(subject: Subject): void {
  const staged = stagedOn(subject);

  async function relayed(stage: Stage): Promise<Scene> {
    const server = await stage.listen({ resume: true });
    const relay = new Relay(server.address.port);
    await relay.start();
    stage.defer(() => relay.kill());
    const client = await stage.join(relay, { resume: true, reconnect: RECONNECT });
    const cut = async (): Promise<void> => {
      await relay.kill();
      await relay.start();
    };
    return { server, client, relay, cut };
  }

  describe(`resuming on ${subject.name}`, PATIENT, () => {
    test(
      "messages arrive once and in order in both directions while streams are cut, and calls are carried out once",
      staged(async (stage) => {
        const { server, client, cut } = await relayed(stage);
        const [connection] = server.connections;
        const atServer: unknown[] = [];
        const atClient: unknown[] = [];
        const carriedOut: unknown[] = [];
        server.on("n", (_client, n) => void atServer.push(n));
        client.on("n", (n) => void atClient.push(n));
        server.rpc("double", ({ n }) => {
          carriedOut.push(n);
          return 2 * (n as number);
        });
        const calls: Promise<unknown>[] = [];
        let sent = 0;
        for (let round = 0; round < 20; round += 1) {
          for (let i = 0; i < 20; i += 1) {
            client.send("n", sent);
            connection?.send("n", sent);
            calls.push(client.call("double", { n: sent }));
            sent += 1;
          }
          if (round % 3 === 0) await until(() => atServer.length >= sent - 10);
          await cut();
        }
        await until(() => atServer.length === sent && atClient.length === sent);
        const all = Array.from({ length: sent }, (_, n) => n);
        expect(atServer).toEqual(all);
        expect(atClient).toEqual(all);
        expect(await Promise.all(calls)).toEqual(all.map((n) => 2 * n));
        expect(carriedOut).toEqual(all);
        expect(server.connections).toEqual([connection]);
      }),
    );

    test(
      "streams and large messages continue where they were cut",
      staged(async (stage) => {
        const { server, client, cut } = await relayed(stage);
        const bytes: number[] = [];
        server.on("large", (_client, data) => void bytes.push((data as Uint8Array).length));
        server.stream("count", async function* () {
          for (let n = 0; n < 20_000; n += 1) yield n;
        });
        client.send("large", new Uint8Array(3_000_000));
        let next = 0;
        for await (const n of client.stream("count", {})) {
          expect(n).toBe(next);
          next += 1;
          if (n === 100 || n === 9000) await cut();
        }
        expect(next).toBe(20_000);
        await until(() => bytes.length === 1);
        expect(bytes).toEqual([3_000_000]);
        expect(server.connections[0]?.resumes).toBeGreaterThan(0);
      }),
    );

    test(
      "a restarted server doesn't have the session, and the client learns what it may have lost",
      staged(async (stage) => {
        const { server, client, relay } = await relayed(stage);
        const { port } = server.address;
        server.rpc("slow", () => new Promise(() => undefined));
        const lost: number[] = [];
        client.onSessionExpired((session) => void lost.push(session.lost));
        await relay.kill();
        await until(() => !client.isConnected);
        const call = client.call("slow", {}).catch((error: unknown) => error);
        client.send("n", 1);
        await server.stop({ drainMs: 0 });
        await stage.listen({ resume: true, port });
        await relay.start();
        await until(() => client.isConnected);
        expect(await call).toBeInstanceOf(Error);
        expect(lost).toEqual([2]);
      }),
    );
  });
}
