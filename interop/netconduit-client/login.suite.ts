import { ErrorCode, type Rejection } from "@netconduit/core";
import { describe, expect, test } from "vitest";
import { EventLog } from "../../packages/core/src/testing/event-log.ts";
import type { Staged } from "../scene.ts";
import type { ClientScene } from "./scene.ts";

export function describeLogin(staged: Staged<ClientScene>): void {
  describe("login", () => {
    test(
      "the right password logs in, and both sides learn the other's info",
      staged(async (scene) => {
        const server = await scene.listen({ name: "ours", version: "3.2.1" });
        const { connected, server_info } = await scene.dial(server, { name: "theirs", version: "9.8.7" });
        expect(connected).toBe(true);
        expect(server_info).toEqual({ name: "ours", version: "3.2.1" });
        expect(server.connections[0]?.info).toEqual({
          name: "theirs",
          version: "9.8.7",
          description: "",
          netconduit: true,
        });
        expect(server.connections[0]?.session.method).toBe("password-hash");
      }),
    );

    test(
      "a wrong password is rejected, counted and reported",
      staged(async (scene) => {
        const rejections = new EventLog<Rejection>();
        const server = await scene.listen({}, (made) => made.onClientRejected(rejections.add));
        const { connected, log } = await scene.dial(server, { password: "wrong" });
        expect(connected).toBe(false);
        expect(log.join()).toContain("Invalid password");
        expect(await rejections.count(1)).toMatchObject([{ code: ErrorCode.AUTH_FAILED }]);
        expect(server.stats.authFailures).toBe(1);
        expect(server.connectionCount).toBe(0);
      }),
    );

    test(
      "a server that doesn't allow the password hash names the option",
      staged(async (scene) => {
        const server = await scene.listen({ allowPasswordHash: false });
        const { connected, log } = await scene.dial(server);
        expect(connected).toBe(false);
        expect(log.join()).toContain("allowPasswordHash");
      }),
    );

    test(
      "a client over the limit is told that the server is full",
      staged(async (scene) => {
        const server = await scene.listen({ maxConnections: 1 });
        await scene.logIn(server);
        const { connected, log } = await scene.dial(server);
        expect(connected).toBe(false);
        expect(log.join()).toContain("Server full");
      }),
    );

    test(
      "100 logins, ten at a time, get 100 welcomes from onClientConnect",
      staged(async (scene) => {
        const server = await scene.listen({}, (made) => {
          made.onClientConnect((connection) => connection.send("welcome", { id: connection.id }));
        });
        const counts = await scene.driver.run("logins", { options: scene.target(server), count: 100, at_once: 10 });
        expect(counts).toEqual({ logins: 100, welcomes: 100, different: 100 });
      }),
    );
  });
}
