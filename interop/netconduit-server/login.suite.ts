import { ErrorCode } from "@netconduit/core";
import { describe, expect, test } from "vitest";
import { EventLog } from "../../packages/core/src/testing/event-log.ts";
import type { Staged } from "../scene.ts";
import type { ServerScene } from "./scene.ts";

export function describeLogin(staged: Staged<ServerScene>): void {
  describe("login", () => {
    test(
      "the right password logs in, and the client learns the server's info",
      staged(async (scene) => {
        const ours = await scene.logIn(await scene.listen({ name: "theirs", version: "9.8.7" }));
        expect(ours.isConnected).toBe(true);
        expect(ours.serverInfo).toEqual({ name: "theirs", version: "9.8.7", description: "", netconduit: true });
        expect(ours.sessionToken).toMatch(/./);
      }),
    );

    test(
      "a wrong password rejects with AUTH_FAILED",
      staged(async (scene) => {
        const ours = scene.client(await scene.listen(), { password: "wrong" });
        await expect(ours.connect()).rejects.toMatchObject({ code: ErrorCode.AUTH_FAILED });
        expect(ours.state).toBe("failed");
      }),
    );

    test(
      "a client that doesn't allow the password hash never sends it, and names the option",
      staged(async (scene) => {
        const ours = scene.client(await scene.listen(), { allowPasswordHash: false });
        await expect(ours.connect()).rejects.toMatchObject({
          code: ErrorCode.PASSWORD_HASH_REFUSED,
          message: expect.stringContaining("allowPasswordHash"),
        });
      }),
    );

    test(
      "a full server, which sends nothing, leads to CONNECT_TIMEOUT",
      staged(async (scene) => {
        const target = await scene.listen({ max_connections: 1 });
        await scene.logIn(target);
        const second = scene.client(target, { connectTimeoutMs: 500 });
        await expect(second.connect()).rejects.toMatchObject({ code: ErrorCode.CONNECT_TIMEOUT });
      }),
    );

    test(
      "100 logins at once get 100 welcomes from the server's connect hook",
      staged(async (scene) => {
        const target = await scene.listen({ max_connections: 1000 });
        const welcomes = new EventLog<unknown>();
        const logins = Array.from({ length: 100 }, async () => {
          const ours = scene.client(target);
          ours.on("welcome", (data) => welcomes.add((data as { id: string }).id));
          await ours.connect();
        });
        await Promise.all(logins);
        expect(new Set(await welcomes.count(100)).size).toBe(100);
      }),
    );
  });
}
