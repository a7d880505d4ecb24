import assert from "node:assert/strict";
import { type CloseReason, ErrorCode } from "@netconduit/core";
import { gate } from "../../../packages/core/src/test-support/gate.ts";
import { EventLog } from "../../../packages/core/src/testing/event-log.ts";
import { failureOf } from "../../support/failures.ts";
import { PASSWORD } from "../half.ts";
import type { Scenario } from "../scenario.ts";

/** The system closes or resets a killed process's sockets. */
const ENDS: readonly number[] = [ErrorCode.CONNECTION_CLOSED, ErrorCode.CONNECTION_RESET];

/** Peers with a killed process. */
export const deaths: readonly Scenario[] = [
  {
    title: "a client whose process is killed leaves its server: hook once, slot free, calls rejected, signal fired",
    dies: "client",
    async server(half) {
      const server = half.server({ maxConnections: 1 });
      const left = new EventLog<CloseReason>();
      server.onClientDisconnect((_connection, reason) => left.add(reason));
      const fired = new EventLog<number>();
      const started = gate();
      server.rpc("hang", (_params, { signal }) => {
        signal.addEventListener("abort", () => fired.add((signal.reason as { code: number }).code));
        started.open();
        return new Promise(() => {});
      });
      const connection = await (await half.open(server)).next();
      await half.waitFor("ready");
      await started.promise;
      const pending = failureOf(connection.call("hang"));
      await half.waitFor("hangs");
      half.tell("die");
      const { code, byPeer } = await left.next();
      assert.ok(ENDS.includes(code), String(code));
      assert.equal(byPeer, true);
      assert.equal((await pending).code, ErrorCode.CONNECTION_CLOSED);
      assert.equal(await fired.next(), ErrorCode.CONNECTION_CLOSED);
      assert.equal(server.connectionCount, 0);
      await server.stop();
      assert.equal(left.all.length, 1);
    },
    async client(half) {
      const client = await half.client();
      client.rpc("hang", () => {
        half.tell("hangs");
        return new Promise(() => {});
      });
      await client.connect();
      client.call("hang").catch(() => {});
      half.tell("ready");
      await half.waitFor("die");
      await half.die();
    },
  },
  {
    title: "a server whose process is killed leaves its client: hook once, calls rejected, reconnecting given up",
    dies: "server",
    async server(half) {
      const server = half.server();
      server.rpc("hang", () => {
        half.tell("hangs");
        return new Promise(() => {});
      });
      await half.open(server);
      await half.waitFor("die");
      await half.die();
    },
    async client(half) {
      const reconnect = { enabled: true, attempts: 2, delayMs: 1, maxDelayMs: 1 };
      // The system may still accept connections for the process until it has exited.
      let isFirst = true;
      const password = async (): Promise<string> => {
        if (!isFirst) await gone;
        isFirst = false;
        return PASSWORD;
      };
      const gone = half.waitFor("gone");
      const client = await half.client({ reconnect, password });
      const left = new EventLog<CloseReason>();
      client.onDisconnect((_client, reason) => left.add(reason));
      const errors = new EventLog<number>();
      client.onError((error) => errors.add((error as unknown as { code: number }).code));
      await client.connect();
      const pending = failureOf(client.call("hang"));
      await half.waitFor("hangs");
      half.tell("die");
      const { code, byPeer, reconnect: mayReturn } = await left.next();
      assert.ok(ENDS.includes(code), String(code));
      assert.deepEqual([byPeer, mayReturn], [true, true]);
      assert.equal((await pending).code, ErrorCode.CONNECTION_CLOSED);
      const { CONNECTION_REFUSED, RECONNECT_FAILED } = ErrorCode;
      const last = (await errors.count(3)).slice(-3);
      assert.deepEqual(last, [CONNECTION_REFUSED, CONNECTION_REFUSED, RECONNECT_FAILED]);
      assert.deepEqual([client.state, left.all.length], ["failed", 1]);
    },
  },
];
