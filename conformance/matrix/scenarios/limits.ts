import assert from "node:assert/strict";
import { ErrorCode } from "@netconduit/core";
import { EventLog } from "../../../packages/core/src/testing/event-log.ts";
import { failureOf, thrownBy } from "../../support/failures.ts";
import type { Scenario } from "../scenario.ts";

/** Messages that are too large for the receiver. */
export const limits: readonly Scenario[] = [
  {
    title: "a call over the server's maxMessageBytes is refused by its client with MESSAGE_TOO_LARGE, and others pass",
    async server(half) {
      const server = half.server({ maxMessageBytes: 4096 });
      const handled = new EventLog<unknown>();
      server.on("chat", (_connection, data) => void handled.add(data));
      await half.open(server);
      assert.equal(await handled.next(), "small");
    },
    async client(half) {
      const client = await half.join();
      const failure = await failureOf(client.call("chat", { text: "x".repeat(5000) }));
      assert.equal(failure.code, ErrorCode.MESSAGE_TOO_LARGE);
      assert.match(failure.message, /'chat': \d+ bytes exceed maxMessageBytes of the server, 4096/);
      client.send("chat", "small");
      assert.equal((await client.call("listall")) !== null, true);
    },
  },
  {
    title:
      "a message over the client's maxMessageBytes is refused by the server with MESSAGE_TOO_LARGE, and others pass",
    async server(half) {
      const server = half.server();
      const connection = await (await half.open(server)).next();
      assert.equal(thrownBy(() => connection.send("chat", "x".repeat(5000))).code, ErrorCode.MESSAGE_TOO_LARGE);
      connection.send("chat", "small");
    },
    async client(half) {
      const client = await half.client({ maxMessageBytes: 4096 });
      const heard = new EventLog<unknown>();
      client.on("chat", (data) => void heard.add(data));
      await client.connect();
      assert.equal(await heard.next(), "small");
    },
  },
];
