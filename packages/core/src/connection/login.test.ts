import { describe, expect, test } from "vitest";
import { ErrorCode } from "../errors.ts";
import { MAX_HANDSHAKE_BYTES, NETCONDUIT_WELCOME_HOLD_MS } from "../limits.ts";
import type { Rejection } from "../server/login-manager.ts";
import { type FakeRuntime, fakeRuntime } from "../test-support/fake-runtime.ts";
import { gate } from "../test-support/gate.ts";
import { leftovers } from "../test-support/leftovers.ts";
import { outcome, testClient, testServer } from "../test-support/peers.ts";
import { type MemoryPeer, PASSWORD, RawServer, rawClient, rawDial } from "../test-support/raw-memory.ts";
import { COMPRESSED, frame, rawFrame } from "../testing/raw-frames.ts";
import { FrameType } from "../wire/constants.ts";

async function bench(options: Record<string, unknown> = {}) {
  const runtime = fakeRuntime();
  const rejections: Rejection[] = [];
  const { server, port, errors } = await testServer(runtime, options, (fresh) =>
    fresh.onClientRejected((rejection) => rejections.push(rejection)),
  );
  return { runtime, server, port, errors, rejections };
}

/** Attempts a login with this password and waits for its final frame. */
async function tryLogin(runtime: FakeRuntime, port: number, password: string): Promise<MemoryPeer> {
  const peer = await rawDial(runtime, port);
  await peer.answerChallenge(peer.requestLogin({ password }));
  await runtime.settle();
  return peer;
}

describe("before login", () => {
  test("another protocol's first bytes end the connection at once, and are told as BAD_MAGIC", async () => {
    const { runtime, server, port, errors, rejections } = await bench();
    const peer = await rawDial(runtime, port);
    peer.write(new TextEncoder().encode("GET / HTTP/1.1\r\n\r\n"));
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
  ])("bytes that begin like %s are named as that, to both hooks", async (_protocol, bytes, words) => {
    const { runtime, port, errors, rejections } = await bench();
    (await rawDial(runtime, port)).write(bytes);
    await runtime.settle();
    const message = expect.stringContaining(words);
    expect(errors).toMatchObject([{ code: ErrorCode.BAD_MAGIC, message }]);
    expect(rejections).toMatchObject([{ code: ErrorCode.BAD_MAGIC, message }]);
  });

  test("a frame over 16 KiB is refused on its header", async () => {
    const { runtime, port, errors } = await bench();
    const peer = await rawDial(runtime, port);
    peer.write(rawFrame(FrameType.AUTH_REQUEST, new Uint8Array(0), { length: MAX_HANDSHAKE_BYTES + 1 }));
    await runtime.settle();
    expect(errors).toMatchObject([{ code: ErrorCode.MESSAGE_TOO_LARGE }]);
  });

  test.each([
    ["nil", Uint8Array.of(0xc0)],
    ["an array", Uint8Array.of(0x90)],
    ["not MessagePack", Uint8Array.of(0xc1)],
    ["empty", new Uint8Array()],
  ])("an AUTH_REQUEST whose payload is %s is answered with INVALID_PAYLOAD_SHAPE", async (_what, payload) => {
    const { runtime, port } = await bench();
    const peer = await rawDial(runtime, port);
    peer.write(rawFrame(FrameType.AUTH_REQUEST, payload));
    const failure = await peer.next(FrameType.AUTH_FAILURE);
    expect(failure.payload).toMatchObject({ code: ErrorCode.INVALID_PAYLOAD_SHAPE });
    expect(peer.ended).toBeNull();
  });

  test("a compressed frame that inflates beyond 16 KiB is refused", async () => {
    const { runtime, port, rejections } = await bench();
    const peer = await rawDial(runtime, port);
    peer.write(rawFrame(FrameType.AUTH_REQUEST, runtime.deflate(new Uint8Array(1_000_000)), { flags: COMPRESSED }));
    await runtime.settle();
    expect(rejections).toMatchObject([{ code: ErrorCode.INVALID_PAYLOAD_SHAPE }]);
  });

  test("more than 32 KiB, pipelined while the login is worked on, end the connection", async () => {
    const held = gate();
    const scram = async (): Promise<null> => {
      await held.promise;
      return null;
    };
    const { runtime, port, errors, server } = await bench({ authenticate: { scram } });
    const peer = await rawDial(runtime, port);
    const request = frame(FrameType.AUTH_REQUEST, { scram: "n,,n=ada,r=abcdefghijklmnop" });
    const filler = rawFrame(FrameType.MESSAGE, new Uint8Array(MAX_HANDSHAKE_BYTES));
    peer.write(request, filler, filler, filler);
    await runtime.settle();
    expect(errors).toMatchObject([{ code: ErrorCode.MESSAGE_TOO_LARGE, stage: "login" }]);
    expect(server.connectionCount).toBe(0);
    held.open();
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
    ["no map", rawFrame(FrameType.AUTH_REQUEST, Uint8Array.of(0x93, 1, 2, 3))],
    ["no MessagePack", rawFrame(FrameType.AUTH_REQUEST, Uint8Array.of(0xc1))],
    ["cut short", rawFrame(FrameType.AUTH_REQUEST, Uint8Array.of(0x81, 0xa1))],
    ["empty", frame(FrameType.AUTH_REQUEST)],
  ])("an AUTH_REQUEST that is %s is refused and throws nowhere", async (_what, bytes) => {
    const { runtime, server, port, rejections } = await bench();
    const peer = await rawDial(runtime, port);
    peer.write(bytes);
    await runtime.settle();
    expect([peer.ended === undefined, rejections.length, server.connectionCount]).toEqual([false, 1, 0]);
  });

  test("a login that arrives byte by byte succeeds", async () => {
    const runtime = fakeRuntime({ maxChunkBytes: 1 });
    const { server, port } = await testServer(runtime);
    await rawClient(runtime, port);
    expect(server.connectionCount).toBe(1);
  });

  test("a peer that leaves before its login is answered leaves nothing behind", async () => {
    const { runtime, server, port } = await bench({ maxPendingLogins: 1 });
    const gone = await rawDial(runtime, port);
    gone.requestLogin({ password: PASSWORD });
    gone.reset();
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
    peer.pause();
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
    expect(rejections).toMatchObject([
      { code: ErrorCode.SERVER_FULL, message: expect.stringContaining("2 logins are under way") },
    ]);
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
    const peer = await tryLogin(runtime, port, "wrong");
    expect((await peer.next(FrameType.AUTH_FAILURE)).payload).toEqual({
      reason: "Invalid password",
      code: ErrorCode.AUTH_FAILED,
    });
    expect(server.stats).toMatchObject({ authFailures: 1, rejected: 1, loggedIn: 0 });
  });

  test("from one address use up its budget, and the right one gets in when there is some again", async () => {
    const { runtime, server, port } = await bench();
    for (let count = 0; count < 20; count += 1) await tryLogin(runtime, port, "wrong");
    const refused = await tryLogin(runtime, port, PASSWORD);
    expect((await refused.next(FrameType.AUTH_FAILURE)).payload).toMatchObject({ code: ErrorCode.RATE_LIMITED });
    await runtime.advance(200);
    await rawClient(runtime, port);
    expect(server.stats).toMatchObject({ authFailures: 20, loggedIn: 1 });
  });
});

describe("a full server", () => {
  test("tells the client SERVER_FULL, closes, and the hook sees it", async () => {
    const { runtime, server, port, rejections } = await bench({ maxConnections: 1 });
    await rawClient(runtime, port);
    const second = await rawDial(runtime, port);
    second.requestLogin({ password: PASSWORD });
    expect((await second.next(FrameType.AUTH_FAILURE)).payload).toMatchObject({ code: ErrorCode.SERVER_FULL });
    expect([second.ended, rejections[0]?.code, server.connectionCount]).toEqual([null, ErrorCode.SERVER_FULL, 1]);
  });

  test("has room again as soon as a client is gone", async () => {
    const { runtime, server, port } = await bench({ maxConnections: 1 });
    const first = await rawClient(runtime, port);
    first.reset();
    await runtime.settle();
    await rawClient(runtime, port);
    expect(server.stats.loggedIn).toBe(2);
  });

  test("lets no more in than it has room for when two log in side by side", async () => {
    const { runtime, server, port } = await bench({ maxConnections: 1 });
    const peers = [await rawDial(runtime, port), await rawDial(runtime, port)];
    const logins = peers.map((peer) => ({ peer, scram: peer.requestLogin({ password: PASSWORD }) }));
    for (const { peer, scram } of logins) await peer.answerChallenge(scram);
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
    peer.reset();
    await runtime.settle();
    expect(server.connectionCount).toBe(0);
    await server.stop();
    // Its timer hasn't fired.
    expect([runtime.now(), leftovers()]).toEqual([0, []]);
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

  test("accepts messages behind AUTH_SUCCESS in the same chunk", async () => {
    const runtime = fakeRuntime();
    const raw = await RawServer.start(runtime);
    const { client } = testClient(runtime);
    const connecting = outcome(client.connect());
    const { peer, success } = await raw.answer();
    const message = frame(FrameType.MESSAGE, { type: "welcome", data: "x".repeat(60_000) });
    const got: unknown[] = [];
    client.on("welcome", () => got.push(1));
    peer.write(success, message, message, message);
    await runtime.settle();
    expect([connecting.state, got.length]).toEqual(["resolved", 3]);
  });

  test("ends a login in which the server sends more than a login needs", async () => {
    const runtime = fakeRuntime();
    const raw = await RawServer.start(runtime);
    const { client } = testClient(runtime, { reconnect: { enabled: false } });
    const connecting = outcome(client.connect());
    const peer = await raw.accept();
    peer.write(rawFrame(FrameType.AUTH_CHALLENGE, new Uint8Array(MAX_HANDSHAKE_BYTES + 1)));
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
  test("gets another nonce each time, also for the same one of the client", async () => {
    const { runtime, port } = await bench();
    const challenges: unknown[] = [];
    for (let count = 0; count < 3; count += 1) {
      const peer = await rawDial(runtime, port);
      peer.send(FrameType.AUTH_REQUEST, { scram: "n,,n=u,r=the-same-nonce-as-before", extensions: {} });
      challenges.push((await peer.next(FrameType.AUTH_CHALLENGE)).payload?.["data"]);
    }
    expect(new Set(challenges).size).toBe(3);
  });

  test("runs PBKDF2 once for all clients of one server and password", async () => {
    const runtime = fakeRuntime();
    await testServer(runtime);
    let runs = 0;
    const { pbkdf2Sha256 } = runtime.crypto;
    Object.assign(runtime.crypto, {
      pbkdf2Sha256: (...inputs: Parameters<typeof pbkdf2Sha256>) => {
        runs += 1;
        return pbkdf2Sha256(...inputs);
      },
    });
    const clients = [1, 2, 3].map(() => testClient(runtime).client);
    await Promise.all(clients.map((client) => client.connect()));
    await clients[0]?.disconnect();
    await clients[0]?.connect();
    expect([runs, clients.every((client) => client.isConnected)]).toEqual([1, true]);
  });

  test("works when the server was stopped and another one took its place", async () => {
    const runtime = fakeRuntime();
    const { server } = await testServer(runtime);
    const { client } = testClient(runtime, { reconnect: { enabled: false } });
    await client.connect();
    await server.stop();
    const { server: other } = await testServer(runtime);
    await client.connect();
    expect(other.stats).toMatchObject({ loggedIn: 1, rejected: 0 });
  });
});

describe("a session", () => {
  test("has a token of 64 hex digits and an id that is a UUID, other ones for each login", async () => {
    const { runtime, server, port } = await bench();
    for (let count = 0; count < 2; count += 1) await rawClient(runtime, port);
    const { connections } = server;
    for (const { id, session } of connections) {
      expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
      expect(session.token).toMatch(/^[0-9a-f]{64}$/);
    }
    expect(new Set(connections.flatMap(({ id, session }) => [id, session.token])).size).toBe(4);
  });
});
