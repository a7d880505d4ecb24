import { type CloseReason, type Connection, ErrorCode } from "@netconduit/core";
import { describe, expect, test } from "vitest";
import { EventLog } from "../../packages/core/src/testing/event-log.ts";
import type { Staged } from "../scene.ts";
import { mebibyte } from "../wire-values.ts";
import { withMethods } from "./methods.ts";
import type { ClientScene } from "./scene.ts";

export function describeClosing(staged: Staged<ClientScene>): void {
  describe("the end", () => {
    test(
      "stop() settles with a client connected, and the client sees a clean close",
      staged(async (scene) => {
        const reasons = new EventLog<CloseReason>();
        const server = await scene.listen({}, (made) => made.onClientDisconnect((_, reason) => reasons.add(reason)));
        const { client } = await scene.logIn(server, {}, ["bye"]);
        server.onShutdown(() => server.broadcast("bye", { why: "maintenance" }));
        await server.stop();
        expect(server.state).toBe("stopped");
        expect(server.connectionCount).toBe(0);
        expect(reasons.all).toMatchObject([{ code: ErrorCode.SERVER_STOPPING }]);
        expect(await scene.message(client, "bye")).toEqual({ why: "maintenance" });
        await scene.driver.next({ event: "disconnect", client });
        expect(await scene.driver.run("log")).toEqual([]);
      }),
    );

    test(
      "stop() lets a running call finish, and delivers all that was sent",
      staged(async (scene) => {
        const started = new EventLog<unknown>();
        const finish = new EventLog<unknown>();
        const server = await scene.listen({}, (made) =>
          made.rpc("slow", async (params) => {
            started.add(params);
            await finish.next();
            return "done";
          }),
        );
        const { client, connection } = await scene.logIn(server, {}, ["blob"]);
        const call = scene.callData(client, "slow", {});
        await started.next();
        server.onShutdown(() => {
          for (let n = 0; n < 8; n += 1) connection.send("blob", mebibyte());
          finish.add(null);
        });
        await server.stop();
        expect(await call).toBe("done");
        for (let n = 0; n < 8; n += 1) {
          const blob = (await scene.message(client, "blob")) as Uint8Array;
          expect(Buffer.compare(blob, mebibyte())).toBe(0);
        }
        await scene.driver.next({ event: "disconnect", client });
      }),
    );

    test(
      "a client that disconnects closes its connection cleanly, once, and frees its place immediately",
      staged(async (scene) => {
        const reasons = new EventLog<CloseReason>();
        const server = await scene.listen({ maxConnections: 1 }, (made) =>
          made.onClientDisconnect((_, reason) => reasons.add(reason)),
        );
        for (const count of [1, 2, 3]) {
          // The server accepts one client, so each login requires that the previous connection has ended.
          const { client } = await scene.logIn(server);
          await scene.driver.run("disconnect", { client });
          await reasons.count(count);
        }
        const clean = { code: ErrorCode.CONNECTION_CLOSED, byPeer: true };
        expect(reasons.all).toMatchObject([clean, clean, clean]);
      }),
    );

    test(
      "a client whose process dies frees its place",
      staged(async (scene) => {
        const disconnected = new EventLog<Connection>();
        const server = await scene.listen({}, (made) =>
          made.onClientDisconnect((connection) => disconnected.add(connection)),
        );
        const mortal = await scene.driver.startAnother();
        scene.defer(() => mortal.kill());
        await mortal.run("connect", { client: "mortal", options: scene.target(server) });
        expect(server.connectionCount).toBe(1);
        await mortal.kill();
        await disconnected.next();
        expect(server.connectionCount).toBe(0);
      }),
    );

    test(
      "a client reconnects automatically after the server restarts",
      staged(async (scene) => {
        const server = await scene.listen({}, withMethods);
        const { port } = server.address;
        const { client } = await scene.logIn(server, {
          reconnect_enabled: true,
          reconnect_attempts: 0,
          reconnect_delay: 0.1,
        });
        await server.stop();
        await scene.listen({ port }, withMethods);
        await scene.driver.next({ event: "reconnect", client });
        expect(await scene.callData(client, "add", { a: 1, b: 1 })).toBe(2);
      }),
    );
  });
}
