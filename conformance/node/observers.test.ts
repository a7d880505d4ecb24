/** Observers of `node:net` see connections as regular sockets. */
import { channel } from "node:diagnostics_channel";
import type { Socket } from "node:net";
import { Client, Server } from "@netconduit/node";
import { expect, onTestFinished, test } from "vitest";

const password = "secret123";
const host = "127.0.0.1";

/** Collects the sockets published on a diagnostics channel until the test ends. */
function socketsOn(name: string): Socket[] {
  const sockets: Socket[] = [];
  const observe = (message: unknown): void => void sockets.push((message as { socket: Socket }).socket);
  const observed = channel(name);
  observed.subscribe(observe);
  onTestFinished(() => observed.unsubscribe(observe));
  return sockets;
}

/** Connects a client, makes a call and closes everything. */
async function useConnection(onConnected: () => void = () => undefined): Promise<void> {
  const server = new Server({ host, port: 0, password, handleSignals: false });
  server.rpc("ping", () => "pong");
  await server.start();
  const client = new Client({ host, port: server.address.port, password });
  await client.connect();
  onConnected();
  await client.call("ping");
  await client.disconnect();
  await server.stop();
}

test("the channel net.client.socket announces a client's dial", async () => {
  const sockets = socketsOn("net.client.socket");
  await useConnection();
  expect(sockets).toHaveLength(1);
});

test("the channel net.server.socket announces an accepted client, whose socket counts its bytes", async () => {
  const sockets = socketsOn("net.server.socket");
  await useConnection();
  expect(sockets).toHaveLength(1);
  expect(Math.min(sockets[0]?.bytesRead ?? 0, sockets[0]?.bytesWritten ?? 0)).toBeGreaterThan(0);
});

test("a client's socket emits connect, and close when the client has disconnected", async () => {
  const events: string[] = [];
  const observe = (message: unknown): void => {
    const { socket } = message as { socket: Socket };
    for (const event of ["connect", "close"]) socket.on(event, () => events.push(event));
  };
  const dials = channel("net.client.socket");
  dials.subscribe(observe);
  onTestFinished(() => dials.unsubscribe(observe));
  await useConnection(() => expect(events).toEqual(["connect"]));
  expect(events).toEqual(["connect", "close"]);
});
