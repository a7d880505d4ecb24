/**
 * The client process of one runtime in the demo on three runtimes. It is itself a client of the demo program, which
 * sends commands as calls; it reports the messages that its own clients receive.
 *
 * Environment: DEMO_PORT, DEMO_PASSWORD. It exits when its connection to the demo ends.
 */

import { Client, RpcError } from "@netconduit/node";
import * as v from "valibot";
import { timed } from "./demo-checks.ts";
import { Ask, AskOften, LogIn } from "./demo-orders.ts";
import { thisRuntime } from "./runtimes.ts";

const { DEMO_PORT, DEMO_PASSWORD = "" } = process.env;
const once = { host: "127.0.0.1", reconnect: { enabled: false } };

const runtime = thisRuntime();
const demo = new Client({ ...once, port: Number(DEMO_PORT), password: DEMO_PASSWORD, name: runtime });
/** By the server's runtime. */
const clients = new Map<string, Client>();

function clientOf(server: string): Client {
  const client = clients.get(server);
  if (client === undefined) throw new Error(`No client has logged in to the server on ${server}`);
  return client;
}

demo.rpc("log_in", LogIn, async ({ server, ...options }) => {
  const client = new Client({ ...options, reconnect: { enabled: false } });
  clients.set(server, client);
  for (const type of ["user_join", "chat"])
    client.on(type, (data) => void demo.send("received", { server, type, data }));
  client.onDisconnect((_client, { code, message, byPeer }) => {
    demo.send("received", { server, type: "closed", data: { code, message, byPeer } });
  });
  const { ms } = await timed(() => client.connect());
  return { greeting: `${client.serverInfo?.name} ${client.serverInfo?.version}`, ms };
});

demo.rpc("ask", Ask, async ({ server, what, name, data }) => {
  const client = clientOf(server);
  const startedAt = performance.now();
  try {
    const answer = await (what === "call" ? client.call(name, data) : client.request(name, data));
    return { code: 0, answer, ms: performance.now() - startedAt };
  } catch (error) {
    if (!(error instanceof RpcError)) throw error;
    return { code: error.code, answer: error.message, ms: performance.now() - startedAt };
  }
});

demo.rpc("ask_often", AskOften, async ({ server, calls }) => {
  const client = clientOf(server);
  const result = v.object({ result: v.number() });
  const { value, ms } = await timed(() =>
    Promise.all(
      Array.from({ length: calls }, (_, a) => client.call("calculate", { a, b: 1, operation: "add" }, { result })),
    ),
  );
  return { right: value.filter((answer, a) => answer.result === a + 1).length, ms };
});

demo.onDisconnect(async () => {
  await Promise.all([...clients.values()].map((client) => client.disconnect()));
});

await demo.connect();
await demo.call("started", { runtime, version: process.versions[runtime] ?? "", pid: process.pid });
