import { channel } from "node:diagnostics_channel";
import { once } from "node:events";
import { type AddressInfo, connect, createServer, Socket } from "node:net";
import type { Handle } from "@netconduit/core/adapter";
import { afterEach, expect, test } from "vitest";
import { connectedPair } from "../../../conformance/adapter/endpoints.ts";
import { acceptPlaintext } from "./accept.ts";
import { handles } from "./handles.ts";
import { transport } from "./transport.ts";

const open: { close(): unknown }[] = [];

afterEach(() => {
  for (const each of open.splice(0)) each.close();
});

/** A server on this host, and what it accepts next. */
async function listening() {
  const server = createServer();
  open.push(server);
  const next = new Promise<Socket | Handle>((resolve) => {
    acceptPlaintext(server, (socket) => {
      open.push({ close: () => (socket instanceof Socket ? socket.destroy() : socket.close()) });
      resolve(socket);
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const client = connect((server.address() as AddressInfo).port, "127.0.0.1");
  open.push({ close: () => client.destroy() });
  return { server, next };
}

test.runIf(handles)("a connection is accepted as a handle", async () => {
  const { next } = await listening();
  expect(await next).not.toBeInstanceOf(Socket);
});

test("whoever observes accepted sockets is given one", async () => {
  const seen: unknown[] = [];
  const observe = (message: unknown): void => void seen.push((message as { socket: unknown }).socket);
  const sockets = channel("net.server.socket");
  sockets.subscribe(observe);
  try {
    const { next } = await listening();
    expect(await next).toBe(seen[0]);
  } finally {
    sockets.unsubscribe(observe);
  }
});

test.each(["net.server.socket", "net.client.socket"])(
  "whoever observes %s sees what becomes of the socket",
  async (name) => {
    const seen: Socket[] = [];
    const observe = (message: unknown): void => void seen.push((message as { socket: Socket }).socket);
    const sockets = channel(name);
    sockets.subscribe(observe);
    try {
      const { a: client, b: server, dispose } = await connectedPair(transport, { host: "127.0.0.1" });
      open.push({ close: dispose });
      const heard = new Promise<number[]>((resolve) => {
        const sink = { drained: () => undefined, closed: () => undefined };
        server.open({
          ...sink,
          data(chunk) {
            resolve([...chunk]);
            server.write(Uint8Array.of(4));
          },
        });
        client.open({ ...sink, data: () => void client.close() });
      });
      client.write(Uint8Array.of(1, 2, 3));
      const [socket] = seen as [Socket];
      expect(await heard).toEqual([1, 2, 3]);
      await once(socket, "close");
      expect(socket.bytesRead).toBeGreaterThan(0);
    } finally {
      sockets.unsubscribe(observe);
    }
  },
);

test("a connection that is there before the server has heard that it listens is accepted, as in a cluster's worker", () => {
  const server = createServer();
  const accepted: unknown[] = [];
  acceptPlaintext(server, (socket) => accepted.push(socket));
  server.emit("connection", "a socket");
  expect(accepted).toEqual(["a socket"]);
});
