import { ConduitError, ErrorCode } from "@netconduit/core";
import { describe, expect, test } from "vitest";
import type { OpenClient, OpenServer, Subject } from "../support/subject.ts";
import { turn } from "../support/turns.ts";
import { PATIENT, type Stage, stagedOn } from "./stage.ts";

const STEPS = 5000;
/** A run continues until more than this number of clients have connected. */
const ENOUGH_CONNECTED = 20;

/** Codes that an operation may reject with in any state of the other side. */
const EXPECTED: ReadonlySet<number> = new Set([
  ErrorCode.CANCELLED,
  ErrorCode.SERVER_FULL,
  ErrorCode.CONNECTION_CLOSED,
  ErrorCode.CONNECTION_REFUSED,
  ErrorCode.CONNECTION_RESET,
  ErrorCode.SEND_QUEUE_FULL,
  ErrorCode.SERVER_STOPPING,
  ErrorCode.INTERNAL,
  // The server closes a reconnecting client while its connect hooks run, and forbids reconnecting.
  ErrorCode.RECONNECT_FAILED,
]);

/** Random operations, identical in every run. */
class Chaos {
  readonly surprises: unknown[] = [];
  connected = 0;
  disconnected = 0;
  readonly #pending = new Set<Promise<void>>();
  #seed: number;

  constructor(seed: number) {
    this.#seed = seed;
  }

  /** Park-Miller generator. */
  random(below: number): number {
    this.#seed = (this.#seed * 48_271) % 0x7fff_ffff;
    return this.#seed % below;
  }

  async turns(most: number): Promise<void> {
    for (let left = this.random(most); left > 0; left--) await turn();
  }

  start(operation: Promise<unknown>): void {
    const done: Promise<void> = operation
      .then(
        () => {},
        (error: unknown) => {
          if (!(error instanceof ConduitError && EXPECTED.has(error.code))) this.surprises.push(error);
        },
      )
      .finally(() => this.#pending.delete(done));
    this.#pending.add(done);
  }

  async settled(): Promise<void> {
    await Promise.all(this.#pending);
  }
}

async function chaoticServer(stage: Stage, chaos: Chaos): Promise<OpenServer> {
  // A port that stays the same when the server restarts.
  const probe = await stage.listen();
  const { port } = probe.address;
  await probe.stop();
  const limits = { maxConnections: 4, handlerConcurrency: 3, receiveQueueSize: 10, sendQueueSize: 20 };
  const server = stage.server({ port, ...limits });
  server.onClientConnect(async () => {
    chaos.connected++;
    await chaos.turns(4);
  });
  server.onClientDisconnect(() => {
    chaos.disconnected++;
  });
  server.rpc("echo", async (params) => {
    await chaos.turns(4);
    return params;
  });
  server.rpc("back", async (params, { client }) => client.call("echo", params));
  server.on("message", (_client, data) => data);
  await server.start();
  return server;
}

function chaoticClient(stage: Stage, server: OpenServer, chaos: Chaos): OpenClient {
  const client = stage.client(server, {
    handlerConcurrency: 3,
    receiveQueueSize: 10,
    sendQueueSize: 20,
    reconnect: { enabled: true, attempts: 0, delayMs: 1, maxDelayMs: 5 },
    queueWhileDisconnected: chaos.random(2) === 0 ? "send" : "reject",
  });
  client.rpc("echo", async (params) => params);
  client.on("news", () => {});
  return client;
}

async function step(chaos: Chaos, server: OpenServer, client: OpenClient): Promise<void> {
  const { connections } = server;
  const connection = connections[chaos.random(connections.length || 1)];
  switch (chaos.random(12)) {
    case 0:
    case 1:
      chaos.start(client.connect());
      break;
    case 2:
      if (chaos.random(3) === 0) chaos.start(client.disconnect());
      break;
    case 3:
      chaos.start(client.call("echo", { a: 1 }));
      break;
    case 4: {
      const controller = new AbortController();
      chaos.start(client.call("echo", {}, { signal: controller.signal }));
      chaos.start(turn().then(() => controller.abort()));
      break;
    }
    case 5:
      chaos.start(client.call("back", { a: 1 }));
      break;
    case 6:
      chaos.start(client.request("message", "x".repeat(chaos.random(2000))));
      break;
    case 7:
      chaos.start(Promise.resolve().then(() => client.send("message", "y")));
      break;
    case 8:
      server.broadcast("news", "z");
      break;
    case 9:
      if (connection !== undefined) chaos.start(connection.call("echo", {}));
      break;
    case 10:
      if (connection !== undefined && chaos.random(3) === 0) {
        chaos.start(connection.close("bye", { reconnect: chaos.random(2) === 0 }));
      } else if (chaos.random(40) === 0 && server.isRunning) {
        chaos.start(server.stop({ drainMs: chaos.random(10) }).then(() => server.start()));
      }
      break;
    default:
      await chaos.turns(8);
  }
}

/** All operations concurrently and in random order. */
export function describeChaos(subject: Subject): void {
  const staged = stagedOn(subject);

  describe(`chaos on ${subject.name}`, PATIENT, () => {
    for (const seed of [1, 2026]) {
      test(
        `random operations (seed ${seed}) all settle with a known code, and each client that connected disconnects once`,
        staged(async (stage) => {
          const chaos = new Chaos(seed);
          const server = await chaoticServer(stage, chaos);
          const clients = Array.from({ length: 7 }, () => chaoticClient(stage, server, chaos));
          // Connecting takes more turns if turns are short.
          for (let n = 0; n < STEPS || chaos.connected <= ENOUGH_CONNECTED; n++) {
            await step(chaos, server, clients[chaos.random(clients.length)]!);
          }
          await Promise.all(clients.map((client) => client.disconnect()));
          await chaos.settled();
          await server.stop();
          expect(chaos.surprises).toEqual([]);
          expect(chaos.connected).toBeGreaterThan(ENOUGH_CONNECTED);
          expect(chaos.disconnected).toBe(chaos.connected);
          expect(server.connectionCount).toBe(0);
          expect(clients.map(({ state }) => state)).not.toContain("closing");
          expect(clients.every((client) => client.health().pendingCalls === 0)).toBe(true);
        }),
      );
    }
  });
}
