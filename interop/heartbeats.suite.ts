import type { CloseReason } from "@netconduit/core";
import { describe, expect, test } from "vitest";
import { Cleanups } from "../conformance/support/cleanups.ts";
import { PASSWORD } from "./password.ts";
import { type DriverProgram, PythonDriver } from "./python-driver.ts";
import type { InteropSubject } from "./scene.ts";

/** netconduit's shortest heartbeat interval, which is in whole seconds. */
const INTERVAL_S = 1;
/** A connection ends after three intervals without an answer, before this time. */
const TIMEOUT_S = 4;
const BEATS = 6;
/** Polling interval, because neither side has an event for heartbeats. */
const ASK_EVERY_MS = 100;

const theirHeartbeat = { heartbeat_interval: INTERVAL_S, heartbeat_timeout: TIMEOUT_S };
const ourHeartbeat = { heartbeatIntervalMs: INTERVAL_S * 1000, heartbeatTimeoutMs: TIMEOUT_S * 1000 };
const login = { host: "127.0.0.1", password: PASSWORD, allowPasswordHash: true };

/** State reported by netconduit's end of a connection. */
interface TheirEnd {
  readonly connected: boolean;
  readonly answered: number;
}

/** An idle connection between netconduit and this library. */
interface Pair {
  theirs(): Promise<TheirEnd | undefined>;
  ours(): { readonly connected: boolean; readonly samples: number; readonly latencyMs: number | null };
  /** Disconnects seen by our side. */
  readonly ends: readonly CloseReason[];
}

/**
 * Two idle connections, one in each direction, with their own drivers. They open before all other tests of a file and
 * are checked after them, so that heartbeats happen in the meantime.
 */
export class HeartbeatPairs extends Cleanups {
  readonly #subject: InteropSubject;
  readonly #python: string;
  #client: Promise<Pair> | null = null;
  #server: Promise<Pair> | null = null;

  constructor(subject: InteropSubject, python: string) {
    super();
    this.#subject = subject;
    this.#python = python;
  }

  /** Starts both. Failures reject `theirClient` and `theirServer`. */
  start(): void {
    this.#client = this.#makeTheirClient();
    this.#server = this.#makeTheirServer();
    for (const pair of [this.#client, this.#server]) pair.catch(() => undefined);
  }

  get theirClient(): Promise<Pair> {
    return made(this.#client);
  }

  get theirServer(): Promise<Pair> {
    return made(this.#server);
  }

  override async dispose(): Promise<void> {
    await Promise.allSettled([this.#client, this.#server]);
    await super.dispose();
  }

  async #drive(program: DriverProgram): Promise<PythonDriver> {
    const driver = await PythonDriver.start(this.#python, program);
    this.defer(() => driver.kill());
    return driver;
  }

  async #makeTheirClient(): Promise<Pair> {
    const driver = await this.#drive("client_driver.py");
    const server = new this.#subject.Server({ ...login, port: 0, ...ourHeartbeat });
    this.defer(() => server.stop({ drainMs: 0 }));
    const ends: CloseReason[] = [];
    server.onClientDisconnect((_, reason) => void ends.push(reason));
    await server.start();
    const options = { server_port: server.address.port, password: PASSWORD, ...theirHeartbeat };
    await driver.run("connect", { client: "theirs", options });
    const connection = server.connections[0];
    if (connection === undefined) throw new Error("netconduit's client is not connected");
    return {
      ends,
      theirs: () => driver.run<TheirEnd>("heartbeat", { client: "theirs" }),
      ours: () => ({
        connected: connection.isConnected,
        samples: connection.latency.samples,
        latencyMs: connection.latencyMs,
      }),
    };
  }

  async #makeTheirServer(): Promise<Pair> {
    const driver = await this.#drive("server_driver.py");
    const options = { password: PASSWORD, ...theirHeartbeat };
    const port = await driver.run<number>("start", { server: "theirs", options });
    const client = new this.#subject.Client({ ...login, port, ...ourHeartbeat });
    this.defer(() => client.disconnect());
    const ends: CloseReason[] = [];
    client.onDisconnect((_, reason) => void ends.push(reason));
    await client.connect();
    return {
      ends,
      theirs: async () => (await driver.run<TheirEnd[]>("heartbeat", { server: "theirs" }))[0],
      ours: () => ({
        connected: client.isConnected,
        samples: client.health().latency?.samples ?? 0,
        latencyMs: client.latencyMs,
      }),
    };
  }
}

/** `pairs` must have been started. */
export function describeHeartbeats(pairs: HeartbeatPairs, on: string): void {
  describe(`heartbeats ${on}`, () => {
    test("netconduit's client and our server keep each other alive", async () => {
      await expectAlive(await pairs.theirClient);
    });

    test("our client and netconduit's server keep each other alive", async () => {
      await expectAlive(await pairs.theirServer);
    });
  });
}

/** Waits until each end has received BEATS answers. Fails if a connection ends. */
async function expectAlive({ theirs, ours, ends }: Pair): Promise<void> {
  let theirEnd = await theirs();
  while (theirEnd?.connected && ours().connected && (theirEnd.answered < BEATS || ours().samples < BEATS)) {
    await new Promise((resolve) => setTimeout(resolve, ASK_EVERY_MS));
    theirEnd = await theirs();
  }
  expect(ends).toEqual([]);
  expect(theirEnd?.connected).toBe(true);
  expect(ours().connected).toBe(true);
  expect(ours().latencyMs).toBeGreaterThan(0);
}

function made(pair: Promise<Pair> | null): Promise<Pair> {
  return pair ?? Promise.reject(new Error("start() was not called"));
}
