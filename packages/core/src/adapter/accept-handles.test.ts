import { EventEmitter } from "node:events";
import { describe, expect, test } from "vitest";
import { acceptHandles, flowAtOnce, handlePeer } from "./accept-handles.ts";

/** What Node's own socket has: a listener for the end, whatever comes later. */
class FakeSocket extends EventEmitter {
  readonly options: object;
  _server: unknown = null;
  readableFlowing: boolean | null = null;

  constructor(options: object) {
    super();
    this.options = { ...options };
    this.on("end", nodesListener);
  }
}

const nodesListener = (): void => undefined;
const handle = { useUserBuffer: () => undefined };

/** A server whose handle hands over connections, with what is made of them and what its own callback gets. */
function fakeServer(facts: { handle?: object | null; connections?: unknown } = {}) {
  const passedOn: unknown[][] = [];
  const accepted: FakeSocket[] = [];
  const onconnection = (...given: unknown[]): void => void passedOn.push(given);
  const listener: { onconnection(...given: unknown[]): void } = { onconnection };
  const server = {
    _handle: facts.handle === undefined ? listener : facts.handle,
    _connections: facts.connections ?? 0,
  };
  acceptHandles(
    server,
    { manualStart: true },
    (options) => new FakeSocket(options),
    (socket) => accepted.push(socket),
  );
  return { server, listener, passedOn, accepted, isReplaced: listener.onconnection !== onconnection };
}

describe("acceptHandles", () => {
  test("makes a socket of each handle, with the options of all", () => {
    const { listener, accepted } = fakeServer();
    const handles = [{ ...handle }, { ...handle }];
    for (const each of handles) listener.onconnection(0, each);
    expect(accepted.map(({ options }) => options)).toEqual(
      handles.map((each) => ({ handle: each, manualStart: true })),
    );
  });

  test("counts it for the server, which the socket names", () => {
    const { server, listener, accepted } = fakeServer({ connections: 4 });
    listener.onconnection(0, handle);
    expect([server._connections, accepted[0]?._server]).toEqual([5, server]);
  });

  test("hands it over without Node's own listener", () => {
    const { listener, accepted } = fakeServer();
    listener.onconnection(0, handle);
    expect(accepted[0]?.listeners("end")).toEqual([]);
  });

  test("hands it over flowing, so that it reads as soon as it is resumed", () => {
    const { listener, accepted } = fakeServer();
    listener.onconnection(0, handle);
    expect(accepted[0]?.readableFlowing).toBe(true);
  });

  test.each([
    ["an error", [-24, undefined]],
    ["a handle that cannot read into memory it is given", [0, {}]],
  ])("leaves %s to Node", (_what, given) => {
    const { listener, passedOn, accepted } = fakeServer();
    listener.onconnection(...given);
    expect([passedOn, accepted]).toEqual([[given], []]);
  });

  test.each([
    ["no handle", { handle: null }],
    ["a handle without a callback", { handle: {} }],
    ["no count of connections", { connections: "many" }],
  ])("leaves a server with %s as it is", (_what, facts) => {
    expect(fakeServer(facts).isReplaced).toBe(false);
  });
});

describe("flowAtOnce", () => {
  test("leaves a socket as it is that cannot be set so", () => {
    const socket = Object.freeze({ readableFlowing: null });
    flowAtOnce(socket);
    expect(socket.readableFlowing).toBeNull();
  });
});

describe("handlePeer", () => {
  test("asks the socket's handle", () => {
    const getpeername = (into: object): number => {
      Object.assign(into, { address: "192.0.2.1", family: "IPv4", port: 7 });
      return 0;
    };
    const socket = { _handle: { getpeername }, remoteAddress: "never asked" };
    expect(handlePeer(socket)).toEqual({ remoteAddress: "192.0.2.1", remotePort: 7 });
  });

  test("knows no address of a peer that is gone", () => {
    const socket = { _handle: { getpeername: () => -107 }, remoteAddress: "never asked" };
    expect(handlePeer(socket).remoteAddress).toBeUndefined();
  });

  test("asks the socket if that has no such handle", () => {
    const socket = { _handle: null, remoteAddress: "192.0.2.1" };
    expect(handlePeer(socket)).toBe(socket);
  });
});
