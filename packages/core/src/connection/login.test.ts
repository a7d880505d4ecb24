import { describe, expect, test } from "vitest";
import { ClientHandshake } from "../auth/client-handshake.ts";
import { ScramKeyCache } from "../auth/scram.ts";
import { ErrorCode } from "../errors.ts";
import { MAX_HANDSHAKE_BYTES, NETCONDUIT_WELCOME_HOLD_MS } from "../limits.ts";
import type { Rejection } from "../server/login-manager.ts";
import { type FakeRuntime, fakeRuntime } from "../test-support/fake-runtime.ts";
import { gate, outcome, testClient, testServer } from "../test-support/peers.ts";
import { PASSWORD, type RawPeer, RawServer, rawClient, rawDial } from "../test-support/raw-peer.ts";
import { FrameType } from "../wire/constants.ts";
import { runtimeContextOf } from "./runtime-context.ts";

async function bench(options: Record<string, unknown> = {}) {
  const runtime = fakeRuntime();
  const rejections: Rejection[] = [];
  const { server, port, errors } = await testServer(runtime, options, (fresh) =>
    fresh.onClientRejected((rejection) => rejections.push(rejection)),
  );
  return { runtime, server, port, errors, rejections };
}

/** The first frame of a login, as a client of ours sends it. */
async function authRequest(runtime: FakeRuntime, password = PASSWORD) {
  const handshake = new ClientHandshake({
    password,
    info: { name: "raw", version: "1", description: "" },
    allowPasswordHash: false,
    crypto: runtime.crypto,
    cache: new ScramKeyCache(),
  });
  return { handshake, request: await handshake.start() };
}

/** Tries to log in; the type of the frame that ends it. */
async function logIn(runtime: FakeRuntime, port: number, password: string): Promise<RawPeer> {
  const peer = await rawDial(runtime, port);
  const { handshake, request } = await authRequest(runtime, password);
  peer.send(FrameType.AUTH_REQUEST, request);
  const challenge = await peer.next(FrameType.AUTH_CHALLENGE);
  const step = await handshake.receive(challenge.type, challenge.payload);
  if (step.kind === "send") peer.send(step.type, step.payload);
  await runtime.settle();
  return peer;
}

describe("before login", () => {
  test("another protocol's first bytes end the connection at once, and are told as BAD_MAGIC", async () => {
    const { runtime, server, port, errors, rejections } = await bench();
    const peer = await rawDial(runtime, port);
    peer.sendBytes(new TextEncoder().encode("GET / HTTP/1.1\r\n\r\n"));
    await runtime.settle();
    expect(peer.ended).toMatchObject({ code: ErrorCode.CONNECTION_RESET });
    expect(errors).toMatchObject([{ code: ErrorCode.BAD_MAGIC, stage: "login" }]);
    expect(rejections).toMatchObject([{ code: ErrorCode.BAD_MAGIC }]);
    expect(server.stats).toMatchObject({ accepted: 1, loggedIn: 0, rejected: 1 });
  });

  test.each([
    [
      "TLS",
      Uint8Array.of(0x16, 3, 1, 2, 0),
      "begins like a TLS handshake: the client uses TLS and this server does not",
    ],
    ["HTTP", new TextEncoder().encode("POST / HTTP/1.1\r\n"), "begins like HTTP"],
  ])("what begins like %s is told to be that, to both hooks", async (_protocol, bytes, words) => {
    const { runtime, port, errors, rejections } = await bench();
    (await rawDial(runtime, port)).sendBytes(bytes);
    await runtime.settle();
    const message = expect.stringContaining(words);
    expect(errors).toMatchObject([{ code: ErrorCode.BAD_MAGIC, message }]);
    expect(rejections).toMatchObject([{ code: ErrorCode.BAD_MAGIC, message }]);
  });

  test("a frame over 16 KiB is refused on its header", async () => {
    const { runtime, port, errors } = await bench();
    const peer = await rawDial(runtime, port);
    const frame = peer.encodeRaw(FrameType.AUTH_REQUEST, new Uint8Array(MAX_HANDSHAKE_BYTES + 1));
    peer.sendBytes(frame.subarray(0, 32));
    await runtime.settle();
    expect(errors).toMatchObject([{ code: ErrorCode.MESSAGE_TOO_LARGE }]);
  });

  test("a compressed frame that inflates beyond 16 KiB is refused", async () => {
    const { runtime, port, errors } = await bench();
    const peer = await rawDial(runtime, port);
    const frame = peer.encodeRaw(FrameType.AUTH_REQUEST, runtime.deflate(new Uint8Array(1_000_000)));
    new DataView(frame.buffer).setUint16(8, 1);
    peer.sendBytes(frame);
    await runtime.settle();
    expect(errors).toMatchObject([{ code: ErrorCode.INFLATED_TOO_LARGE }]);
  });

  test("more than 32 KiB, pipelined while the login is worked on, end the connection", async () => {
    const { runtime, port, errors, server } = await bench();
    const { hmacSha256 } = runtime.crypto;
    const byPromise: typeof hmacSha256 = async (key, data) => hmacSha256(key, data);
    Object.assign(runtime.crypto, { hmacSha256: byPromise });
    const peer = await rawDial(runtime, port);
    const { handshake, request } = await authRequest(runtime);
    peer.send(FrameType.AUTH_REQUEST, request);
    const challenge = await peer.next(FrameType.AUTH_CHALLENGE);
    const step = await handshake.receive(challenge.type, challenge.payload);
    if (step.kind !== "send") throw new Error(step.kind);
    const filler = peer.encodeRaw(FrameType.MESSAGE, new Uint8Array(MAX_HANDSHAKE_BYTES));
    peer.sendBytes(peer.encode(step.type, step.payload), filler, filler, filler);
    await runtime.settle();
    expect(errors).toMatchObject([{ code: ErrorCode.MESSAGE_TOO_LARGE, stage: "login" }]);
    expect(server.connectionCount).toBe(0);
  });

  test.each([
    ["MESSAGE", FrameType.MESSAGE],
    ["RPC_REQUEST", FrameType.RPC_REQUEST],
    ["HEARTBEAT_PING", FrameType.HEARTBEAT_PING],
    ["AUTH_RESPONSE", FrameType.AUTH_RESPONSE],
    ["AUTH_SUCCESS", FrameType.AUTH_SUCCESS],
    ["CLOSE", FrameType.CLOSE],
  ])("%s is refused with UNEXPECTED_FRAME", async (_name, type) => {
    const { runtime, port, rejections } = await bench();
    const peer = await rawDial(runtime, port);
    peer.send(type, { method: "listall", params: {} });
    const failure = await peer.next(FrameType.AUTH_FAILURE);
    expect(failure.payload).toMatchObject({ code: ErrorCode.UNEXPECTED_FRAME });
    expect(rejections).toMatchObject([{ code: ErrorCode.UNEXPECTED_FRAME }]);
    expect(peer.ended).toBeNull();
  });

  test.each([
    ["no map", (peer: RawPeer) => peer.encodeRaw(FrameType.AUTH_REQUEST, Uint8Array.of(0x93, 1, 2, 3))],
    ["no MessagePack", (peer: RawPeer) => peer.encodeRaw(FrameType.AUTH_REQUEST, Uint8Array.of(0xc1))],
    ["cut short", (peer: RawPeer) => peer.encodeRaw(FrameType.AUTH_REQUEST, Uint8Array.of(0x81, 0xa1))],
    ["empty", (peer: RawPeer) => peer.encode(FrameType.AUTH_REQUEST)],
  ])("an AUTH_REQUEST that is %s is refused and throws nowhere", async (_what, make) => {
    const { runtime, server, port, rejections } = await bench();
    const peer = await rawDial(runtime, port);
    peer.sendBytes(make(peer));
    await runtime.settle();
    expect([peer.ended === undefined, rejections.length, server.connectionCount]).toEqual([false, 1, 0]);
  });

  test("byte by byte a login works like in one piece", async () => {
    const runtime = fakeRuntime({ maxChunkBytes: 1 });
    const { server, port } = await testServer(runtime);
    await rawClient(runtime, port);
    expect(server.connectionCount).toBe(1);
  });

  test("a peer that is gone before its login is answered costs nothing", async () => {
    const { runtime, server, port } = await bench({ maxPendingLogins: 1 });
    const gone = await rawDial(runtime, port);
    const { request } = await authRequest(runtime);
    gone.send(FrameType.AUTH_REQUEST, request);
    gone.stream.destroy(null);
    await runtime.settle();
    await rawClient(runtime, port);
    expect(server.connectionCount).toBe(1);
  });
});

describe("the time a login takes", () => {
  test("is bounded by authTimeoutMs, and the peer is told AUTH_TIMEOUT", async () => {
    const { runtime, port, rejections } = await bench({ authTimeoutMs: 1000 });
    const peer = await rawDial(runtime, port);
    await runtime.advance(990);
    expect(peer.ended).toBeUndefined();
    await runtime.advance(30);
    expect((await peer.next(FrameType.AUTH_FAILURE)).payload).toMatchObject({ code: ErrorCode.AUTH_TIMEOUT });
    expect([rejections[0]?.code, peer.ended]).toEqual([ErrorCode.AUTH_TIMEOUT, null]);
  });

  test("is bounded also for a peer that never closes its side: the slot is free after closeTimeoutMs", async () => {
    const { runtime, port, server } = await bench({ authTimeoutMs: 1000, closeTimeoutMs: 500, maxPendingLogins: 1 });
    const peer = await rawDial(runtime, port);
    peer.stream.pause();
    await runtime.advance(1600);
    await rawClient(runtime, port);
    expect(server.connectionCount).toBe(1);
  });

  test("at most maxPendingLogins at the same time: for one more, the oldest is closed and reported", async () => {
    const { runtime, port, rejections } = await bench({ maxPendingLogins: 2 });
    const oldest = await rawDial(runtime, port);
    const second = await rawDial(runtime, port);
    const third = await rawDial(runtime, port);
    await runtime.settle();
    expect(oldest.ended).toMatchObject({ code: ErrorCode.CONNECTION_RESET });
    expect([second.ended, third.ended]).toEqual([undefined, undefined]);
    expect(rejections).toMatchObject([{ code: ErrorCode.SERVER_FULL, message: "2 newer logins are under way" }]);
  });

  test("connect hooks are bounded by connectionTimeoutMs", async () => {
    const never = gate();
    const runtime = fakeRuntime();
    const reasons: number[] = [];
    const { port } = await testServer(runtime, { connectionTimeoutMs: 2000 }, (server) => {
      server.onClientConnect(() => never.promise);
      server.onClientDisconnect((_connection, reason) => reasons.push(reason.code));
    });
    const peer = await rawClient(runtime, port);
    await runtime.advance(2100);
    expect((await peer.next(FrameType.CLOSE)).payload).toMatchObject({ code: ErrorCode.CONNECT_TIMEOUT });
    never.open();
    await runtime.settle();
    expect(reasons).toEqual([ErrorCode.CONNECT_TIMEOUT]);
  });
});

describe("wrong passwords", () => {
  test("are refused with AUTH_FAILED, counted, and not told apart from other proofs", async () => {
    const { runtime, server, port } = await bench();
    const peer = await logIn(runtime, port, "wrong");
    expect((await peer.next(FrameType.AUTH_FAILURE)).payload).toEqual({
      reason: "Invalid password",
      code: ErrorCode.AUTH_FAILED,
    });
    expect(server.stats).toMatchObject({ authFailures: 1, rejected: 1, loggedIn: 0 });
  });

  test("from one address are slowed down after the third; a wait over half of authTimeoutMs is a refusal", async () => {
    const { runtime, port } = await bench({ authTimeoutMs: 600 });
    for (let count = 0; count < 4; count += 1) await logIn(runtime, port, "wrong");
    const slowed = await rawDial(runtime, port);
    const { request } = await authRequest(runtime);
    slowed.send(FrameType.AUTH_REQUEST, request);
    expect(await slowed.receivedTypes()).toEqual([]);
    await runtime.advance(230);
    expect(await slowed.receivedTypes()).toEqual([]);
    await runtime.advance(40);
    expect(await slowed.receivedTypes()).toEqual(["AUTH_CHALLENGE"]);
    await logIn(runtime, port, "wrong");
    const refused = await rawDial(runtime, port);
    refused.send(FrameType.AUTH_REQUEST, request);
    await runtime.settle();
    expect((await refused.next(FrameType.AUTH_FAILURE)).payload).toMatchObject({ code: ErrorCode.RATE_LIMITED });
  });

  test("a peer that leaves while it is slowed down is forgotten", async () => {
    const { runtime, server, port } = await bench();
    for (let count = 0; count < 4; count += 1) await logIn(runtime, port, "wrong");
    const slowed = await rawDial(runtime, port);
    slowed.send(FrameType.AUTH_REQUEST, (await authRequest(runtime)).request);
    await runtime.settle();
    slowed.stream.destroy(null);
    await runtime.advance(1000);
    expect([server.connectionCount, server.stats.loggedIn]).toEqual([0, 0]);
  });

  test("a right one clears the address", async () => {
    const { runtime, port } = await bench();
    for (let count = 0; count < 3; count += 1) await logIn(runtime, port, "wrong");
    await rawClient(runtime, port);
    for (let count = 0; count < 3; count += 1) await logIn(runtime, port, "wrong");
    await rawClient(runtime, port);
  });
});

describe("a full server", () => {
  test("tells the client SERVER_FULL, closes, and the hook sees it", async () => {
    const { runtime, server, port, rejections } = await bench({ maxConnections: 1 });
    await rawClient(runtime, port);
    const second = await rawDial(runtime, port);
    second.send(FrameType.AUTH_REQUEST, (await authRequest(runtime)).request);
    expect((await second.next(FrameType.AUTH_FAILURE)).payload).toMatchObject({ code: ErrorCode.SERVER_FULL });
    expect([second.ended, rejections[0]?.code, server.connectionCount]).toEqual([null, ErrorCode.SERVER_FULL, 1]);
  });

  test("has room again as soon as a client is gone", async () => {
    const { runtime, server, port } = await bench({ maxConnections: 1 });
    const first = await rawClient(runtime, port);
    first.stream.destroy(null);
    await runtime.settle();
    await rawClient(runtime, port);
    expect(server.stats.loggedIn).toBe(2);
  });

  test("lets no more in than it has room for when two log in side by side", async () => {
    const { runtime, server, port } = await bench({ maxConnections: 1 });
    const peers = [await rawDial(runtime, port), await rawDial(runtime, port)];
    const logins = [await authRequest(runtime), await authRequest(runtime)];
    for (const [index, peer] of peers.entries()) peer.send(FrameType.AUTH_REQUEST, logins[index]?.request ?? {});
    for (const [index, peer] of peers.entries()) {
      const challenge = await peer.next(FrameType.AUTH_CHALLENGE);
      const step = await logins[index]?.handshake.receive(challenge.type, challenge.payload);
      if (step?.kind === "send") peer.send(step.type, step.payload);
    }
    expect(await peers[0]?.receivedTypes()).toEqual(["AUTH_SUCCESS"]);
    expect(await peers[1]?.receivedTypes()).toEqual(["AUTH_FAILURE"]);
    expect(server.connectionCount).toBe(1);
  });
});

describe("a netconduit client", () => {
  const netconduit = { extensions: null, passwordHash: true } as const;

  test("is refused with PASSWORD_HASH_REFUSED unless the option names it", async () => {
    const { runtime, port, rejections } = await bench();
    await expect(rawClient(runtime, port, netconduit)).rejects.toThrow(/AUTH_FAILURE/);
    expect(rejections).toMatchObject([{ code: ErrorCode.PASSWORD_HASH_REFUSED }]);
    expect(rejections[0]?.message).toContain("allowPasswordHash");
  });

  test("gets AUTH_SUCCESS in one write of its own, and what follows after the hold", async () => {
    const { runtime, server, port } = await bench({ allowPasswordHash: true });
    server.onClientConnect((connection) => {
      connection.send("welcome", { n: 1 });
      connection.send("welcome", { n: 2 });
    });
    const peer = await rawClient(runtime, port, netconduit);
    expect([peer.chunks.length, await peer.receivedTypes()]).toEqual([1, []]);
    await runtime.advance(NETCONDUIT_WELCOME_HOLD_MS - 5);
    expect(await peer.receivedTypes()).toEqual([]);
    await runtime.advance(25);
    expect((await peer.received()).map((frame) => frame.payload?.["data"])).toEqual([{ n: 1 }, { n: 2 }]);
  });

  test("that leaves during the hold leaves nothing behind", async () => {
    const { runtime, server, port } = await bench({ allowPasswordHash: true });
    const peer = await rawClient(runtime, port, netconduit);
    server.connections[0]?.send("welcome");
    peer.stream.destroy(null);
    await runtime.advance(1000);
    expect(server.connectionCount).toBe(0);
  });

  test("is not sent CLOSE: its connection just ends", async () => {
    const { runtime, server, port } = await bench({ allowPasswordHash: true });
    const peer = await rawClient(runtime, port, netconduit);
    await server.connections[0]?.close("bye");
    expect([await peer.receivedTypes(), peer.ended]).toEqual([[], null]);
    expect(runtime.now()).toBe(0);
  });
});

describe("a client of ours", () => {
  test("gets what its server sends right behind AUTH_SUCCESS, also if that is a lot", async () => {
    const runtime = fakeRuntime();
    const { client } = testClient(runtime);
    const sizes: number[] = [];
    client.on("welcome", (data) => sizes.push((data as string).length));
    const { server } = await testServer(runtime);
    server.onClientConnect((connection) => {
      for (let count = 0; count < 5; count += 1) connection.send("welcome", "x".repeat(100_000));
    });
    await client.connect();
    await runtime.settle();
    expect(sizes).toEqual(Array(5).fill(100_000));
  });

  test("reads no more than that before it has checked the login", async () => {
    const runtime = fakeRuntime();
    const raw = await RawServer.start(runtime);
    const { client } = testClient(runtime);
    const connecting = outcome(client.connect());
    const { peer, success } = await raw.answer();
    const message = peer.encode(FrameType.MESSAGE, { type: "welcome", data: "x".repeat(60_000) });
    const got: unknown[] = [];
    client.on("welcome", () => got.push(1));
    peer.sendBytes(success, message, message, message);
    await runtime.settle();
    expect([connecting.state, got.length]).toEqual(["resolved", 3]);
  });

  test("ends a login in which the server sends more than a login needs", async () => {
    const runtime = fakeRuntime();
    const raw = await RawServer.start(runtime);
    const { client } = testClient(runtime, { reconnect: { enabled: false } });
    const connecting = outcome(client.connect());
    const peer = await raw.accept();
    peer.sendBytes(peer.encodeRaw(FrameType.AUTH_CHALLENGE, new Uint8Array(MAX_HANDSHAKE_BYTES + 1)));
    await runtime.settle();
    expect([connecting.state, connecting.error?.code]).toEqual(["rejected", ErrorCode.MESSAGE_TOO_LARGE]);
  });
});

describe("connectionData", () => {
  test("that throws ends that login with a report, and no other", async () => {
    let count = 0;
    const runtime = fakeRuntime();
    const { server, port, errors } = await testServer(runtime, {
      connectionData: () => {
        count += 1;
        if (count === 1) throw new Error("no data today");
        return { count };
      },
    });
    await expect(rawClient(runtime, port)).rejects.toThrow();
    expect(errors).toMatchObject([{ stage: "hook", message: "no data today" }]);
    await rawClient(runtime, port);
    expect(server.connections.map((connection) => connection.data)).toEqual([{ count: 2 }]);
  });
});

describe("logging in again", () => {
  /** A client that is connected. */
  async function join(runtime: FakeRuntime, options: Parameters<typeof testClient>[1] = {}) {
    const { client } = testClient(runtime, { reconnect: { enabled: false }, ...options });
    await client.connect();
    return client;
  }

  test("one client's login hands the next one its challenge, whichever client of that server it is", async () => {
    const runtime = fakeRuntime();
    const raw = await RawServer.start(runtime);
    const types: string[][] = [];
    for (let count = 0; count < 3; count += 1) {
      const connecting = outcome(testClient(runtime, { reconnect: { enabled: false } }).client.connect());
      const peer = await raw.accept();
      types.push(Object.keys(peer.frames[0]?.payload ?? {}));
      await raw.admit();
      expect(connecting.state).toBe("resolved");
    }
    expect(types.map((keys) => keys.includes("proof"))).toEqual([false, true, true]);
  });

  test("another server gets no proof made for this one", async () => {
    const runtime = fakeRuntime();
    await testServer(runtime);
    await join(runtime);
    const raw = await RawServer.start(runtime, 8081);
    const { client } = testClient(runtime, { port: 8081, reconnect: { enabled: false } });
    const connecting = outcome(client.connect());
    const peer = await raw.accept();
    expect(peer.frames[0]?.payload).not.toHaveProperty("proof");
    await raw.admit();
    expect(connecting.state).toBe("resolved");
  });

  test("with a wrong password fails in one trip, and counts", async () => {
    const { runtime, server, rejections } = await bench();
    await join(runtime);
    for (let count = 0; count < 2; count += 1) {
      await expect(join(runtime, { password: "guess" })).rejects.toMatchObject({ code: ErrorCode.AUTH_FAILED });
    }
    expect(rejections.map(({ code }) => code)).toEqual([ErrorCode.AUTH_FAILED, ErrorCode.AUTH_FAILED]);
    expect(server.stats).toMatchObject({ loggedIn: 1, authFailures: 2 });
  });

  /** The first frame of a login for which the client has a challenge. */
  async function requestAhead(runtime: FakeRuntime, password = PASSWORD) {
    const { keys, next: logins } = runtimeContextOf(runtime).logins;
    const handshake = new ClientHandshake({
      password,
      info: { name: "raw", version: "1", description: "" },
      allowPasswordHash: false,
      crypto: runtime.crypto,
      cache: keys,
      next: { logins, target: "test:8080", now: () => runtime.now() },
    });
    const request = await handshake.start();
    expect(request).toHaveProperty("proof");
    return request;
  }

  /** The types of the frames that answer this one. */
  async function answerTo(runtime: FakeRuntime, port: number, request: Record<string, unknown>) {
    const peer = await rawDial(runtime, port);
    peer.send(FrameType.AUTH_REQUEST, request);
    return peer.receivedTypes();
  }

  test("cannot be replayed by who recorded a login that a full server refused", async () => {
    const { runtime, server, port } = await bench({ maxConnections: 1 });
    const first = await join(runtime);
    const request = await requestAhead(runtime);
    expect(await answerTo(runtime, port, request)).toEqual(["AUTH_FAILURE"]);
    await first.disconnect();
    expect(await answerTo(runtime, port, request)).toEqual(["AUTH_CHALLENGE"]);
    expect(server.stats.loggedIn).toBe(1);
  });

  test("cannot be replayed by who recorded a login that had to wait and was given up", async () => {
    const { runtime, server, port } = await bench();
    await join(runtime);
    const request = await requestAhead(runtime);
    for (let count = 0; count < 4; count += 1) await logIn(runtime, port, "wrong");
    const slowed = await rawDial(runtime, port);
    slowed.send(FrameType.AUTH_REQUEST, request);
    await runtime.settle();
    slowed.stream.destroy(null);
    await runtime.advance(1000);
    expect(await answerTo(runtime, port, request)).toEqual(["AUTH_CHALLENGE"]);
    expect(server.stats.loggedIn).toBe(1);
  });

  test("begins anew with each start of a server", async () => {
    const { runtime, server, port } = await bench();
    await join(runtime);
    const request = await requestAhead(runtime);
    await server.stop();
    await server.start();
    expect(await answerTo(runtime, port, request)).toEqual(["AUTH_CHALLENGE"]);
  });

  test("is not done by a server with enableFastLogin false: it looks at no proof and hands out no challenge", async () => {
    const { runtime, port } = await bench({ enableFastLogin: false });
    const peer = await rawDial(runtime, port);
    const { handshake, request } = await authRequest(runtime);
    // One that does it refuses this proof as malformed.
    peer.send(FrameType.AUTH_REQUEST, { ...request, proof: "hello", extensions: { advance: true, reply: true } });
    const challenge = await peer.next(FrameType.AUTH_CHALLENGE);
    const step = await handshake.receive(challenge.type, challenge.payload);
    if (step.kind === "send") peer.send(step.type, step.payload);
    const { payload } = await peer.next(FrameType.AUTH_SUCCESS);
    expect([payload?.["extensions"], payload?.["next"]]).toEqual([{ reply: true }, undefined]);
  });

  test("is neither offered nor done by a client with enableFastLogin false, whatever others remember", async () => {
    const runtime = fakeRuntime();
    const raw = await RawServer.start(runtime);
    const offers: unknown[] = [];
    for (const enableFastLogin of [true, false, true]) {
      const { client } = testClient(runtime, { enableFastLogin, reconnect: { enabled: false } });
      const connecting = outcome(client.connect());
      const peer = await raw.accept();
      const { proof, extensions = {} } = peer.frames[0]?.payload ?? {};
      offers.push([proof !== undefined, "advance" in (extensions as object)]);
      await raw.admit();
      expect(connecting.state).toBe("resolved");
    }
    expect(offers).toEqual([
      [false, true],
      [false, false],
      [true, true],
    ]);
  });

  test("works when the server was stopped and another one took its place", async () => {
    const runtime = fakeRuntime();
    const { server } = await testServer(runtime);
    await join(runtime);
    await server.stop();
    const { server: other } = await testServer(runtime);
    const clients = [await join(runtime), await join(runtime)];
    expect(clients.map((client) => client.isConnected)).toEqual([true, true]);
    expect(other.stats).toMatchObject({ loggedIn: 2, rejected: 0 });
  });
});
