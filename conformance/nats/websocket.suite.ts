import { createRequire } from "node:module";
import { ErrorCode } from "@netconduit/core";
import type { NatsConnect } from "@netconduit/nats";
import { expect, test } from "vitest";
import { NatsProcess } from "../../scripts/lib/nats-process.ts";
import { describeClusterDriver } from "../many-nodes/driver.suite.ts";
import { describeManyNodes } from "../many-nodes/nodes.suite.ts";
import type { Subject } from "../support/subject.ts";
import { type NatsWay, natsSubject } from "./nats-subject.ts";
import { describeScenes, room, type TestNode } from "./scene.ts";
import { describeWithNats } from "./with-nats.ts";

const require = createRequire(new URL("../../packages/nats/package.json", import.meta.url));
/** The driver's copy of nats.js. */
const { wsconnect } = createRequire(require.resolve("@nats-io/transport-node"))("@nats-io/nats-core") as {
  readonly wsconnect: NatsConnect;
};

const OVER_WEBSOCKETS: NatsWay = {
  name: "over NATS by WebSockets",
  start: (nats) => NatsProcess.start(nats, { takesWebSockets: true }),
  portOf: ({ webSocketPort }) => webSocketPort,
  options: (port) => ({ servers: `ws://127.0.0.1:${port}`, connect: wsconnect }),
};

/** The driver over another transport of nats.js, chosen by the option `connect`. */
export function describeNatsByWebSockets(runtime: Subject): Promise<void> {
  return describeWithNats(`NATS by WebSockets on ${runtime.name}`, (nats) => {
    const subject = natsSubject(nats, OVER_WEBSOCKETS);
    describeClusterDriver(subject);
    describeManyNodes(runtime, subject);
    describeScenes("failures of NATS, over WebSockets", nats, (scene) => {
      const connected = async (): Promise<{ server: NatsProcess; a: TestNode }> => {
        const server = await scene().server({ takesWebSockets: true });
        const servers = `ws://127.0.0.1:${server.webSocketPort}`;
        const options = { servers, connect: wsconnect, connectTimeoutMs: 500, pingIntervalMs: 300 };
        return { server, a: await scene().node("a", options) };
      };

      test.each([
        ["nothing", 0],
        ["more than the system's buffers take", 60],
      ])("a stalled NATS server with %s pending is disconnected, and used again when it resumes", async (_, count) => {
        const { server, a } = await connected();
        await server.pause();
        for (let index = 0; index < count; index++) expect(a.send(room, "x".repeat(500_000))).toBe("sent");
        expect(await a.until("reconnecting")).toMatchObject({ code: ErrorCode.HEARTBEAT_TIMEOUT });
        expect(a.lost("sent")).toBe(count);
        server.resume();
        await a.until("connected");
      });

      test("a link that is closed while data waits for a stalled NATS server ends", async () => {
        const { server, a } = await connected();
        await server.pause();
        for (let index = 0; index < 60; index++) a.send(room, "x".repeat(500_000));
        await a.link.close();
      });
    });
  });
}
