import { ErrorCode } from "@netconduit/core";
import { expect, test } from "vitest";
import type { NatsInstallation } from "../../scripts/lib/nats-server.ts";
import { describeScenes, room } from "./scene.ts";

const SEED = "SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY";

/** Faults around a link that doesn't end by them. */
export function describeNatsDamage(nats: NatsInstallation): void {
  describeScenes("a link over NATS goes on", nats, (scene) => {
    test("when the function for the credentials throws at a reconnect: it says so, and asks it again", async () => {
      const nats = await scene().server();
      let asked: (() => void) | null = null;
      const nkeySeed = (): string => {
        if (asked === null) return SEED;
        asked();
        throw new Error("no file for a moment");
      };
      const a = await scene().node("a", { servers: nats.url, nkeySeed });
      const b = await scene().node("b", { servers: nats.url });
      const heard = await a.listen(room);
      const failed = new Promise<void>((resolve) => {
        asked = resolve;
      });
      await nats.kill();
      await nats.start();
      await failed;
      asked = null;
      await Promise.all([a.until("connected"), b.until("connected")]);
      expect(a.states.all).toContainEqual({
        state: "reconnecting",
        code: ErrorCode.AUTH_FAILED,
        message: "Cannot log in to NATS: the option nkeySeed gives no valid login: no file for a moment",
      });
      b.send(room, "hello");
      expect(await heard.next()).toBe("hello");
    });
  });
}
