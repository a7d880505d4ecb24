import { type CloseReason, ErrorCode } from "@netconduit/core";
import { describe, expect, test } from "vitest";
import { EventLog } from "../../packages/core/src/testing/event-log.ts";
import { PASSWORD } from "../password.ts";
import type { Staged } from "../scene.ts";
import type { ServerScene } from "./scene.ts";

export function describeClosing(staged: Staged<ServerScene>): void {
  describe("the end", () => {
    test(
      "a stopping server closes the connection cleanly, and pending calls reject immediately",
      staged(async (scene) => {
        const target = await scene.listen();
        const ours = scene.client(target);
        const ends = new EventLog<CloseReason>();
        ours.onDisconnect((_, reason) => ends.add(reason));
        await ours.connect();
        const pending = ours.call("never").catch((error: unknown) => error);
        await scene.driver.next({ event: "never", server: target.server });
        await scene.driver.run("stop", { server: target.server });
        expect(await ends.next()).toMatchObject({ code: ErrorCode.CONNECTION_CLOSED, byPeer: true });
        expect(await pending).toMatchObject({ code: ErrorCode.CONNECTION_CLOSED });
        expect(ours.isConnected).toBe(false);
      }),
    );

    test(
      "the client notices that the server's process died",
      staged(async (scene) => {
        const mortal = await scene.driver.startAnother();
        scene.defer(() => mortal.kill());
        const port = await mortal.run<number>("start", { server: "mortal", options: { password: PASSWORD } });
        const ours = scene.client({ server: "mortal", port });
        const ends = new EventLog<CloseReason>();
        ours.onDisconnect((_, reason) => ends.add(reason));
        await ours.connect();
        await mortal.kill();
        await ends.next();
        expect(ours.isConnected).toBe(false);
      }),
    );

    test(
      "disconnect() flushes the send queue, and the server notices the close",
      staged(async (scene) => {
        const target = await scene.listen();
        const ours = await scene.logIn(target, { closeTimeoutMs: 5000 });
        const id = await scene.idOf(ours);
        const ballast = new Uint8Array(65_536);
        for (let n = 0; n < 100; n += 1) ours.send("count", { n, last: 99, ballast });
        await ours.disconnect();
        expect(ours.isConnected).toBe(false);
        const { numbers: counted } = await scene.driver.next({ event: "counted", server: target.server });
        expect(counted).toHaveLength(100);
        await scene.driver.next({ event: "disconnect", server: target.server, connection: id });
        expect(await scene.driver.run("log")).not.toContainEqual(expect.stringContaining("Read loop error"));
      }),
    );
  });
}
