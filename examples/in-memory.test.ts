import { connectedPair, EventLog, TestNetwork } from "@netconduit/core/testing";
import { expect, test } from "vitest";
import { addRooms, type Member } from "./chat/rooms.ts";
import { addAgents, collect, type Watched } from "./monitoring/agents.ts";

/** Tests the handlers of two examples without a port or a process. */

async function chat(): Promise<TestNetwork> {
  const network = new TestNetwork();
  await network.server({ connectionData: (): Member => ({ nick: "", room: "" }) }, addRooms);
  return network;
}

/** Connects a member of a room, and records the messages that it receives. */
async function member(network: TestNetwork, nick: string, room: string): Promise<EventLog<unknown>> {
  const client = network.client();
  const received = new EventLog<unknown>();
  for (const type of ["said", "joined", "left"]) client.on(type, (data) => received.add([type, data]));
  await client.connect();
  await client.call("join", { nick, room });
  return received;
}

test("the chat tells a room who comes, and who left because its network was cut", async () => {
  const network = await chat();
  const ada = await member(network, "Ada", "math");
  const raw = await network.rawClient();
  await raw.login();
  raw.call("join", { nick: "Grace", room: "math" });
  expect(await ada.next()).toEqual(["joined", { nick: "Grace" }]);
  raw.reset();
  expect(await ada.next()).toEqual(["left", { nick: "Grace" }]);
});

test("the chat keeps what is said in the room", async () => {
  const network = await chat();
  const ada = await member(network, "Ada", "math");
  const linus = await member(network, "Linus", "kernel");
  const raw = await network.rawClient();
  await raw.login();
  raw.call("join", { nick: "Grace", room: "math" }, 1);
  raw.message("say", { text: "  A nanosecond is 30 cm " }, 2);
  await network.clock.settle();
  expect(ada.all).toContainEqual(["said", { nick: "Grace", text: "A nanosecond is 30 cm" }]);
  expect(linus.all).toEqual([]);
});

test("the monitoring server gives an agent that hangs a second to answer", async () => {
  const { server, client, clock } = await connectedPair({
    server: { connectionData: (): Watched => ({ agent: null, sample: null }) },
    prepare: addAgents,
  });
  let hangs = false;
  const sample = { memoryMiB: 64, uptimeSeconds: 7 };
  client.rpc("collect", () => (hangs ? new Promise<never>(() => {}) : sample));
  await client.call("register", { agent: "web-1" });
  await collect(server);
  expect(await client.call("report")).toMatchObject([{ agent: "web-1", sample }]);
  hangs = true;
  const collecting = collect(server);
  await clock.advance(999);
  // Timeouts are rounded to ticks of 16 ms.
  await clock.advance(17);
  await collecting;
  expect(await client.call("report")).toMatchObject([{ agent: "web-1", sample }]);
});
