import { describe, expect, test } from "vitest";
import type { Identity } from "../auth/user.ts";
import { scramVerifier } from "../auth/verifier.ts";
import type { Address } from "../bytes/byte-stream.ts";
import type { ClientInit } from "../client/client.ts";
import { ErrorCode } from "../errors.ts";
import { CREDENTIALS_EXPIRING_FRAME, CREDENTIALS_FRAME } from "../extensions/renewal.ts";
import { EPOCH_MS, type FakeRuntime, fakeRuntime } from "../test-support/fake-runtime.ts";
import { gate } from "../test-support/gate.ts";
import { FEW_ITERATIONS, outcome, testClient, testServer } from "../test-support/peers.ts";
import { PASSWORD, RawServer, rawDial } from "../test-support/raw-memory.ts";
import { FrameType } from "../wire/constants.ts";
import type { ServerInit } from "./server.ts";

const FAR: Address = { kind: "tcp", host: "192.0.2.7", port: 50_000, family: "IPv4" };
/** Tokens of two users; "late" expires 30 seconds after the start, "later" after 90. */
const identities: Readonly<Record<string, Identity>> = {
  good: { name: "ada", roles: ["admin"], claims: { sub: "42" } },
  late: { name: "ada", expiresAt: EPOCH_MS + 30_000 },
  later: { name: "ada", roles: ["admin"], expiresAt: EPOCH_MS + 90_000 },
  plain: { name: "ada" },
  bob: { name: "bob" },
  expired: { name: "ada", expiresAt: EPOCH_MS - 1 },
};

const token = async (text: string): Promise<Identity | null> => identities[text] ?? null;

async function scene(options: Partial<ServerInit> = {}) {
  const runtime = fakeRuntime();
  const seen: string[] = [];
  const bench = await testServer(runtime, {
    authenticate: {
      token: (text) => {
        seen.push(text);
        return token(text);
      },
    },
    ...options,
  });
  return { runtime, seen, ...bench };
}

function bearer(runtime: FakeRuntime, credentials: ClientInit["credentials"], options: Partial<ClientInit> = {}) {
  return testClient(runtime, { password: undefined, credentials, reconnect: { enabled: false }, ...options }).client;
}

/** Makes the next stream appear to connect to another machine, as seen by one side. */
function farAway(runtime: FakeRuntime, side: "client" | "server"): void {
  const pair = runtime.pair.bind(runtime);
  runtime.pair = () => {
    runtime.pair = pair;
    const [dialled, accepted] = pair();
    Object.defineProperty(side === "client" ? dialled : accepted, "remote", { value: FAR });
    return [dialled, accepted];
  };
}

describe("a login by token", () => {
  test("is judged by the application's function, which says who it is", async () => {
    const { runtime, server, seen } = await scene();
    await bearer(runtime, { token: "good" }).connect();
    const user = { name: "ada", roles: ["admin"], method: "token", claims: { sub: "42" } };
    expect([server.connections[0]?.user, seen]).toEqual([user, ["good"]]);
  });

  test.each(["bad", "expired"])("with the token %j fails", async (text) => {
    const { runtime } = await scene();
    await expect(bearer(runtime, { token: text }).connect()).rejects.toMatchObject({ code: ErrorCode.AUTH_FAILED });
  });

  test("asks for the token at each connect", async () => {
    const { runtime, server } = await scene();
    const tokens = ["good", "bob"];
    const client = bearer(runtime, async () => ({ token: tokens.shift() ?? "bad" }));
    await client.connect();
    await client.close();
    await client.connect();
    expect(server.connections[0]?.user.name).toBe("bob");
  });

  test("isn't begun over plain TCP to another machine: nothing is sent", async () => {
    const { runtime, seen } = await scene();
    farAway(runtime, "client");
    await expect(bearer(runtime, { token: "good" }).connect()).rejects.toMatchObject({
      code: ErrorCode.INSECURE_CONNECTION,
    });
    await runtime.settle();
    expect(seen).toEqual([]);
  });

  test("isn't taken over plain TCP from another machine", async () => {
    const { runtime, seen } = await scene();
    farAway(runtime, "server");
    await expect(bearer(runtime, { token: "good" }).connect()).rejects.toMatchObject({
      code: ErrorCode.LOGIN_METHOD_REFUSED,
      details: { methods: ["scram"] },
    });
    expect(seen).toEqual([]);
  });

  test("isn't sent to a server that takes none", async () => {
    const { runtime } = await scene({ authenticate: undefined });
    await expect(bearer(runtime, { token: "good" }).connect()).rejects.toMatchObject({
      code: ErrorCode.LOGIN_METHOD_REFUSED,
      details: { methods: ["scram"] },
    });
  });

  test("is the only one at a server without passwords", async () => {
    const { runtime } = await scene({ password: undefined });
    await expect(testClient(runtime).client.connect()).rejects.toMatchObject({
      code: ErrorCode.LOGIN_METHOD_REFUSED,
      details: { methods: ["token"] },
    });
  });

  test("tells a client that offers methods which ones there are, before it sends a secret", async () => {
    const { runtime, port } = await scene();
    const peer = await rawDial(runtime, port);
    peer.send(FrameType.AUTH_REQUEST, { client_info: {}, methods: ["smoke signals", "token"], extensions: {} });
    expect((await peer.next(FrameType.AUTH_CHALLENGE)).payload).toEqual({ methods: ["scram", "token"] });
    peer.send(FrameType.AUTH_RESPONSE, { token: 5 });
    expect((await peer.next(FrameType.AUTH_FAILURE)).payload).toMatchObject({ code: ErrorCode.INVALID_PAYLOAD_SHAPE });
  });

  test("fails if the application's function does, which is reported", async () => {
    const failing = { token: () => Promise.reject(new Error("no keys")) };
    const { runtime, errors } = await scene({ authenticate: failing });
    await expect(bearer(runtime, { token: "good" }).connect()).rejects.toThrow("Internal server error");
    expect(errors).toMatchObject([{ stage: "login", message: "no keys" }]);
  });

  test("that the application's function fails once isn't given up by a client that reconnects", async () => {
    const outcomes: (() => Promise<Identity | null>)[] = [
      () => token("good"),
      () => Promise.reject(new Error("no database")),
      () => token("good"),
    ];
    const { runtime, server } = await scene({
      authenticate: { token: async () => (await outcomes.shift()?.()) ?? null },
    });
    const client = bearer(runtime, { token: "good" }, { reconnect: { enabled: true, delayMs: 100, jitter: false } });
    await client.connect();
    await server.connections[0]?.close("again", { reconnect: true });
    await runtime.advance(2000);
    expect([client.isConnected, outcomes.length]).toEqual([true, 0]);
  });

  test("is tried again if the user was changed while the token was checked", async () => {
    let checks = 0;
    const { runtime, server } = await scene({
      users: {},
      authenticate: {
        token: async (text) => {
          checks += 1;
          if (checks === 1) await server.setUser("ada", { password: "new" });
          return token(text);
        },
      },
    });
    const connected = bearer(runtime, { token: "good" }).connect();
    await runtime.advance(1000);
    await connected;
    expect(checks).toBe(2);
  });

  test("fails if the user was revoked while the token was checked", async () => {
    const { runtime, server } = await scene({
      authenticate: {
        token: (text) => {
          void server.revoke("ada");
          return token(text);
        },
      },
    });
    await expect(bearer(runtime, { token: "good" }).connect()).rejects.toMatchObject({ code: ErrorCode.AUTH_FAILED });
  });
});

test("a login by certificate isn't begun without TLS: nothing is sent", async () => {
  const { runtime, server } = await scene();
  await expect(bearer(runtime, () => ({ certificate: true })).connect()).rejects.toMatchObject({
    code: ErrorCode.INSECURE_CONNECTION,
  });
  await runtime.settle();
  expect(server.stats.rejected).toBe(0);
});

describe("an identity that expires", () => {
  test("ends its connection with a code", async () => {
    const { runtime } = await scene();
    const client = bearer(runtime, { token: "late" });
    client.onCredentialsExpiring(() => ({ token: "bad" }));
    const codes: number[] = [];
    client.onDisconnect((_client, { code }) => codes.push(code));
    await client.connect();
    await runtime.advance(29_000);
    expect(codes).toEqual([]);
    await runtime.advance(2000);
    expect(codes).toEqual([ErrorCode.IDENTITY_EXPIRED]);
  });

  test("is renewed by the option credentials without losing the connection, and has what the new token says", async () => {
    const { runtime, server, seen } = await scene();
    const tokens = ["late", "later"];
    const client = bearer(runtime, () => ({ token: tokens.shift() ?? "good" }));
    await client.connect();
    const [connection] = server.connections;
    await runtime.advance(25_000);
    expect([seen, connection?.user.roles]).toEqual([["late", "later"], ["admin"]]);
    await runtime.advance(300_000);
    expect([seen, client.isConnected, connection?.isConnected]).toEqual([["late", "later", "good"], true, true]);
  });

  test("that is renewed without a role ends the subscriptions that need it", async () => {
    const { runtime, server } = await scene();
    const [admins, all] = [server.topic("admins", { roles: ["admin"] }), server.topic("all")];
    const tokens = ["later", "plain"];
    const client = bearer(runtime, () => ({ token: tokens.shift() ?? "good" }));
    await client.connect();
    await Promise.all([client.subscribe("admins").ready, client.subscribe("all").ready]);
    await runtime.advance(65_000);
    expect([admins.size, all.size]).toEqual([0, 1]);
  });

  test("that is renewed without a role while authorize decides gets no subscription that needs it", async () => {
    const { runtime, server } = await scene();
    const decision = gate<boolean>();
    const admins = server.topic("admins", { roles: ["admin"], authorize: () => decision.promise });
    const tokens = ["later", "plain"];
    const client = bearer(runtime, () => ({ token: tokens.shift() ?? "good" }), { rpcTimeoutMs: 300_000 });
    await client.connect();
    const subscribed = outcome(client.subscribe("admins").ready);
    await runtime.advance(65_000);
    expect(subscribed.state).toBe("pending");
    decision.open(true);
    await runtime.settle();
    expect(subscribed).toMatchObject({ state: "rejected", error: { code: ErrorCode.PERMISSION_DENIED } });
    expect(admins.size).toBe(0);
  });

  test("that is renewed keeps the subscriptions that the server began, although it has never had their roles", async () => {
    const { runtime, server } = await scene();
    const admins = server.topic("admins", { roles: ["admin"] });
    const tokens = ["late", "plain"];
    const client = bearer(runtime, () => ({ token: tokens.shift() ?? "good" }));
    client.onSubscribed(() => undefined);
    await client.connect();
    const [connection] = server.connections;
    if (connection !== undefined) admins.add(connection);
    await runtime.advance(25_000);
    expect([tokens.length, admins.size]).toEqual([0, 1]);
  });

  test("is renewed by a hook, which hears how much time is left", async () => {
    const { runtime, seen } = await scene();
    const client = bearer(runtime, { token: "late" });
    const left: number[] = [];
    client.onCredentialsExpiring(async (expiresInMs) => {
      left.push(expiresInMs);
      return { token: "good" };
    });
    await client.connect();
    await runtime.advance(40_000);
    expect([seen, client.isConnected]).toEqual([["late", "good"], true]);
    expect(left).toEqual([expect.closeTo(10_000, -3)]);
  });

  test("may expire while a session has no stream: its client logs in anew for another one", async () => {
    const { runtime, server } = await scene({ resume: true });
    const tokens = ["late", "later"];
    const credentials = () => ({ token: tokens.shift() ?? "good" });
    const options = { resume: true, reconnect: { delayMs: 10, maxDelayMs: 10 }, connectTimeoutMs: 18_000 };
    const client = bearer(runtime, credentials, options);
    await client.connect();
    await runtime.advance(15_000);
    runtime.dialBehaviours.push(() => new Promise(() => undefined));
    const [connection] = server.connections;
    runtime.pairs.at(-1)?.dialled.destroy(null);
    await runtime.advance(20_000);
    tokens.length = 0;
    await runtime.advance(60_000);
    expect([server.connections, connection?.state, connection?.resumes]).toEqual([[connection], "active", 1]);
  });

  test.each([
    ["another user's token", "bob"],
    ["an invalid token", "bad"],
  ])("isn't renewed by %s", async (_, text) => {
    const { runtime, errors } = await scene();
    const client = bearer(runtime, { token: "late" });
    client.onCredentialsExpiring(() => ({ token: text }));
    await client.connect();
    await runtime.advance(40_000);
    expect(client.isConnected).toBe(false);
    expect(errors).toMatchObject([{ stage: "login", code: ErrorCode.AUTH_FAILED }]);
  });

  test("reports what the hook throws", async () => {
    const { runtime } = await scene();
    const { client, errors } = testClient(runtime, { password: undefined, credentials: { token: "late" } });
    client.onCredentialsExpiring(() => Promise.reject(new Error("no new token")));
    await client.connect();
    await runtime.advance(25_000);
    expect(errors).toMatchObject([{ stage: "hook", name: "onCredentialsExpiring", message: "no new token" }]);
  });
});

describe("a token that renews an identity", () => {
  test("is checked within the bound of logins, also if its client logs in again and again", async () => {
    const runtime = fakeRuntime();
    let hanging = 0;
    const { port, errors } = await testServer(runtime, {
      maxPendingLogins: 4,
      maxConnections: 20,
      authenticate: {
        async token(text) {
          if (text !== "slow") return token(text);
          hanging += 1;
          return await new Promise<null>(() => undefined);
        },
      },
    });
    const answers: number[] = [];
    for (let count = 0; count < 4; count += 1) {
      const peer = await rawDial(runtime, port);
      peer.send(FrameType.AUTH_REQUEST, { client_info: {}, methods: ["token"], extensions: { renewal: true } });
      const { type } = await peer.next();
      answers.push(type);
      if (type !== FrameType.AUTH_CHALLENGE) continue;
      peer.send(FrameType.AUTH_RESPONSE, { token: "late" });
      await peer.next(FrameType.AUTH_SUCCESS);
      peer.send(CREDENTIALS_FRAME, { token: "slow" });
      await runtime.settle();
      peer.stream.destroy(null);
      await runtime.settle();
    }
    const { AUTH_CHALLENGE, AUTH_FAILURE } = FrameType;
    expect(answers).toEqual([AUTH_CHALLENGE, AUTH_CHALLENGE, AUTH_FAILURE, AUTH_FAILURE]);
    expect(hanging).toBe(2);
    expect(errors).toEqual([]);
  });

  /** Logs in a user by password and renews by token, over plain TCP that this side considers a connection to another machine. */
  async function renewedFrom(side: "client" | "server") {
    const runtime = fakeRuntime();
    const verifier = await scramVerifier("lovelace", runtime, { iterations: FEW_ITERATIONS });
    const seen: string[] = [];
    await testServer(runtime, {
      authenticate: {
        scram: () => ({ verifier, expiresAt: EPOCH_MS + 30_000 }),
        token: (text) => {
          seen.push(text);
          return null;
        },
      },
    });
    const options = { password: undefined, credentials: { username: "ada", password: "lovelace" } };
    const { client, errors } = testClient(runtime, { ...options, reconnect: { enabled: false } });
    let asked = 0;
    client.onCredentialsExpiring(() => {
      asked += 1;
      return { token: "good" };
    });
    farAway(runtime, side);
    await client.connect();
    await runtime.advance(29_000);
    return { seen, errors, asked };
  }

  test("isn't sent over plain TCP to another machine", async () => {
    const { seen, errors } = await renewedFrom("client");
    expect(seen).toEqual([]);
    expect(errors).toMatchObject([{ code: ErrorCode.INSECURE_CONNECTION, name: "onCredentialsExpiring" }]);
  });

  test("isn't asked for, nor taken, over plain TCP from another machine", async () => {
    expect(await renewedFrom("server")).toEqual({ seen: [], errors: [], asked: 0 });
  });

  test("is asked for at once if the server doesn't say when the old one expires", async () => {
    const runtime = fakeRuntime();
    const raw = await RawServer.start(runtime);
    const client = bearer(runtime, { username: "ada", password: PASSWORD });
    const told: number[] = [];
    client.onCredentialsExpiring((expiresInMs) => {
      told.push(expiresInMs);
      return { token: "good" };
    });
    const connected = client.connect();
    const peer = await raw.admit({ extensions: { renewal: true } });
    await connected;
    for (const expires_in_ms of [-5, 1.5, "soon", null]) {
      peer.send(CREDENTIALS_EXPIRING_FRAME, { expires_in_ms });
      await peer.next(CREDENTIALS_FRAME);
      await runtime.advance(1000);
    }
    expect(told).toEqual([0, 0, 0, 0]);
  });

  test("is got once at a time and once a second, however often the server asks", async () => {
    const runtime = fakeRuntime();
    const raw = await RawServer.start(runtime);
    const client = bearer(runtime, { username: "ada", password: PASSWORD });
    const held = gate();
    let asked = 0;
    client.onCredentialsExpiring(async () => {
      asked += 1;
      await held.promise;
      return { token: "good" };
    });
    const connected = client.connect();
    const peer = await raw.admit({ extensions: { renewal: true } });
    await connected;
    for (let count = 0; count < 10; count += 1) peer.send(CREDENTIALS_EXPIRING_FRAME, { expires_in_ms: 5 });
    await runtime.settle();
    expect(asked).toBe(1);
    held.open();
    await peer.next(CREDENTIALS_FRAME);
    for (let count = 0; count < 10; count += 1) {
      peer.send(CREDENTIALS_EXPIRING_FRAME, { expires_in_ms: 5 });
      await runtime.settle();
    }
    expect(asked).toBe(1);
    await runtime.advance(1000);
    peer.send(CREDENTIALS_EXPIRING_FRAME, { expires_in_ms: 5 });
    await peer.next(CREDENTIALS_FRAME);
    expect(asked).toBe(2);
  });

  test("is checked once a second, whatever the client sends", async () => {
    const { runtime, port, seen, errors } = await scene();
    const peer = await rawDial(runtime, port);
    peer.send(FrameType.AUTH_REQUEST, { client_info: {}, methods: ["token"], extensions: { renewal: true } });
    await peer.next(FrameType.AUTH_CHALLENGE);
    peer.send(FrameType.AUTH_RESPONSE, { token: "late" });
    await peer.next(FrameType.AUTH_SUCCESS);
    for (const round of [1, 2]) {
      for (let count = 0; count < 20; count += 1) {
        peer.send(CREDENTIALS_FRAME, { token: "bad" });
        await runtime.settle();
      }
      expect([seen.length, errors.length]).toEqual([1 + round, round]);
      await runtime.advance(1000);
    }
  });

  test("changes nothing if the client has come back in the meantime with another one", async () => {
    const held = gate();
    const runtime = fakeRuntime();
    const { server } = await testServer(runtime, {
      resume: true,
      authenticate: {
        token: async (text) => {
          if (text !== "slow") return token(text);
          await held.promise;
          return { name: "ada", roles: ["outdated"], expiresAt: EPOCH_MS + 40_000 };
        },
      },
    });
    const tokens = ["late", "slow", "good"];
    const client = bearer(runtime, () => ({ token: tokens.shift() ?? "bad" }), {
      resume: true,
      reconnect: { delayMs: 10, maxDelayMs: 10, jitter: false },
    });
    await client.connect();
    await runtime.advance(25_000);
    runtime.pairs.at(-1)?.dialled.destroy(null);
    await runtime.advance(100);
    const [connection] = server.connections;
    expect([connection?.resumes, connection?.user.roles]).toEqual([1, ["admin"]]);
    held.open();
    await runtime.advance(60_000);
    expect([connection?.user.roles, connection?.isConnected]).toEqual([["admin"], true]);
  });
});

describe("server.revoke", () => {
  test("ends the connections of a user, who isn't let in again", async () => {
    const users = { ada: { password: "lovelace" }, bob: { password: "builder" } };
    const { runtime, server } = await scene({ users });
    const ada = testClient(runtime, { username: "ada", password: "lovelace" }).client;
    const bob = testClient(runtime, { username: "bob", password: "builder" }).client;
    await Promise.all([ada.connect(), bob.connect()]);
    const ends: unknown[] = [];
    ada.onDisconnect((_client, { code, reconnect }) => ends.push([code, reconnect]));
    expect((await server.revoke("ada")).connections).toBe(1);
    await runtime.advance(1000);
    expect([ends, ada.state, bob.isConnected]).toEqual([[[ErrorCode.IDENTITY_REVOKED, false]], "closed", true]);
    await expect(ada.connect()).rejects.toMatchObject({ code: ErrorCode.AUTH_FAILED });
  });

  test("ends nobody by the empty name of the shared password", async () => {
    const { runtime, server } = await scene();
    await testClient(runtime).client.connect();
    expect((await server.revoke("")).connections).toBe(0);
  });
});

describe("server.setUser", () => {
  test("changes a password, and adds a user", async () => {
    const { runtime, server } = await scene({ users: { ada: { password: "old" } } });
    await server.setUser("ada", { password: "new", roles: ["admin"] });
    await server.setUser("eve", { password: "eve" });
    const connect = (username: string, password: string) =>
      testClient(runtime, { username, password, reconnect: { enabled: false } }).client.connect();
    await expect(connect("ada", "old")).rejects.toMatchObject({ code: ErrorCode.AUTH_FAILED });
    await connect("ada", "new");
    await connect("eve", "eve");
    expect(server.connections.map(({ user }) => user.name)).toEqual(["ada", "eve"]);
  });

  test.each([
    ["netconduit", { password: "x" }],
    ["ada", {}],
    ["ada", { password: "x", verifier: "y" }],
    ["ada", { password: "" }],
    ["ada", { verifier: "y" }],
    ["ada", { password: "x", roles: [5] }],
    ["ada", { password: "x", claims: [] }],
    ["ada", { password: "x", role: "admin" }],
    ["ada", null],
  ])("refuses %j %j, and shows no secret", async (name, options) => {
    const { server } = await scene({ users: {} });
    await expect(server.setUser(name, options as never)).rejects.toMatchObject({ code: ErrorCode.INVALID_CONFIG });
  });

  test("needs a server with users", async () => {
    const { server } = await scene();
    await expect(server.setUser("ada", { password: "x" })).rejects.toMatchObject({ code: ErrorCode.INVALID_STATE });
  });
});

describe("keys of once and ack", () => {
  test("belong to a user and its method of login: one by token has no others' answers, and its own over any connection", async () => {
    const { runtime, server } = await scene({ users: { ada: { password: "one password" } } });
    let charged = 0;
    server.rpc("charge", () => ++charged);
    const byPassword = testClient(runtime, { username: "ada", password: "one password" }).client;
    const [byToken, again] = [bearer(runtime, { token: "good" }), bearer(runtime, { token: "plain" })];
    const results: unknown[] = [];
    for (const client of [byPassword, byToken, again]) {
      await client.connect();
      results.push(await client.call("charge", {}, { once: "order 1" }));
    }
    expect(results).toEqual([1, 2, 2]);
  });

  test("leave a dead letter with its user's name", async () => {
    const { runtime, server } = await scene();
    const users: string[] = [];
    server.onDeadLetter(({ user }) => void users.push(user));
    server.on("poison", () => {
      throw new Error("No");
    });
    const client = bearer(runtime, { token: "good" });
    await client.connect();
    const sent = outcome(client.send("poison", {}, { ack: { deliveries: 2, delayMs: 1 } }));
    await runtime.advance(100);
    expect([sent.state, users]).toEqual(["rejected", ["ada"]]);
  });
});
