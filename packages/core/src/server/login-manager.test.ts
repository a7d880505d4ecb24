import { describe, expect, test } from "vitest";
import { ClientHandshake } from "../auth/client-handshake.ts";
import type { Address, ByteStream } from "../bytes/byte-stream.ts";
import type { CloseReason } from "../connection/close-reason.ts";
import { ConnectionStateMachine } from "../connection/connection-state.ts";
import { type ConnectionDelegate, ProtocolConnection } from "../connection/protocol-connection.ts";
import { EndpointCore } from "../endpoint/endpoint-core.ts";
import { ErrorCode } from "../errors.ts";
import { builtInExtensions } from "../extensions/index.ts";
import { passwordHash } from "../netconduit/password-hash.ts";
import { fakeRuntime } from "../test-support/fake-runtime.ts";
import { gate } from "../test-support/gate.ts";
import { countPbkdf2 } from "../test-support/pbkdf2-runs.ts";
import { FEW_ITERATIONS } from "../test-support/peers.ts";
import { type MemoryPeer, memoryPeer, PASSWORD } from "../test-support/raw-memory.ts";
import { FrameType } from "../wire/constants.ts";
import { type AcceptedStep, LoginManager, type Rejection } from "./login-manager.ts";
import { parseServerOptions, type ServerOptions } from "./server-options.ts";

interface Visitor {
  readonly peer: MemoryPeer;
  readonly link: ProtocolConnection<unknown>;
}

const SOMEWHERE = "192.0.2.7";
const ELSEWHERE = "198.51.100.7";
const LOOPBACK = "127.0.0.1";

/** An admission, a stand-in for its server, and peers that come to it. */
class Door {
  readonly runtime = fakeRuntime();
  readonly rejections: Rejection[] = [];
  readonly admitted: {
    readonly link: ProtocolConnection<unknown>;
    readonly step: AcceptedStep;
    readonly acceptedAt: number;
  }[] = [];
  readonly timedOut: ProtocolConnection<unknown>[] = [];
  readonly closed: CloseReason[] = [];
  /** What the server answers who asks whether one more gets in. */
  refusal: { readonly code: number; readonly message: string } | null = null;
  /** Once so many have been admitted, the server is full. */
  room = Number.POSITIVE_INFINITY;
  readonly admission: LoginManager<unknown>;
  readonly #delegate: ConnectionDelegate<unknown>;

  private constructor(options: Partial<ServerOptions>) {
    const { runtime } = this;
    const config = parseServerOptions({
      password: PASSWORD,
      scramIterations: FEW_ITERATIONS,
      allowPasswordHash: true,
      ...options,
    });
    const core = new EndpointCore<unknown>(runtime, config, {}, builtInExtensions);
    this.admission = new LoginManager<unknown>({
      runtime,
      runtimeContext: core.runtimeContext,
      config,
      refusal: () => (this.room > 0 ? this.refusal : { code: ErrorCode.SERVER_FULL, message: "full" }),
      admit: (link, step, acceptedAt) => {
        this.room -= 1;
        this.admission.leave(link);
        this.admitted.push({ link, step, acceptedAt });
      },
      rejected: (rejection) => this.rejections.push(rejection),
    });
    this.#delegate = core.delegate({
      role: "server",
      handshakeFrame: (link, type, payload) => this.admission.handshakeFrame(link, type, payload),
      phaseTimedOut: (link) => this.timedOut.push(link),
      frameRefused: () => undefined,
      connectionClosing: () => undefined,
      connectionClosed: (link, reason) => {
        this.admission.leave(link);
        this.closed.push(reason);
      },
    });
  }

  static async open(options: Partial<ServerOptions> = {}): Promise<Door> {
    const door = new Door(options);
    await door.admission.prepare();
    return door;
  }

  /** Both ends of a stream, accepted from this host. */
  stream(host = SOMEWHERE): { peer: MemoryPeer; stream: ByteStream } {
    const [theirs, ours] = this.runtime.pair();
    const remote: Address = { kind: "tcp", host, port: 50_000, family: "IPv4" };
    return {
      peer: memoryPeer(this.runtime, theirs),
      stream: Object.defineProperty(ours, "remote", { value: remote }),
    };
  }

  /** A peer whose login begins. */
  visit(host?: string): Visitor {
    const { peer, stream } = this.stream(host);
    const machine = new ConnectionStateMachine({ wallClock: () => 0, listenerFailed: () => undefined });
    machine.transition("accepted", { message: "Accepted" });
    const link = new ProtocolConnection<unknown>(this.#delegate, stream, machine);
    this.admission.begin(link);
    return { peer, link };
  }

  /** A peer whose AUTH_REQUEST is on its way. Its password decides at once. */
  async ask(host?: string, password = PASSWORD): Promise<Visitor> {
    const visitor = this.visit(host);
    visitor.peer.send(FrameType.AUTH_REQUEST, { password_hash: await passwordHash(password, this.runtime.crypto) });
    return visitor;
  }

  /** So many wrong passwords from one address, one after the other. */
  async fail(times: number, host?: string): Promise<void> {
    for (let count = 0; count < times; count += 1) {
      await this.ask(host, "wrong");
      await this.runtime.settle();
    }
  }

  /** A client's side of SCRAM. */
  handshake(password = PASSWORD): ClientHandshake {
    const { crypto } = this.runtime;
    const info = { name: "raw", version: "1", description: "" };
    return new ClientHandshake({ password, info, offer: {}, allowPasswordHash: false, crypto });
  }

  /** Sends the first frame of SCRAM and takes the challenge. @returns what sends the answer. */
  async challenged({ peer }: Visitor, handshake = this.handshake()): Promise<() => void> {
    peer.send(FrameType.AUTH_REQUEST, await handshake.start());
    const challenge = await peer.next(FrameType.AUTH_CHALLENGE);
    const step = await handshake.receive(challenge.type, challenge.payload);
    if (step.kind !== "send") throw new Error(`The challenge was not answered: ${step.kind}`);
    return () => peer.send(step.type, step.payload);
  }

  /** Holds back what needs HMACs, until it is opened. */
  holdCrypto(): { open(): void } {
    const held = gate();
    const { crypto } = this.runtime;
    const { hmacSha256 } = crypto;
    Object.assign(crypto, {
      hmacSha256: async (key: Uint8Array, given: Uint8Array) => {
        const data = given.slice();
        await held.promise;
        return hmacSha256(key, data);
      },
    });
    return {
      open: () => {
        Object.assign(crypto, { hmacSha256 });
        held.open();
      },
    };
  }

  /** Codes of the rejections so far. */
  get codes(): number[] {
    return this.rejections.map(({ code }) => code);
  }
}

describe("a login", () => {
  test("that succeeds goes to the server, with the time at which the stream was accepted", async () => {
    const door = await Door.open();
    await door.runtime.advance(1000);
    const visitor = door.visit();
    await door.runtime.advance(50);
    const answer = await door.challenged(visitor);
    await door.runtime.advance(50);
    answer();
    await door.runtime.settle();
    expect(door.admitted).toMatchObject([{ step: { kind: "accepted", method: "scram" }, acceptedAt: 1000 }]);
    expect(door.admitted[0]?.link).toBe(visitor.link);
    expect(door.rejections).toEqual([]);
  });

  test.each([
    ["a wrong password", { password_hash: "x" }, ErrorCode.AUTH_FAILED],
    ["no password", {}, ErrorCode.AUTH_REQUIRED],
    ["a malformed request", { scram: 5 }, ErrorCode.INVALID_PAYLOAD_SHAPE],
    ["a malformed SCRAM message", { scram: "hello" }, ErrorCode.INVALID_PAYLOAD_SHAPE],
  ])("with %s is refused: the peer is told, the server hears of it, the connection ends", async (_, request, code) => {
    const door = await Door.open();
    const { peer } = door.visit();
    peer.send(FrameType.AUTH_REQUEST, request);
    expect((await peer.next(FrameType.AUTH_FAILURE)).payload).toMatchObject({ code });
    expect(door.rejections).toMatchObject([{ code, remoteAddress: `${SOMEWHERE}:50000` }]);
    expect([peer.ended, door.closed]).toMatchObject([null, [{ code, reconnect: true, byPeer: false }]]);
    expect([door.admission.links, door.admitted]).toEqual([[], []]);
  });

  test("by password hash is refused with PASSWORD_HASH_REFUSED where that is not allowed", async () => {
    const door = await Door.open({ allowPasswordHash: false });
    const { peer } = await door.ask();
    expect((await peer.next(FrameType.AUTH_FAILURE)).payload).toMatchObject({ code: ErrorCode.PASSWORD_HASH_REFUSED });
    expect(door.codes).toEqual([ErrorCode.PASSWORD_HASH_REFUSED]);
  });

  test("that begins with another frame is refused with UNEXPECTED_FRAME", async () => {
    const door = await Door.open();
    const { peer } = door.visit();
    peer.message("hello");
    expect((await peer.next(FrameType.AUTH_FAILURE)).payload).toMatchObject({ code: ErrorCode.UNEXPECTED_FRAME });
  });

  test("with a wrong answer is told no more than that; what was wrong is for the server", async () => {
    const door = await Door.open();
    const { peer } = door.visit();
    peer.send(FrameType.AUTH_REQUEST, await door.handshake().start());
    await peer.next(FrameType.AUTH_CHALLENGE);
    peer.send(FrameType.AUTH_RESPONSE, { data: "hello" });
    expect((await peer.next(FrameType.AUTH_FAILURE)).payload).toEqual({
      reason: "Invalid password",
      code: ErrorCode.AUTH_FAILED,
    });
    expect(door.rejections[0]?.message).toContain("client-final-message");
  });

  test("is counted as a failure only for a wrong password, and as a rejection for anything", async () => {
    const door = await Door.open();
    door.visit().peer.send(FrameType.AUTH_REQUEST, {});
    await door.fail(2);
    const { admission } = door;
    expect([admission.authFailures, admission.rejections]).toEqual([2, 3]);
  });
});

test("a frame of a link that logs in no more is passed over", async () => {
  const door = await Door.open();
  const { peer, link } = door.visit();
  door.admission.leave(link);
  await door.admission.handshakeFrame(link, FrameType.AUTH_REQUEST, {});
  expect([await peer.receivedTypes(), door.codes]).toEqual([[], []]);
});

describe("the time of a login", () => {
  test("runs from its beginning, and passes after authTimeoutMs", async () => {
    const door = await Door.open({ authTimeoutMs: 1000 });
    await door.runtime.advance(800);
    const { link } = door.visit();
    await door.runtime.advance(990);
    expect(door.timedOut).toEqual([]);
    await door.runtime.advance(30);
    expect(door.timedOut).toEqual([link]);
  });

  test("goes on while a challenge is out", async () => {
    const door = await Door.open({ authTimeoutMs: 1000 });
    const visitor = door.visit();
    await door.runtime.advance(900);
    await door.challenged(visitor);
    await door.runtime.advance(130);
    expect(door.timedOut).toEqual([visitor.link]);
  });

  test("may pass while a step is judged: what comes of it lets nobody in, and is not told", async () => {
    const door = await Door.open();
    const visitor = door.visit();
    const answer = await door.challenged(visitor);
    const held = door.holdCrypto();
    answer();
    await door.runtime.settle();
    // Still open, to see what else is sent.
    visitor.peer.pause();
    door.admission.refuse(visitor.link, ErrorCode.AUTH_TIMEOUT, "too late");
    held.open();
    await door.runtime.settle();
    visitor.peer.resume();
    expect(await visitor.peer.receivedTypes()).toEqual(["AUTH_FAILURE"]);
    expect([door.admitted, door.codes]).toEqual([[], [ErrorCode.AUTH_TIMEOUT]]);
  });
});

describe("the number of logins at the same time", () => {
  test("is bounded by maxPendingLogins: one more costs the oldest its connection", async () => {
    const door = await Door.open({ maxPendingLogins: 2 });
    const [first, second, third] = [door.visit(), door.visit(ELSEWHERE), door.visit()];
    await door.runtime.settle();
    expect(door.admission.links).toEqual([second.link, third.link]);
    expect([first.peer.ended, second.peer.ended]).toMatchObject([{ code: ErrorCode.CONNECTION_RESET }, undefined]);
    expect(door.rejections).toEqual([
      {
        remoteAddress: `${SOMEWHERE}:50000`,
        code: ErrorCode.SERVER_FULL,
        codeName: "SERVER_FULL",
        message: "2 newer logins are under way",
      },
    ]);
  });

  test("does not count those that have logged in", async () => {
    const door = await Door.open({ maxPendingLogins: 2 });
    const oldest = door.visit();
    await door.ask();
    await door.runtime.settle();
    door.visit();
    await door.runtime.settle();
    expect([door.admitted.length, oldest.link.isOver, door.codes]).toEqual([1, false, []]);
  });

  test("does not count those that have left", async () => {
    const door = await Door.open({ maxPendingLogins: 2 });
    const oldest = door.visit();
    door.visit().peer.reset();
    await door.runtime.settle();
    door.visit();
    expect([oldest.link.isOver, door.codes]).toEqual([false, []]);
  });

  test("counts one that was refused until its connection is over, and does not report it a second time", async () => {
    const door = await Door.open({ maxPendingLogins: 1 });
    const { peer, link } = door.visit();
    // It does not read, so its connection stays.
    peer.pause();
    peer.send(FrameType.AUTH_REQUEST, {});
    await door.runtime.settle();
    expect([door.codes, link.isOver]).toEqual([[ErrorCode.AUTH_REQUIRED], false]);
    door.visit();
    expect([door.codes, link.isOver]).toEqual([[ErrorCode.AUTH_REQUIRED], true]);
  });
});

describe("a server that lets no more in", () => {
  const full = { code: ErrorCode.SERVER_FULL, message: "full" };

  test("says so to the first frame, whatever password that brings", async () => {
    const door = await Door.open();
    door.refusal = full;
    const { peer } = await door.ask(SOMEWHERE, "wrong");
    expect((await peer.next(FrameType.AUTH_FAILURE)).payload).toEqual({ reason: "full", code: full.code });
    expect([door.codes, door.admission.authFailures]).toEqual([[full.code], 0]);
  });

  test("says so at the end of a login that was under way", async () => {
    const door = await Door.open();
    const visitor = door.visit();
    const answer = await door.challenged(visitor);
    door.refusal = full;
    answer();
    expect((await visitor.peer.next(FrameType.AUTH_FAILURE)).payload).toMatchObject({ code: full.code });
    expect([door.admitted, door.codes]).toEqual([[], [full.code]]);
  });

  test("says that a wrong password is one, also at the end", async () => {
    const door = await Door.open();
    const visitor = door.visit();
    const answer = await door.challenged(visitor, door.handshake("wrong"));
    door.refusal = full;
    answer();
    expect((await visitor.peer.next(FrameType.AUTH_FAILURE)).payload).toMatchObject({ code: ErrorCode.AUTH_FAILED });
  });

  test("has let in no more than it has room for, when several log in in one turn", async () => {
    const door = await Door.open();
    door.room = 1;
    const visitors = [await door.ask(SOMEWHERE), await door.ask(ELSEWHERE), await door.ask(LOOPBACK)];
    await door.runtime.settle();
    expect(door.admitted.map(({ link }) => link)).toEqual([visitors[0]?.link]);
    expect(door.codes).toEqual([full.code, full.code]);
  });
});

describe("a server that stops", () => {
  test("finds the logins that are under way, oldest first, and can refuse them all", async () => {
    const door = await Door.open();
    const visitors = [door.visit(), door.visit(), door.visit()];
    await door.challenged(visitors[1] as Visitor);
    expect(door.admission.links).toEqual(visitors.map(({ link }) => link));
    for (const link of door.admission.links) door.admission.refuse(link, ErrorCode.SERVER_STOPPING, "stopping");
    for (const { peer } of visitors) {
      const { payload } = await peer.next(FrameType.AUTH_FAILURE);
      expect(payload).toEqual({ reason: "stopping", code: ErrorCode.SERVER_STOPPING });
    }
    expect(door.codes).toEqual(Array(3).fill(ErrorCode.SERVER_STOPPING));
    expect(door.admission.links).toEqual([]);
  });

  test("refuses each once", async () => {
    const door = await Door.open();
    const { peer, link } = door.visit();
    for (let count = 0; count < 2; count += 1) door.admission.refuse(link, ErrorCode.SERVER_STOPPING, "stopping");
    expect(await peer.receivedTypes()).toEqual(["AUTH_FAILURE"]);
    door.admission.refuse(link, ErrorCode.SERVER_STOPPING, "stopping");
    expect(door.rejections.length).toBe(1);
  });

  test("turns a stream away that comes after all, and reports it", async () => {
    const door = await Door.open();
    const { peer, stream } = door.stream();
    door.admission.turnAway(stream);
    await door.runtime.settle();
    expect(peer.ended).toMatchObject({ code: ErrorCode.CONNECTION_RESET });
    expect(door.rejections).toMatchObject([
      { code: ErrorCode.SERVER_STOPPING, remoteAddress: `${SOMEWHERE}:50000`, message: "The server is stopping" },
    ]);
    expect(door.admission.rejections).toBe(1);
  });
});

describe("failed logins of one address", () => {
  test("are free three times; after the fourth the next waits 250 ms", async () => {
    const door = await Door.open();
    await door.fail(4);
    expect(door.admission.authFailures).toBe(4);
    await door.ask();
    await door.runtime.advance(240);
    expect(door.admitted.length).toBe(0);
    await door.runtime.advance(30);
    expect(door.admitted.length).toBe(1);
  });

  test("make the answer to a challenge wait, too", async () => {
    const door = await Door.open();
    const visitor = door.visit();
    const answer = await door.challenged(visitor);
    await door.fail(4);
    answer();
    await door.runtime.settle();
    expect(door.admitted.length).toBe(0);
    await door.runtime.advance(270);
    expect(door.admitted.length).toBe(1);
  });

  test("cost no other address anything", async () => {
    const door = await Door.open();
    await door.fail(4);
    await door.ask(ELSEWHERE);
    await door.runtime.settle();
    expect(door.admitted.length).toBe(1);
  });

  test("are forgotten with a login that succeeds", async () => {
    const door = await Door.open();
    for (let count = 0; count < 2; count += 1) {
      await door.fail(3);
      await door.ask();
      await door.runtime.settle();
    }
    expect([door.admitted.length, door.runtime.now()]).toEqual([2, 0]);
  });

  test("are not those that failed for another reason than the password", async () => {
    const door = await Door.open();
    for (let count = 0; count < 5; count += 1) {
      door.visit().peer.send(FrameType.AUTH_REQUEST, {});
      await door.runtime.settle();
    }
    await door.ask();
    await door.runtime.settle();
    expect(door.admitted.length).toBe(1);
  });

  test("at the same time are judged one after the other: many guess no faster than one", async () => {
    const door = await Door.open();
    for (let count = 0; count < 7; count += 1) await door.ask(SOMEWHERE, "wrong");
    await door.runtime.settle();
    const failures = [door.admission.authFailures];
    for (const waitMs of [270, 520]) {
      await door.runtime.advance(waitMs);
      failures.push(door.admission.authFailures);
    }
    expect(failures).toEqual([4, 5, 6]);
  });

  test("hold back nobody elsewhere while one of them is judged", async () => {
    const door = await Door.open();
    const visitor = door.visit();
    const answer = await door.challenged(visitor);
    const held = door.holdCrypto();
    answer();
    await door.ask();
    await door.ask(ELSEWHERE);
    await door.runtime.settle();
    const early = door.admitted.map(({ link }) => link.stream.remote);
    held.open();
    await door.runtime.settle();
    expect([early, door.admitted.length]).toMatchObject([[{ host: ELSEWHERE }], 3]);
  });

  test.each([
    ["waits when that is at most half of authTimeoutMs", 550, []],
    ["is refused with RATE_LIMITED at once when it would take longer", 450, [ErrorCode.RATE_LIMITED]],
  ])("make a login wait: it %s", async (_, authTimeoutMs, codes) => {
    const door = await Door.open({ authTimeoutMs });
    await door.fail(4);
    const { peer } = await door.ask();
    const told = (await peer.received()).map(({ payload }) => payload?.["code"]);
    expect([told, door.codes.slice(4)]).toEqual([codes, codes]);
  });

  test("are not those of a peer that was gone before its turn came", async () => {
    const door = await Door.open();
    await door.fail(4);
    const { peer } = await door.ask(SOMEWHERE, "wrong");
    await door.runtime.settle();
    peer.reset();
    await door.runtime.advance(270);
    expect([door.admission.authFailures, door.admission.links]).toEqual([4, []]);
  });
});

describe("a login that was recorded", () => {
  /** Logs in. @returns what the client sent. */
  async function recorded(door: Door): Promise<{ request: Record<string, unknown>; response: { data: string } }> {
    const { peer } = door.visit();
    const handshake = door.handshake();
    const request = await handshake.start();
    peer.send(FrameType.AUTH_REQUEST, request);
    const challenge = await peer.next(FrameType.AUTH_CHALLENGE);
    const step = await handshake.receive(challenge.type, challenge.payload);
    if (step.kind !== "send") throw new Error(`The challenge was not answered: ${step.kind}`);
    peer.send(step.type, step.payload);
    await door.runtime.settle();
    expect(door.admitted.length).toBe(1);
    return { request, response: step.payload };
  }

  test.each([
    ["another address", ELSEWHERE],
    ["the same address", SOMEWHERE],
    ["the same machine", LOOPBACK],
  ])("is of no use from %s: its answer is refused as a wrong password, and is counted as one", async (_, host) => {
    const door = await Door.open();
    const { request, response } = await recorded(door);
    const { peer } = door.visit(host);
    peer.send(FrameType.AUTH_REQUEST, request);
    await peer.next(FrameType.AUTH_CHALLENGE);
    peer.send(FrameType.AUTH_RESPONSE, response);
    expect((await peer.next(FrameType.AUTH_FAILURE)).payload).toEqual({
      reason: "Invalid password",
      code: ErrorCode.AUTH_FAILED,
    });
    expect([door.admitted.length, door.admission.authFailures]).toEqual([1, 1]);
  });

  test("is of no use after the server was started again, whose keys are the same", async () => {
    const door = await Door.open();
    const { request, response } = await recorded(door);
    const count = countPbkdf2(door.runtime.crypto);
    await door.admission.prepare();
    expect(count.runs).toBe(0);
    const { peer } = door.visit();
    peer.send(FrameType.AUTH_REQUEST, request);
    await peer.next(FrameType.AUTH_CHALLENGE);
    peer.send(FrameType.AUTH_RESPONSE, response);
    expect((await peer.next(FrameType.AUTH_FAILURE)).payload).toMatchObject({ code: ErrorCode.AUTH_FAILED });
    expect(door.admitted.length).toBe(1);
  });
});
