/**
 * The server of a fleet: it distributes the devices' samples, relays commands and logs, and stores uploaded files.
 *
 *     node examples/fleet/server.ts
 *
 * Environment: HOST (127.0.0.1), PORT (7450), PASSWORD (of dashboards, secret123), DEVICE_PASSWORD (of devices, secret456),
 * FILES (folder for uploads, here by default).
 */

import { fleet } from "./contract.ts";
import { ErrorCode, RpcError, runtime, Server } from "./netconduit.ts";

const { HOST = "127.0.0.1", PORT = "7450", FILES = "." } = process.env;
const { PASSWORD = "secret123", DEVICE_PASSWORD = "secret456" } = process.env;
const deviceUser = { password: DEVICE_PASSWORD, roles: ["device"] };

const server = new Server({
  name: `fleet server on ${runtime}`,
  host: HOST,
  port: Number(PORT),
  password: PASSWORD,
  users: { "pump-1": deviceUser, "pump-2": deviceUser, "pump-3": deviceUser },
  contract: fleet,
  complete: true,
});
/** Clients whose users have the role `device`. */
const devices = server.clients("device");

// --- Presence -------------------------------------------------------------------------------------------------------

/** The server adds devices, under their user names. Dashboards subscribe themselves and have no user name. */
const news = server.topic("fleet", { presence: true, history: { messages: 100 } });

server.onClientConnect((connection) => {
  if (connection.is("device")) news.add(connection, { user: connection.user.name });
});

function announce(text: string): void {
  news.publish({ at: new Date(), text });
}

// --- Telemetry: each device has a topic, and only that device publishes to it ---------------------------------------

server.topics("telemetry:*", {
  retain: 100, // a new dashboard starts with these
  history: { messages: 1000 },
  authorize: () => true,
  publish: ({ user }, topic) => topic === `telemetry:${user.name}`,
});

// --- Commands and logs: the server forwards the requests of dashboards to the devices -------------------------------

/**
 * Returns a device's newest connection: a lost one remains until its timeout.
 * @throws RpcError NOT_FOUND, which is sent to the dashboard
 */
function deviceNamed(name: string): (typeof devices.connections)[number] {
  const found = devices.connections.findLast(({ user }) => user.name === name);
  if (found === undefined) throw new RpcError(ErrorCode.NOT_FOUND, `${name} is not connected`);
  return found;
}

server.rpc("record", ({ device, mebibytes }) => deviceNamed(device).call("record", { mebibytes }));

server.rpc("limit", async (limit) => {
  const calls = devices.connections.map((device) => device.call("limit", limit, { timeoutMs: 2000 }));
  const results = await Promise.allSettled(calls);
  return results.filter(({ status }) => status === "fulfilled").length;
});

/** The stream has no end of its own, so it returns when the server starts to shut down. */
server.stream("log", async function* ({ device, after }, { signal, draining }) {
  try {
    yield* deviceNamed(device).stream("log", { after }, { signal: AbortSignal.any([signal, draining]) });
  } catch (error) {
    if (!draining.aborted) throw error;
  }
});

// --- Files ----------------------------------------------------------------------------------------------------------

server.files("recordings", { dir: FILES, upload: true, overwrite: "rename" });

server.onFileReceived(({ user }, { name, bytes, resumedFrom }) => {
  const how = resumedFrom === 0 ? "in one go" : `continued at byte ${resumedFrom}`;
  announce(`${name} of ${user.name} is here and verified: ${bytes} bytes, ${how}`);
});

// --- Faults on demand -----------------------------------------------------------------------------------------------

server.rpc("cut", (_params, { client }) => void client.close("cut on demand", { reconnect: true }));
server.rpc("kill", () => process.kill(process.pid, "SIGKILL"));

server.onError((error, { stage }) => console.log(`Error (${stage}): ${error.message}`));
server.onListening(({ address }) => console.log(`Listening on ${address}`));

// Stops gracefully on Ctrl+C and SIGTERM.
await server.run();
