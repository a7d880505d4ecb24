import { expect, test } from "vitest";
import type { ProtocolConnection } from "../connection/protocol-connection.ts";
import { sendToSelected } from "./broadcast.ts";
import type { Connection } from "./connection.ts";

type Connections = ReadonlyMap<string, ProtocolConnection<Connection>>;

/** Creates ten thousand connections, and counts accesses to them. */
function crowd() {
  const looked = { up: 0, at: 0 };
  const connections = new Map<string, unknown>();
  for (let n = 0; n < 10_000; n += 1) {
    const connection = {
      get isOpen() {
        looked.at += 1;
        return true;
      },
      writer: { compresses: false },
      sender: { dropOversized: () => false, sendShared: () => true },
    };
    connections.set(`${n}`, connection);
  }
  const { get } = connections;
  connections.get = (id) => {
    looked.up += 1;
    return get.call(connections, id);
  };
  return { looked, connections: connections as unknown as Connections };
}

const message = { type: "news", frame: () => ({}) as never, payloadBytes: 1 };
const failed = (): never => {
  throw new Error("No queue is full");
};

test("a broadcast with include looks at the included connections alone, however many there are", () => {
  const { looked, connections } = crowd();
  const include = ["17", "9000", "unknown"];
  expect(sendToSelected(connections, message, { include }, failed)).toBe(2);
  expect(looked).toEqual({ up: 3, at: 2 });
  expect(sendToSelected(connections, message, { include: "5", exclude: "5" }, failed)).toBe(0);
  expect(looked).toEqual({ up: 4, at: 3 });
  expect(sendToSelected(connections, message, { include: [] }, failed)).toBe(0);
  expect(looked).toEqual({ up: 4, at: 3 });
});

test("a broadcast to all looks at each once", () => {
  const { looked, connections } = crowd();
  expect(sendToSelected(connections, message, { exclude: "1" }, failed)).toBe(9999);
  expect(looked).toEqual({ up: 0, at: 10_000 });
});
