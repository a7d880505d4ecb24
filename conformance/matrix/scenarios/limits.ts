import assert from "node:assert/strict";
import { type CloseReason, ErrorCode } from "@netconduit/core";
import { EventLog } from "../../../packages/core/src/test-support/event-log.ts";
import { failureOf } from "../../support/failures.ts";
import type { Scenario } from "../scenario.ts";

/** Messages that are too large for the end that receives them. */
export const limits: readonly Scenario[] = [
  {
    title: "a message over the server's maxMessageBytes ends the connection; both ends hear MESSAGE_TOO_LARGE",
    async server(half) {
      const server = half.server({ maxMessageBytes: 4096 });
      const left = new EventLog<CloseReason>();
      server.onClientDisconnect((_connection, reason) => left.add(reason));
      const handled = new EventLog<unknown>();
      server.on("chat", (_connection, data) => void handled.add(data));
      await half.open(server);
      const { code, byPeer } = await left.next();
      assert.deepEqual([code, byPeer], [ErrorCode.MESSAGE_TOO_LARGE, false]);
      assert.equal(handled.all.length, 0);
    },
    async client(half) {
      const client = await half.join();
      const left = new EventLog<CloseReason>();
      client.onDisconnect((_client, reason) => left.add(reason));
      const call = failureOf(client.call("chat", { text: "x".repeat(5000) }));
      const { code, byPeer } = await left.next();
      assert.deepEqual([code, byPeer], [ErrorCode.MESSAGE_TOO_LARGE, true]);
      const failure = await call;
      assert.equal(failure.code, ErrorCode.CONNECTION_CLOSED);
      assert.match(failure.message, /exceeds the limit of 4096 bytes \(option maxMessageBytes of the server/);
      assert.equal((await (await half.join()).call("listall")) !== null, true);
    },
  },
  {
    title: "a message over the client's maxMessageBytes ends the connection; both ends hear MESSAGE_TOO_LARGE",
    async server(half) {
      const server = half.server();
      const left = new EventLog<CloseReason>();
      server.onClientDisconnect((_connection, reason) => left.add(reason));
      const connection = await (await half.open(server)).next();
      connection.send("chat", "x".repeat(5000));
      const { code, byPeer } = await left.next();
      assert.deepEqual([code, byPeer], [ErrorCode.MESSAGE_TOO_LARGE, true]);
    },
    async client(half) {
      const client = await half.client({ maxMessageBytes: 4096 });
      const left = new EventLog<CloseReason>();
      client.onDisconnect((_client, reason) => left.add(reason));
      await client.connect();
      const { code, byPeer } = await left.next();
      assert.deepEqual([code, byPeer], [ErrorCode.MESSAGE_TOO_LARGE, false]);
    },
  },
];
