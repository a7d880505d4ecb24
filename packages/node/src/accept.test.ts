import { channel } from "node:diagnostics_channel";
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { promisify } from "node:util";
import { tcpEnds } from "@netconduit/core/adapter";
import { afterEach, expect, test } from "vitest";
import { acceptWithSharedReads } from "./accept.ts";
import { SocketStream } from "./socket-stream.ts";

const opened: { destroy(): unknown }[] = [];
const servers: Server[] = [];

afterEach(() => {
  for (const socket of opened.splice(0)) socket.destroy();
  for (const server of servers.splice(0)) server.close();
});

/** A server on this host, with what it accepts. */
async function listening(): Promise<{ server: Server; port: number; accepted(): Promise<Socket> }> {
  const server = createServer();
  servers.push(server);
  const sockets: Socket[] = [];
  let wake: (socket: Socket) => void = (socket) => sockets.push(socket);
  acceptWithSharedReads(server, 4096, (socket) => {
    opened.push(socket);
    wake(socket);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const accepted = (): Promise<Socket> => {
    const first = sockets.shift();
    return first === undefined
      ? new Promise((resolve) => {
          wake = resolve;
        })
      : Promise.resolve(first);
  };
  return { server, port: (server.address() as AddressInfo).port, accepted };
}

function dial(port: number): Socket {
  const socket = connect(port, "127.0.0.1");
  opened.push(socket);
  return socket;
}

/** The memory that the first bytes of an accepted socket are read into. */
function memoryOf(socket: Socket): Promise<ArrayBufferLike> {
  const ends = tcpEnds(socket);
  if (ends === null) throw new Error("The client is gone");
  const stream = new SocketStream(socket, { ...ends, tls: null, role: "server", highWaterMark: 4096, silentEnd: null });
  return new Promise((resolve) => {
    stream.open({ data: (chunk) => resolve(chunk.buffer), drained: () => undefined, closed: () => undefined });
  });
}

test.skipIf(process.platform === "win32")("accepted sockets read into the same memory", async () => {
  const { port, accepted } = await listening();
  const memories: ArrayBufferLike[] = [];
  for (let count = 0; count < 2; count += 1) {
    dial(port).write("hello");
    memories.push(await memoryOf(await accepted()));
  }
  expect(memories[0]).toBe(memories[1]);
});

test("a connection counts until it is closed", async () => {
  const { server, port, accepted } = await listening();
  const count = promisify((done: (error: Error | null, count: number) => void) => server.getConnections(done));
  dial(port);
  const socket = await accepted();
  expect(await count()).toBe(1);
  socket.destroy();
  await once(socket, "close");
  expect(await count()).toBe(0);
});

test("a server that was closed has closed once its last connection is", async () => {
  const { server, port, accepted } = await listening();
  dial(port);
  const socket = await accepted();
  const closed = once(server, "close");
  server.close();
  socket.destroy();
  await closed;
});

test("whoever observes accepted sockets hears of each once", async () => {
  const { port, accepted } = await listening();
  const seen: unknown[] = [];
  const observe = (message: unknown): void => void seen.push((message as { socket: unknown }).socket);
  const sockets = channel("net.server.socket");
  sockets.subscribe(observe);
  try {
    dial(port);
    const socket = await accepted();
    await promisify(setImmediate)();
    expect(seen).toEqual([socket]);
  } finally {
    sockets.unsubscribe(observe);
  }
});

test("a connection that is there before the server has heard that it listens is accepted, as in a cluster's worker", () => {
  const server = createServer();
  const accepted: unknown[] = [];
  acceptWithSharedReads(server, 4096, (socket) => accepted.push(socket));
  server.emit("connection", "a socket");
  expect(accepted).toEqual(["a socket"]);
});
