import {
  type Client,
  type CloseReason,
  type Connection,
  type Contract,
  ErrorCode,
  type RemotePeer,
} from "@netconduit/core";
import * as v from "valibot";
import { describe, expect, test } from "vitest";
import { EventLog } from "../../packages/core/src/testing/event-log.ts";
import { failureOf } from "../support/failures.ts";
import type { Subject } from "../support/subject.ts";
import { connectionOf, PATIENT, type Stage, stagedOn } from "./stage.ts";

const shop = {
  server: {
    methods: {
      "users.list": { params: v.object({ limit: v.optional(v.number(), 10) }), result: v.array(v.string()) },
      "users.admin.add": { params: v.object({ name: v.string() }), result: v.string() },
      users: { result: v.number() },
      forever: {},
    },
  },
  client: { methods: { "screen.show": { params: v.object({ text: v.string() }), result: v.boolean() } } },
} satisfies Contract;

/** Starts a server and a client with the same methods and message handlers. */
async function bothEnds(stage: Stage) {
  /** Messages and calls without a reply. */
  const arrivals = new EventLog<unknown>();
  const server = await stage.listen({ name: "main" });
  const client = await stage.join(server, { name: "Ada" });
  const connection = connectionOf(server, client);
  const double = { name: "double", params: v.object({ n: v.number() }), result: v.number() };
  server.rpc(double, ({ n }) => n * 2);
  client.rpc(double, ({ n }) => n * 2);
  server.rpc("note", arrivals.add);
  client.rpc("note", arrivals.add);
  server.on("ask", (_connection, data) => ({ heard: data }));
  client.on("ask", (data) => ({ heard: data }));
  server.on("tell", (_connection, data) => arrivals.add(data));
  client.on("tell", arrivals.add);
  return { server, client, connection, arrivals };
}

/** The common interface of a server's `Connection` and a `Client`. */
export function describeApi(subject: Subject): void {
  const staged = stagedOn(subject);
  const views: readonly (readonly [string, (ends: { client: Client; connection: Connection }) => RemotePeer])[] = [
    ["a server's view of a client", ({ connection }) => connection],
    ["a client's view of its server", ({ client }) => client],
  ];

  describe.each(views)(`%s on ${subject.name}`, PATIENT, (_name, peerOf) => {
    test(
      "calls, requests, sends and discovers",
      staged(async (stage) => {
        const ends = await bothEnds(stage);
        const peer = peerOf(ends);
        expect(await peer.call("double", { n: 4 })).toBe(8);
        expect(await peer.call("double", { n: 4 }, { result: v.number() })).toBe(8);
        expect(await failureOf(peer.call("double", { n: "4" }))).toMatchObject({ code: ErrorCode.INVALID_TYPE });
        expect(await failureOf(peer.call("none"))).toMatchObject({ code: ErrorCode.METHOD_NOT_FOUND });
        expect(await peer.request("ask", 1)).toEqual({ heard: 1 });
        expect([peer.send("tell", "sent"), peer.callNoWait("note", { n: 1 })]).toEqual([true, true]);
        expect(await ends.arrivals.count(2)).toEqual(["sent", { n: 1 }]);
        await peer.drained();
        expect(await peer.discover()).toEqual([
          {
            name: "double",
            description: "",
            parameters: { n: "number" },
            returnType: "number",
            requiresAuth: true,
          },
          { name: "note", description: "", parameters: {}, returnType: "unknown", requiresAuth: true },
        ]);
      }),
    );

    test(
      "reports the connection, also after its end",
      staged(async (stage) => {
        const ends = await bothEnds(stage);
        const peer = peerOf(ends);
        expect([peer.state, peer.isConnected, peer.isAuthenticated]).toEqual(["active", true, true]);
        await peer.call("double", { n: 4 });
        expect(peer.latencyMs).toBeNull();
        const facts = () => ({
          remote: peer.remote,
          remoteAddress: peer.remoteAddress,
          local: peer.local,
          tls: peer.tls,
          info: peer.info,
          latency: peer.latency,
          connectedAt: peer.stats?.connectedAt,
        });
        const before = facts();
        expect(before).toMatchObject({
          remote: { kind: "tcp", host: "127.0.0.1" },
          remoteAddress: expect.stringMatching(/^127\.0\.0\.1:\d+$/),
          local: { kind: "tcp", host: "127.0.0.1" },
          tls: null,
          info: { netconduit: false },
          latency: { samples: 0 },
          connectedAt: expect.any(Number),
        });
        expect(peer.stats?.messagesSent).toBe(1);
        expect(peer.stats?.bytesReceived).toBeGreaterThan(0);
        await peer.close();
        expect([peer.isConnected, peer.isAuthenticated, peer.bufferedBytes]).toEqual([false, false, 0]);
        expect(facts()).toEqual(before);
      }),
    );

    test(
      "is notified of every change of state, until the listener is removed",
      staged(async (stage) => {
        const peer = peerOf(await bothEnds(stage));
        const [changes, removed] = [new EventLog<string>(), new EventLog<string>()];
        peer.onStateChange(({ to }) => changes.add(to));
        peer.onStateChange(({ to }) => removed.add(to))();
        await peer.close();
        expect([changes.all, removed.all]).toEqual([["closing", "closed"], []]);
      }),
    );

    test(
      "ends with close: calls that wait reject, as does all that comes later",
      staged(async (stage) => {
        const ends = await bothEnds(stage);
        const peer = peerOf(ends);
        const reasons = new EventLog<CloseReason>();
        ends.server.onClientDisconnect((_connection, reason) => reasons.add(reason));
        ends.client.onDisconnect((_client, reason) => reasons.add(reason));
        ends.server.rpc("wait", () => new Promise(() => {}));
        ends.client.rpc("wait", () => new Promise(() => {}));
        const waiting = failureOf(peer.call("wait"));
        await peer.close("Enough for today");
        const { CONNECTION_CLOSED } = ErrorCode;
        expect((await waiting).code).toBe(CONNECTION_CLOSED);
        expect((await failureOf(peer.call("double", { n: 1 }))).code).toBe(CONNECTION_CLOSED);
        expect((await failureOf(peer.drained())).code).toBe(CONNECTION_CLOSED);
        expect(() => peer.send("tell", 1)).toThrow(expect.objectContaining({ code: CONNECTION_CLOSED }));
        expect(() => peer.callNoWait("note")).toThrow(expect.objectContaining({ code: CONNECTION_CLOSED }));
        const messages = (await reasons.count(2)).map(({ message }) => message);
        expect(messages).toEqual(["Enough for today", "Enough for today"]);
      }),
    );

    test(
      "has the peer's methods as functions, whatever their names",
      staged(async (stage) => {
        const { api } = peerOf(await bothEnds(stage));
        expect(await api.double({ n: 4 })).toBe(8);
        expect(await api.double({ n: 4 }, { result: v.number() })).toBe(8);
        expect(await failureOf(api.no.such.method())).toMatchObject({
          code: ErrorCode.METHOD_NOT_FOUND,
          message: expect.stringContaining("no.such.method"),
        });
      }),
    );
  });

  describe(`methods as functions on ${subject.name}`, PATIENT, () => {
    test(
      "are nested by the dots of the contract's names, on both ends",
      staged(async (stage) => {
        const server = stage.ownServer({ ...stage.serverOptions({}), contract: shop });
        server.implement({
          "users.list": ({ limit }) => [`at most ${limit}`],
          "users.admin.add": ({ name }) => name,
          users: () => 2,
          forever: () => new Promise(() => {}),
        });
        await server.start();
        const client = stage.ownClient<typeof shop>(server, { contract: shop });
        client.rpc("screen.show", ({ text }) => text !== "");
        await client.connect();
        expect(await client.api.users.list({})).toEqual(["at most 10"]);
        expect(await client.api.users.admin.add({ name: "ada" })).toBe("ada");
        expect(await client.api.users()).toBe(2);
        expect(await connectionOf(server, client).api.screen.show({ text: "hello" })).toBe(true);
        const signal = AbortSignal.abort();
        expect((await failureOf(client.api.forever({}, { signal }))).code).toBe(ErrorCode.CANCELLED);
        expect((await failureOf(client.api.forever({}, { timeoutMs: 1 }))).code).toBe(ErrorCode.TIMEOUT);
        const wrong = client.api.users.list({ limit: "all" } as never);
        expect((await failureOf(wrong)).code).toBe(ErrorCode.INVALID_TYPE);
      }),
    );
  });

  describe(`a client on ${subject.name}`, PATIENT, () => {
    test(
      "has no connection facts before its first login",
      staged(async (stage) => {
        const server = await stage.listen();
        const client = stage.client(server);
        const { remote, remoteAddress, local, tls, info, latency, latencyMs, stats } = client;
        expect([remote, remoteAddress, local, tls, info, latency, latencyMs, stats]).toEqual(Array(8).fill(null));
        expect([client.state, client.isConnected, client.isAuthenticated]).toEqual(["disconnected", false, false]);
      }),
    );

    test(
      "reports its current connection after it has reconnected",
      staged(async (stage) => {
        const server = await stage.listen();
        const client = await stage.join(server);
        const first = client.local;
        await client.close();
        expect(client.local).toEqual(first);
        await client.connect();
        expect(client.local).toEqual(connectionOf(server, client).remote);
        expect(client.stats?.messagesSent).toBe(0);
      }),
    );

    test(
      "disconnects by either name",
      staged(async (stage) => {
        const reasons = new EventLog<string>();
        const server = await stage.listen();
        server.onClientDisconnect((_connection, { message }) => reasons.add(message));
        const client = await stage.join(server);
        await client.disconnect();
        await client.connect();
        await client.close();
        expect(await reasons.count(2)).toEqual(["Closed by the client", "Closed by the client"]);
      }),
    );
  });
}
