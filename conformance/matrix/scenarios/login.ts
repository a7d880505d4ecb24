import assert from "node:assert/strict";
import { ErrorCode, type Rejection } from "@netconduit/core";
import { failureOf, Heard } from "../../behaviour/heard.ts";
import { frame, passwordHash, Type } from "../../behaviour/raw-peer.ts";
import { Relay } from "../../behaviour/relay.ts";
import { ScramLogin } from "../../behaviour/scram-login.ts";
import { SteppedClock } from "../../behaviour/stepped-clock.ts";
import { PASSWORD } from "../half.ts";
import type { Scenario } from "../scenario.ts";

/** Who gets in, and what each end learns of the other by it. */
export const login: readonly Scenario[] = [
  {
    title: "the right password logs in by SCRAM, and both ends have the same session",
    async server(half) {
      const arrivals = await half.open(half.server());
      const connection = await arrivals.next();
      assert.equal(connection.isAuthenticated, true);
      assert.equal(connection.session.method, "scram");
      assert.equal(await half.recordReceive("token"), connection.session.token);
    },
    async client(half) {
      const client = await half.join();
      assert.equal(client.isAuthenticated, true);
      half.tell("token", client.sessionToken);
    },
  },
  {
    title: "a wrong password is AUTH_FAILED at the client, and the server's hook and statistics know of it",
    async server(half) {
      const server = half.server();
      const rejections = new Heard<Rejection>();
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
    title: "a password may be any text, and hardly differing ones are told apart",
    async server(half) {
      await half.open(half.server({ password: "pässwörd 密码 🔑\u0000!" }));
    },
    async client(half) {
      await half.join({ password: "pässwörd 密码 🔑\u0000!" });
      const almost = await half.client({ password: "pässwörd 密码 🔑\u0000?" });
      assert.equal((await failureOf(almost.connect())).code, ErrorCode.AUTH_FAILED);
    },
  },
  {
    title: "each end knows what the other says of itself: name, version, description",
    async server(half) {
      const server = half.server({ name: "Zürich ⚙", version: "7.1.0", description: "a server" });
      const connection = await (await half.open(server)).next();
      assert.deepEqual(connection.info, { name: "Ådä", version: "3.2.1", description: "客", netconduit: false });
    },
    async client(half) {
      const client = await half.join({ name: "Ådä", version: "3.2.1", description: "客" });
      assert.deepEqual(client.serverInfo, {
        name: "Zürich ⚙",
        version: "7.1.0",
        description: "a server",
        netconduit: false,
      });
    },
  },
  {
    title: "a password that is a function is asked at every connect",
    async server(half) {
      const arrivals = await half.open(half.server());
      await arrivals.count(2);
    },
    async client(half) {
      let asked = 0;
      const client = await half.client({
        password: async () => {
          asked += 1;
          return PASSWORD;
        },
      });
      await client.connect();
      await client.disconnect();
      await client.connect();
      assert.equal(asked, 2);
    },
  },
  {
    title: "a login again takes one round trip, and logs in as the first did",
    async server(half) {
      const arrivals = await half.open(half.server());
      for (const token of ["first", "second"]) {
        const { session } = await arrivals.next();
        assert.deepEqual([session.method, session.token], ["scram", await half.recordReceive(token)]);
      }
    },
    async client(half) {
      const relay = await Relay.start((await half.place()).port);
      half.defer(() => relay.stop());
      const logins = {
        first: [Type.AUTH_REQUEST, Type.AUTH_CHALLENGE, Type.AUTH_RESPONSE, Type.AUTH_SUCCESS],
        second: [Type.AUTH_REQUEST, Type.AUTH_SUCCESS],
      };
      for (const [token, types] of Object.entries(logins)) {
        const client = await half.join({ port: relay.address.port });
        assert.deepEqual(relay.connections.at(-1)?.types, types);
        half.tell(token, client.sessionToken);
      }
    },
  },
  {
    title: "allowPasswordHash on both ends: the login is SCRAM all the same",
    async server(half) {
      const connection = await (await half.open(half.server({ allowPasswordHash: true }))).next();
      assert.deepEqual([connection.session.method, connection.info.netconduit], ["scram", false]);
    },
    async client(half) {
      const client = await half.join({ allowPasswordHash: true });
      assert.equal(client.serverInfo?.netconduit, false);
    },
  },
  {
    title: "a login by password hash alone is PASSWORD_HASH_REFUSED, unless the server's option lets it in",
    async server(half) {
      await half.open(half.server());
      await half.recordReceive("refused");
      const connection = await (await half.open(half.server({ allowPasswordHash: true }))).next();
      assert.deepEqual([connection.session.method, connection.info.netconduit], ["password-hash", true]);
      assert.equal((await failureOf(connection.call("any"))).code, ErrorCode.PEER_UNSUPPORTED);
    },
    async client(half) {
      const request = frame(Type.AUTH_REQUEST, {
        password_hash: passwordHash(PASSWORD),
        client_info: { name: "python", version: "5.0.0" },
      });
      const refused = await half.raw();
      refused.write(request);
      const answer = await refused.next();
      assert.equal(answer.type, Type.AUTH_FAILURE);
      assert.equal((answer.payload as { code: number }).code, ErrorCode.PASSWORD_HASH_REFUSED);
      half.tell("refused");
      await half.nextPlace();
      const peer = await half.raw();
      peer.write(request);
      assert.equal((await peer.next()).type, Type.AUTH_SUCCESS);
    },
  },
  {
    title: "repeated wrong passwords are slowed down, and the right one still gets in",
    async server(half) {
      const clock = new SteppedClock(half.subject.runtime);
      const server = half.server({}, clock.runtime);
      await half.open(server);
      await half.recordReceive("guessed");
      const isThrottled = (): boolean => clock.delays.some((delayMs) => delayMs > 200 && delayMs <= 300);
      assert.equal(isThrottled(), false);
      half.tell("go");
      await half.until(isThrottled);
      assert.equal(server.stats.loggedIn, 0);
      clock.advance(300);
      await half.recordReceive("in");
      assert.equal(server.stats.loggedIn, 1);
    },
    async client(half) {
      for (let n = 0; n < 4; n++) {
        const guesser = await half.client({ password: `guess ${n}` });
        assert.equal((await failureOf(guesser.connect())).code, ErrorCode.AUTH_FAILED);
      }
      half.tell("guessed");
      await half.recordReceive("go");
      await half.join();
      half.tell("in");
    },
  },
  {
    title: "whoever does not log in within authTimeoutMs is told AUTH_TIMEOUT and closed",
    async server(half) {
      const clock = new SteppedClock(half.subject.runtime);
      const server = half.server({ authTimeoutMs: 5000 }, clock.runtime);
      const rejections = new Heard<Rejection>();
      server.onClientRejected(rejections.add);
      await half.open(server);
      await half.recordReceive("begun");
      clock.advance(4900);
      assert.deepEqual(rejections.all, []);
      clock.advance(200);
      assert.equal((await rejections.next()).code, ErrorCode.AUTH_TIMEOUT);
    },
    async client(half) {
      const peer = await half.raw();
      peer.write(frame(Type.AUTH_REQUEST, { scram: new ScramLogin(PASSWORD).clientFirst, client_info: {} }));
      assert.equal((await peer.next()).type, Type.AUTH_CHALLENGE);
      half.tell("begun");
      const answer = await peer.next();
      assert.equal(answer.type, Type.AUTH_FAILURE);
      assert.equal((answer.payload as { code: number }).code, ErrorCode.AUTH_TIMEOUT);
      await peer.over;
    },
  },
  {
    title: "one client over maxConnections is told SERVER_FULL; a place that gets free is taken at once",
    async server(half) {
      const server = half.server({ maxConnections: 2 });
      const rejections = new Heard<Rejection>();
      server.onClientRejected(rejections.add);
      const left = new Heard<unknown>();
      server.onClientDisconnect(left.add);
      await half.open(server);
      assert.equal((await rejections.next()).code, ErrorCode.SERVER_FULL);
      assert.equal(server.connectionCount, 2);
      await left.next();
      half.tell("room");
    },
    async client(half) {
      const first = await half.join();
      await half.join();
      const third = await half.client();
      assert.equal((await failureOf(third.connect())).code, ErrorCode.SERVER_FULL);
      await first.disconnect();
      await half.recordReceive("room");
      await third.connect();
      assert.equal(third.isConnected, true);
    },
  },
  {
    title: "a login sent byte by byte succeeds",
    async server(half) {
      await (await half.open(half.server())).next();
    },
    async client(half) {
      const peer = await half.raw();
      const scram = new ScramLogin(PASSWORD);
      const request = frame(Type.AUTH_REQUEST, { scram: scram.clientFirst, client_info: {}, extensions: {} });
      for (const byte of request) peer.write(Uint8Array.of(byte));
      const { data } = (await peer.next()).payload as { data: string };
      for (const byte of frame(Type.AUTH_RESPONSE, { data: scram.answer(data) })) peer.write(Uint8Array.of(byte));
      const success = await peer.next();
      assert.equal(success.type, Type.AUTH_SUCCESS);
      assert.equal(scram.trusts((success.payload as { scram: string }).scram), true);
    },
  },
];
