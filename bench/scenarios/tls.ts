import type { Scenario } from "../lib/scenario.ts";
import { MIB, measureTransfer, SPEED } from "./binary.ts";
import { CONNECTS } from "./connects.ts";
import { CALLS, compileLoad, measureLoad } from "./rpc.ts";

const CLIENTS = 200;

export const tls: Scenario = {
  name: "tls",
  title: "TLS on and off",
  description:
    "Three measurements without and with TLS 1.3: calls with 64 in flight, 1 MiB messages to the server, and " +
    "connects (200 clients, 16 at a time).",
  needs: ["tls", "rpc", "binary", "connects"],
  pairs: "node",
  peers: ["raw", "netconduit", "ws"],
  quick: false,
  maxRounds: 2,
  async measure({ plan, withSession, sample }) {
    for (const on of [false, true]) {
      const state = on ? "TLS" : "plain";
      await withSession({ tls: on, maxPayloadBytes: MIB, maxConnections: CLIENTS + 100 }, async (session) => {
        await session.connect(1);
        const load = { kind: "call", inFlight: 64, methods: 1 } as const;
        await compileLoad(session, plan, load);
        const { perSecond } = await measureLoad(session, plan, load);
        sample(`calls, ${state}`, CALLS, perSecond);
        const { megabytesPerSecond } = await measureTransfer(session, plan, "upload", MIB);
        sample(`1 MiB, ${state}`, SPEED, megabytesPerSecond);
        await session.disconnect();
        sample(`connects, ${state}`, CONNECTS, CLIENTS / (await session.connect(CLIENTS, 16)));
      });
    }
  },
};
