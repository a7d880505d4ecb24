import { type Connection, ErrorCode, type Identity, type Rejection } from "@netconduit/core";
import { describe, expect, test } from "vitest";
import { gate } from "../../packages/core/src/test-support/gate.ts";
import { EventLog } from "../../packages/core/src/testing/event-log.ts";
import { Type } from "../../packages/core/src/testing/raw-frames.ts";
import { failureOf } from "../support/failures.ts";
import type { Subject } from "../support/subject.ts";
import { until } from "../support/turns.ts";
import { DEPARTURES } from "./departures.ts";
import { PASSWORD, PATIENT, stagedOn } from "./stage.ts";

/** Limits on connections and logins, and how slots become free. */
export function describeConnectionLimits(subject: Subject): void {
  const staged = stagedOn(subject);

  describe(`limits on connections on ${subject.name}`, PATIENT, () => {
    for (const [how, leave] of DEPARTURES) {
      test(
        `a closed peer's slot is free at once: one that ${how}`,
        staged(async (stage) => {
          const server = await stage.listen({ maxConnections: 1 });
          const left = new EventLog<Connection>();
          server.onClientDisconnect(left.add);
          const peer = await stage.rawLoggedIn(server);
          leave(peer);
          await left.next();
          expect(server.connectionCount).toBe(0);
          const next = await stage.join(server);
          expect(next.isConnected).toBe(true);
        }),
      );
    }

    test(
      "the client over maxConnections receives SERVER_FULL and is closed, and onClientRejected runs",
      staged(async (stage) => {
        const server = await stage.listen({ maxConnections: 2 });
        const rejections = new EventLog<Rejection>();
        server.onClientRejected(rejections.add);
        await stage.join(server);
        await stage.join(server);
        const third = stage.client(server);
        const failure = await failureOf(third.connect());
        expect(failure).toMatchObject({ code: ErrorCode.SERVER_FULL });
        expect(failure.message).toContain("Server full: 2 clients are connected");
        expect(third.state).toBe("failed");
        expect(await rejections.next()).toMatchObject({
          code: 3010,
          message: "Server full: 2 clients are connected",
          remoteAddress: expect.stringMatching(/^127\.0\.0\.1:\d+$/),
        });
        expect(server.stats).toMatchObject({ loggedIn: 2, rejected: 1, authFailures: 0 });

        const peer = await stage.raw(server);
        await expect(peer.login({ password: PASSWORD })).rejects.toThrow();
        expect(peer.frames.all.at(-1)).toMatchObject({
          type: Type.AUTH_FAILURE,
          payload: { reason: "Server full: 2 clients are connected", code: 3010 },
        });
        await peer.over;
        expect(rejections.all).toHaveLength(2);
      }),
    );

    test(
      "maxConnections holds when many log in at the same moment",
      staged(async (stage) => {
        // All tokens are accepted in the same turn.
        const together = gate();
        let waiting = 0;
        const token = async (name: string): Promise<Identity> => {
          waiting++;
          await together.promise;
          return { name, roles: [] };
        };
        const server = await stage.listen({ maxConnections: 5, maxPendingLogins: 100, authenticate: { token } });
        const credentials = { token: "ada" };
        const clients = Array.from({ length: 30 }, () => stage.client(server, { password: undefined, credentials }));
        const results = Promise.allSettled(clients.map((client) => client.connect()));
        await until(() => waiting === clients.length);
        together.open();
        const settled = await results;
        expect(settled.filter(({ status }) => status === "fulfilled")).toHaveLength(5);
        expect(server.connectionCount).toBe(5);
        for (const result of settled) {
          if (result.status === "rejected") expect(result.reason).toMatchObject({ code: ErrorCode.SERVER_FULL });
        }
      }),
    );

    test(
      "a peer that says CLOSE and lingers is aborted when a new client needs its place",
      staged(async (stage) => {
        const server = await stage.listen({ maxConnections: 2, closeTimeoutMs: 300_000 });
        server.rpc("large", () => new Uint8Array(4 * 1024 * 1024));
        const left = new EventLog<Connection>();
        server.onClientDisconnect(left.add);
        const first = await stage.join(server);
        const lingering = await stage.rawLoggedIn(server);
        lingering.pause();
        lingering.call("large");
        lingering.send(Type.CLOSE, { reason: "bye" });
        await until(() => server.connectionCount === 1);
        expect(left.all).toEqual([]);
        const second = await stage.join(server);
        await left.next();
        expect([first.isConnected, second.isConnected]).toEqual([true, true]);
        lingering.resume();
        await lingering.over;
      }),
    );

    test(
      "a rejected client is accepted once there is room",
      staged(async (stage) => {
        const server = await stage.listen({ maxConnections: 1 });
        const first = await stage.join(server);
        const second = stage.client(server);
        await failureOf(second.connect());
        await first.disconnect();
        await until(() => server.connectionCount === 0);
        await second.connect();
        expect(second.isConnected).toBe(true);
      }),
    );

    test(
      "connections that have not logged in are bounded by maxPendingLogins, and take no client's slot",
      staged(async (stage) => {
        const server = await stage.listen({ maxPendingLogins: 2, maxConnections: 1 });
        const rejections = new EventLog<Rejection>();
        server.onClientRejected(rejections.add);
        const strangers = [await stage.raw(server), await stage.raw(server)];
        await until(() => server.stats.accepted === 2);
        await stage.raw(server);
        // The oldest connection is dropped, so idle connections can't exclude clients.
        await strangers[0]?.over;
        expect(await rejections.next()).toMatchObject({ code: ErrorCode.SERVER_FULL });
        const client = stage.client(server);
        await client.connect();
        expect(server.connectionCount).toBe(1);
      }),
    );

    test(
      "a wrong password leaves no slot taken and no connection behind",
      staged(async (stage) => {
        const server = await stage.listen({ maxConnections: 1 });
        const wrong = stage.client(server, { password: `${PASSWORD}!` });
        expect((await failureOf(wrong.connect())).code).toBe(ErrorCode.AUTH_FAILED);
        expect(server.connectionCount).toBe(0);
        expect((await stage.join(server)).isConnected).toBe(true);
      }),
    );
  });
}
