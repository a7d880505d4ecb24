import { ConduitError, ErrorCode } from "@netconduit/core";
import { describe, expect, test } from "vitest";
import { gate } from "../../packages/core/src/test-support/gate.ts";
import { EventLog } from "../../packages/core/src/testing/event-log.ts";
import { failureOf } from "../support/failures.ts";
import { Relay } from "../support/relay.ts";
import type { OpenServer, Subject } from "../support/subject.ts";
import { turn, until } from "../support/turns.ts";
import { slowMethod } from "./slow-method.ts";
import { PATIENT, type Stage, stagedOn } from "./stage.ts";

/** Numbers in the parameters of the calls that a server has started. */
type Started = number[];

/**
 * Adds a method `work` that adds its call to `started` and answers a few turns later. From the 20th call, calls also
 * wait for `go`, so that the server has received more calls than it has started.
 */
function worker(server: OpenServer, name: string, started: Started, go?: Promise<void>): void {
  server.rpc("who", () => name);
  server.rpc("work", async ({ n }) => {
    started.push(n as number);
    if (started.length >= 20) await go;
    for (let turns = 0; turns < 3; turns += 1) await turn();
    return n;
  });
}

interface Address {
  readonly port: number;
}

/** Returns a port on which a server listened before. */
async function freePort(stage: Stage): Promise<Address> {
  const server = await stage.listen();
  const { port } = server.address;
  await server.stop();
  return { port };
}

/** Starts a new server at the address of a stopped server. */
async function comeBack(
  stage: Stage,
  { port }: Address,
  prepare: (server: OpenServer) => void = () => {},
): Promise<OpenServer> {
  const server = stage.server({ port });
  prepare(server);
  await server.start();
  return server;
}

/** Client pools with servers that stop, are killed and return. */
export function describePool(subject: Subject): void {
  const staged = stagedOn(subject);

  /** @param go awaited by the second server's calls from the 20th call */
  async function workers(stage: Stage, go?: Promise<void>): Promise<{ servers: OpenServer[]; started: Started[] }> {
    const started: Started[] = [[], [], []];
    const servers: OpenServer[] = [];
    for (const [index, log] of started.entries()) {
      const server = await stage.listen({ handlerConcurrency: 4 });
      worker(server, `s${index}`, log, index === 1 ? go : undefined);
      servers.push(server);
    }
    return { servers, started };
  }

  /** Waits for calls `0` to `count - 1` of `work`. Returns which succeeded and which failed. */
  async function outcomes(
    calls: readonly Promise<unknown>[],
  ): Promise<{ answered: number[]; failed: Map<number, ConduitError> }> {
    const answered: number[] = [];
    const failed = new Map<number, ConduitError>();
    for (const [n, outcome] of (await Promise.allSettled(calls)).entries()) {
      if (outcome.status === "fulfilled") {
        expect(outcome.value).toBe(n);
        answered.push(n);
      } else {
        expect(outcome.reason).toBeInstanceOf(ConduitError);
        failed.set(n, outcome.reason);
      }
    }
    return { answered, failed };
  }

  describe(`pools on ${subject.name}`, PATIENT, () => {
    test(
      "a server that stops in the middle of calls loses none that it never started, and gets calls again when it is back",
      staged(async (stage) => {
        const go = gate();
        const { servers, started } = await workers(stage, go.promise);
        const [, stopping] = servers as [OpenServer, OpenServer, OpenServer];
        const pool = stage.pool(servers);
        await pool.connect({ all: true });
        const calls = Array.from({ length: 300 }, (_, n) => pool.call("work", { n }));
        const ended = outcomes(calls);
        await until(() => (started[1]?.length ?? 0) >= 20);
        const { address } = stopping;
        await stopping.stop({ drainMs: 0 });
        go.open();
        const { answered, failed } = await ended;
        expect(answered.length + failed.size).toBe(300);
        for (const [n, { code, details }] of failed) {
          expect({ n, code, details }).toEqual({ n, code: ErrorCode.CONNECTION_CLOSED, details: { started: true } });
          expect(started[1]).toContain(n);
        }
        const all = started.flat();
        expect(new Set(all).size).toBe(300);
        expect(all).toHaveLength(300);
        expect(pool.stats.movedCalls).toBeGreaterThan(0);

        await comeBack(stage, address, (server) => worker(server, "back", []));
        await until(() => pool.stats.connectedServers === 3);
        const answers = await Promise.all(Array.from({ length: 6 }, () => pool.call("who")));
        expect(new Set(answers)).toEqual(new Set(["s0", "back", "s2"]));
      }),
    );

    test(
      "a server that is killed in the middle of calls fails those that it may have started, and nothing runs twice",
      staged(async (stage) => {
        const go = gate();
        const { servers, started } = await workers(stage, go.promise);
        const relays = servers.map(({ address }) => new Relay(address.port));
        for (const relay of relays) {
          await relay.start();
          stage.defer(() => relay.kill());
        }
        const killed = relays[1] as Relay;
        const pool = stage.pool(relays);
        await pool.connect({ all: true });
        const calls = Array.from({ length: 300 }, (_, n) => pool.call("work", { n }));
        const ended = outcomes(calls);
        await until(() => (started[1]?.length ?? 0) >= 20);
        await killed.kill();
        go.open();
        const { answered, failed } = await ended;
        expect(answered.length + failed.size).toBe(300);
        expect(failed.size).toBeLessThanOrEqual(100);
        for (const { code } of failed.values()) expect(code).toBe(ErrorCode.CONNECTION_CLOSED);
        const all = started.flat();
        expect(new Set(all).size).toBe(all.length);

        expect(await Promise.all(Array.from({ length: 4 }, () => pool.call("who")))).not.toContain("s1");
        await killed.start();
        await until(() => pool.stats.connectedServers === 3);
        expect(await Promise.all(Array.from({ length: 3 }, () => pool.call("who")))).toContain("s1");
      }),
    );

    test(
      "a server that is draining finishes its calls and gets no more",
      staged(async (stage) => {
        const first = await stage.listen();
        const second = await stage.listen();
        first.rpc("who", () => "first");
        second.rpc("who", () => "second");
        const { started, go } = slowMethod(first);
        const pool = stage.pool([first, second]);
        await pool.connect({ all: true });
        const slow = Promise.any([pool.call("slow"), pool.call("slow")]);
        await started.promise;
        const stop = first.stop({ drainMs: 20_000 });
        await until(() => pool.stats.servers[0]?.isDraining === true);
        for (let n = 0; n < 4; n += 1) expect(await pool.call("who")).toBe("second");
        go.open();
        expect(await slow).toBe("finished");
        await stop;
      }),
    );

    test(
      "servers call the pool's methods and send it messages, also after a restart",
      staged(async (stage) => {
        const server = await stage.listen();
        const pool = stage.pool([server], { size: 2 });
        pool.rpc("double", ({ n }) => (n as number) * 2);
        const notes = new EventLog<unknown>();
        pool.on("note", notes.add);
        await pool.connect({ all: true });
        const use = async (used: OpenServer, round: number): Promise<void> => {
          await until(() => used.connectionCount === 2);
          for (const connection of used.connections) expect(await connection.call("double", { n: 4 })).toBe(8);
          used.broadcast("note", round);
          await notes.count(2 * round);
        };
        await use(server, 1);
        const { address } = server;
        await server.stop();
        await use(await comeBack(stage, address), 2);
        expect(notes.all).toEqual([1, 1, 2, 2]);
      }),
    );

    test(
      "callAll and broadcast reach every server once, and name one that isn't there",
      staged(async (stage) => {
        const { servers } = await workers(stage);
        const notes = new EventLog<unknown>();
        for (const server of servers) server.on("note", (_client, data) => notes.add(data));
        const pool = stage.pool(servers, { size: 2 });
        await pool.connect({ all: true });
        const [first] = servers as [OpenServer];
        await first.stop();
        await until(() => pool.stats.connectedServers === 2);
        const names = pool.stats.servers.map(({ server }) => server);
        expect(await pool.callAll<string>("who")).toMatchObject([
          { server: names[0], ok: false, error: { code: ErrorCode.CONNECTION_CLOSED } },
          { server: names[1], ok: true, result: "s1" },
          { server: names[2], ok: true, result: "s2" },
        ]);
        expect(pool.broadcast("note", "all").map(({ ok }) => ok)).toEqual([false, true, true]);
        expect(await notes.count(2)).toEqual(["all", "all"]);
      }),
    );

    test(
      "a server that isn't there at first is connected to when it starts",
      staged(async (stage) => {
        const present = await stage.listen();
        const late = await freePort(stage);
        present.rpc("who", () => "present");
        const pool = stage.pool([{ address: late }, present]);
        await pool.connect();
        expect(await pool.call("who")).toBe("present");
        await comeBack(stage, late, (server) => void server.rpc("who", () => "late"));
        await until(() => pool.stats.connectedServers === 2);
        expect(await Promise.all([pool.call("who"), pool.call("who")])).toContain("late");
      }),
    );

    test(
      "connect() rejects if no server can be reached, and the pool can connect later",
      staged(async (stage) => {
        const address = await freePort(stage);
        const pool = stage.pool([{ address }, { address: await freePort(stage) }]);
        expect((await failureOf(pool.connect())).code).toBe(ErrorCode.CONNECTION_REFUSED);
        await comeBack(stage, address);
        await pool.connect();
        expect(pool.isConnected).toBe(true);
      }),
    );

    test(
      "a server may be given by its name",
      staged(async (stage) => {
        const server = await stage.listen();
        server.rpc("who", () => "named");
        const pool = stage.ownPool({ servers: [{ host: "localhost", port: server.address.port }] });
        await pool.connect();
        expect(await pool.call("who")).toBe("named");
      }),
    );
  });
}
