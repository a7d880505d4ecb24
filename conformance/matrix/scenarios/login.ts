import assert from "node:assert/strict";
import { ErrorCode, type Rejection } from "@netconduit/core";
import { EventLog } from "../../../packages/core/src/testing/event-log.ts";
import { failureOf } from "../../support/failures.ts";
import type { Scenario } from "../scenario.ts";

/** Logins between two runtimes. */
export const login: readonly Scenario[] = [
  {
    title: "the right password logs in by SCRAM, and both ends have the same session",
    async server(half) {
      const arrivals = await half.open(half.server());
      const connection = await arrivals.next();
      assert.equal(connection.isAuthenticated, true);
      assert.equal(connection.session.method, "scram");
      assert.equal(await half.waitFor("token"), connection.session.token);
    },
    async client(half) {
      const client = await half.join();
      assert.equal(client.isAuthenticated, true);
      half.tell("token", client.sessionToken);
    },
  },
  {
    title: "a wrong password is AUTH_FAILED at the client, and the server reports and counts it",
    async server(half) {
      const server = half.server();
      const rejections = new EventLog<Rejection>();
      server.onClientRejected(rejections.add);
      await half.open(server);
      const { code, remoteAddress } = await rejections.next();
      assert.equal(code, ErrorCode.AUTH_FAILED);
      assert.match(remoteAddress, /^127\.0\.0\.1:\d+$/);
      const { accepted, loggedIn, authFailures, rejected } = server.stats;
      assert.deepEqual([accepted, loggedIn, authFailures, rejected], [1, 0, 1, 1]);
    },
    async client(half) {
      const client = await half.client({ password: "guessed" });
      assert.equal((await failureOf(client.connect())).code, ErrorCode.AUTH_FAILED);
      assert.deepEqual([client.state, client.isConnected, client.sessionToken], ["failed", false, null]);
    },
  },
  {
    title: "a password may be any text, and one that differs in a single character is refused",
    async server(half) {
      await half.open(half.server({ password: "pässwörd 密码 🔑\u0000!" }));
    },
    async client(half) {
      await half.join({ password: "pässwörd 密码 🔑\u0000!" });
      const almost = await half.client({ password: "pässwörd 密码 🔑\u0000?" });
      assert.equal((await failureOf(almost.connect())).code, ErrorCode.AUTH_FAILED);
    },
  },
];
