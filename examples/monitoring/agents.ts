/** The agents of the monitoring server: registers them, and collects their samples. */

import { ConduitError, type Contract, type Server } from "@netconduit/node";
import * as v from "valibot";
import { Sample } from "./samples.ts";

export interface Watched {
  /** Name of the agent; null for a dashboard. */
  agent: string | null;
  sample: Sample | null;
}

type Monitoring = Server<Contract, Watched>;

export function addAgents(server: Monitoring): void {
  server.rpc("register", v.object({ agent: v.string() }), ({ agent }, { client }) => {
    client.data.agent = agent;
    console.log(`${agent} registered from ${client.remoteAddress}${client.tls === null ? "" : " over TLS"}`);
  });

  server.rpc("report", () =>
    server.connections.flatMap(({ data: { agent, sample }, remoteAddress, session, latencyMs }) =>
      agent === null
        ? []
        : [{ agent, address: remoteAddress, connectedAt: new Date(session.createdAt), latencyMs, sample }],
    ),
  );

  server.onClientDisconnect(({ data: { agent } }, reason) => {
    if (agent !== null) console.log(`${agent} disconnected: ${reason.message}`);
  });
}

/** Collects a sample from all agents in parallel. An agent that doesn't answer within a second is skipped. */
export async function collect(server: Monitoring): Promise<void> {
  await Promise.all(
    server.connections.map(async (connection) => {
      const { data, latencyMs } = connection;
      if (data.agent === null) return;
      try {
        data.sample = await connection.call("collect", {}, { result: Sample, timeoutMs: 1000 });
        const latency = latencyMs === null ? "" : `, latency ${latencyMs.toFixed(2)} ms`;
        console.log(`${data.agent}: ${data.sample.memoryMiB} MiB, up ${data.sample.uptimeSeconds} s${latency}`);
      } catch (error) {
        if (!(error instanceof ConduitError)) throw error;
        console.log(`${data.agent}: no sample (${error.codeName}: ${error.message})`);
      }
    }),
  );
}
