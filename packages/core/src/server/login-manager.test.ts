import { describe, expect, test } from "vitest";
import { ClientHandshake } from "../auth/client-handshake.ts";
import type { Identity } from "../auth/user.ts";
import type { Address, ByteStream } from "../bytes/byte-stream.ts";
import type { CloseReason } from "../connection/close-reason.ts";
import type { ConnectionDelegate } from "../connection/connection-endpoint.ts";
import { ConnectionStateMachine } from "../connection/connection-state.ts";
import { ProtocolConnection } from "../connection/protocol-connection.ts";
import { EndpointCore } from "../endpoint/endpoint-core.ts";
import { ConduitError, ErrorCode } from "../errors.ts";
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

interface Attempt {
  readonly peer: MemoryPeer;
  readonly connection: ProtocolConnection<unknown>;
}

const SOMEWHERE = "192.0.2.7";
const ELSEWHERE = "198.51.100.7";
const LOOPBACK = "127.0.0.1";

function throwing(): never {
  throw new Error("out of memory");
}

/** A login manager with a stub server, and peers that log in. */
class LoginBench {
  readonly runtime = fakeRuntime();
  readonly rejections: Rejection[] = [];
  readonly admitted: {
    readonly connection: ProtocolConnection<unknown>;
    readonly step: AcceptedStep;
    readonly acceptedAt: number;
  }[] = [];
  readonly timedOut: ProtocolConnection<unknown>[] = [];
  readonly closed: CloseReason[] = [];
  /** The reason for which the server rejects new clients; null if it accepts them. */
  refusal: { readonly code: number; readonly message: string } | null = null;
  /** Looks up the session that each login requests; null if none is requested. */
  recall: ((timeoutMs: number) => Promise<null>) | null = null;
  /** Number of further clients that the server accepts. */
  room = Number.POSITIVE_INFINITY;
  readonly logins: LoginManager<unknown>;
  readonly #core: EndpointCore<unknown>;
  readonly #delegate: ConnectionDelegate<ProtocolConnection<unknown>>;

  private constructor(options: Partial<ServerOptions>) {
    const { runtime } = this;
    const config = parseServerOptions({
      password: PASSWORD,
      scramIterations: FEW_ITERATIONS,
      allowPasswordHash: true,
      ...options,
    });
    const core = new EndpointCore<unknown>(runtime, config, {}, builtInExtensions);
    this.logins = new LoginManager<unknown>({
      runtime,
      runtimeContext: core.runtimeContext,
      config,
      refusal: () => (this.room > 0 ? this.refusal : { code: ErrorCode.SERVER_FULL, message: "full" }),
      admit: (connection, step, acceptedAt) => {
        this.room -= 1;
        this.logins.leave(connection);
        this.admitted.push({ connection, step, acceptedAt });
      },
      mustRecall: () => this.recall !== null,
      recall: async (_step, timeoutMs) => (await this.recall?.(timeoutMs)) ?? null,
      rejected: (rejection) => this.rejections.push(rejection),
      lookupFailed: () => undefined,
    });
    this.#core = core;
    this.#delegate = {
      role: "server",
      phaseTimedOut: (connection) => this.timedOut.push(connection),
      frameRefused: () => undefined,
      connectionSuspended: () => undefined,
      connectionReady: () => undefined,
      connectionDraining: () => undefined,
      connectionClosing: () => undefined,
      connectionClosed: (connection, reason) => {
        this.logins.leave(connection);
        this.closed.push(reason);
      },
      buffers: null,
    };
  }

  /** Creates a login manager that hasn't been started. */
  static closed(options: Partial<ServerOptions> = {}): LoginBench {
    return new LoginBench(options);
  }

  static async open(options: Partial<ServerOptions> = {}): Promise<LoginBench> {
    const bench = LoginBench.closed(options);
    await bench.logins.prepare();
    return bench;
  }

  /** Creates both ends of a stream, accepted from this host. */
  stream(host = SOMEWHERE): { peer: MemoryPeer; stream: ByteStream } {
    const [theirs, ours] = this.runtime.pair();
    const remote: Address = { kind: "tcp", host, port: 50_000, family: "IPv4" };
    return {
      peer: memoryPeer(this.runtime, theirs),
      stream: Object.defineProperty(ours, "remote", { value: remote }),
    };
  }

  /** Starts a peer's login. */
  begin(host?: string): Attempt {
    const { peer, stream } = this.stream(host);
    const machine = new ConnectionStateMachine({ wallClock: () => 0, listenerFailed: () => undefined });
    machine.transition("accepted", { message: "Accepted" });
    const connection = new ProtocolConnection(this.#core, this.#delegate, stream, machine);
    this.logins.begin(connection);
    return { peer, connection };
  }

  /** Starts a login and sends AUTH_REQUEST, whose password is verified immediately. */
  async ask(host?: string, password = PASSWORD): Promise<Attempt> {
    const attempt = this.begin(host);
    attempt.peer.send(FrameType.AUTH_REQUEST, { password_hash: passwordHash(password, this.runtime.crypto) });
    return attempt;
  }

  /** Tries wrong passwords from one address sequentially. */
  async fail(times: number, host?: string): Promise<void> {
    for (let count = 0; count < times; count += 1) {
      await this.ask(host, "wrong");
      await this.runtime.settle();
    }
  }

  /** Creates a client's side of SCRAM. */
  handshake(password = PASSWORD, username?: string): ClientHandshake {
    const { crypto } = this.runtime;
    const info = { name: "raw", version: "1", description: "" };
    return new ClientHandshake({
      credentials: { password, username },
      info,
      offer: {},
      allowPasswordHash: false,
      crypto,
    });
  }

  /** Sends SCRAM's first frame and receives the challenge. @returns a function that sends the answer */
  async challenged({ peer }: Attempt, handshake = this.handshake()): Promise<() => void> {
    peer.send(FrameType.AUTH_REQUEST, handshake.start());
    const challenge = await peer.next(FrameType.AUTH_CHALLENGE);
    const step = await handshake.receive(challenge.type, challenge.payload);
    if (step.kind !== "send") throw new Error(`The challenge was not answered: ${step.kind}`);
    return () => peer.send(step.type, step.payload);
  }

  /** Codes of the rejections so far. */
  get codes(): number[] {
    return this.rejections.map(({ code }) => code);
  }
}

describe("a login", () => {
  test("that succeeds goes to the server, with the time at which the stream was accepted", async () => {
    const bench = await LoginBench.open();
    await bench.runtime.advance(1000);
    const attempt = bench.begin();
    await bench.runtime.advance(50);
    const answer = await bench.challenged(attempt);
    await bench.runtime.advance(50);
    answer();
    await bench.runtime.settle();
    expect(bench.admitted).toMatchObject([
      { step: { kind: "accepted", user: { name: "", method: "scram" } }, acceptedAt: 1000 },
    ]);
    expect(bench.admitted[0]?.connection).toBe(attempt.connection);
    expect(bench.rejections).toEqual([]);
  });

  test.each([
    ["a wrong password", { password_hash: "x" }, ErrorCode.AUTH_FAILED],
    ["no password", {}, ErrorCode.AUTH_REQUIRED],
    ["a malformed request", { scram: 5 }, ErrorCode.INVALID_PAYLOAD_SHAPE],
    ["a malformed SCRAM message", { scram: "hello" }, ErrorCode.INVALID_PAYLOAD_SHAPE],
  ])("with %s is refused: the peer is told, the server hears of it, the connection ends", async (_, request, code) => {
    const bench = await LoginBench.open();
    const { peer } = bench.begin();
    peer.send(FrameType.AUTH_REQUEST, request);
    expect((await peer.next(FrameType.AUTH_FAILURE)).payload).toMatchObject({ code });
    expect(bench.rejections).toMatchObject([{ code, remoteAddress: `${SOMEWHERE}:50000` }]);
    expect([peer.ended, bench.closed]).toMatchObject([null, [{ code, reconnect: true, byPeer: false }]]);
    expect([bench.logins.pending, bench.admitted]).toEqual([[], []]);
  });

  test("by password hash is refused with PASSWORD_HASH_REFUSED where that is not allowed", async () => {
    const bench = await LoginBench.open({ allowPasswordHash: false });
    const { peer } = await bench.ask();
    expect((await peer.next(FrameType.AUTH_FAILURE)).payload).toMatchObject({ code: ErrorCode.PASSWORD_HASH_REFUSED });
    expect(bench.codes).toEqual([ErrorCode.PASSWORD_HASH_REFUSED]);
  });

  test("that begins with another frame is refused with UNEXPECTED_FRAME", async () => {
    const bench = await LoginBench.open();
    const { peer } = bench.begin();
    peer.message("hello");
    expect((await peer.next(FrameType.AUTH_FAILURE)).payload).toMatchObject({ code: ErrorCode.UNEXPECTED_FRAME });
  });

  test("with a wrong answer is told no more than that; the server hears the reason", async () => {
    const bench = await LoginBench.open();
    const { peer } = bench.begin();
    peer.send(FrameType.AUTH_REQUEST, await bench.handshake().start());
    await peer.next(FrameType.AUTH_CHALLENGE);
    peer.send(FrameType.AUTH_RESPONSE, { data: "hello" });
    expect((await peer.next(FrameType.AUTH_FAILURE)).payload).toEqual({
      reason: "Invalid password",
      code: ErrorCode.AUTH_FAILED,
    });
    expect(bench.rejections[0]?.message).toContain("client-final-message");
  });

  test("counts as a failure only for a wrong password, and as a rejection for any reason", async () => {
    const bench = await LoginBench.open();
    bench.begin().peer.send(FrameType.AUTH_REQUEST, {});
    await bench.fail(2);
    const { logins } = bench;
    expect([logins.authFailures, logins.rejections]).toEqual([2, 3]);
  });
});

test("a frame of a connection whose login is over is ignored", async () => {
  const bench = await LoginBench.open();
  const { peer, connection } = bench.begin();
  bench.logins.leave(connection);
  peer.send(FrameType.AUTH_REQUEST, {});
  await bench.runtime.settle();
  expect([await peer.receivedTypes(), bench.codes]).toEqual([[], []]);
});

describe("the time of a login", () => {
  test("runs from its beginning, and passes after authTimeoutMs", async () => {
    const bench = await LoginBench.open({ authTimeoutMs: 1000 });
    await bench.runtime.advance(800);
    const { connection } = bench.begin();
    await bench.runtime.advance(990);
    expect(bench.timedOut).toEqual([]);
    await bench.runtime.advance(30);
    expect(bench.timedOut).toEqual([connection]);
  });

  test("continues while a challenge is out", async () => {
    const bench = await LoginBench.open({ authTimeoutMs: 1000 });
    const attempt = bench.begin();
    await bench.runtime.advance(900);
    await bench.challenged(attempt);
    await bench.runtime.advance(130);
    expect(bench.timedOut).toEqual([attempt.connection]);
  });

  test("may pass while a token is checked: the result admits no client, and is not told", async () => {
    const held = gate();
    const token = async (): Promise<Identity> => {
      await held.promise;
      return { name: "ada", roles: [] };
    };
    const bench = await LoginBench.open({ authenticate: { token } });
    const attempt = bench.begin(LOOPBACK);
    attempt.peer.send(FrameType.AUTH_REQUEST, { methods: ["token"] });
    await attempt.peer.next(FrameType.AUTH_CHALLENGE);
    attempt.peer.send(FrameType.AUTH_RESPONSE, { token: "ada's" });
    await bench.runtime.settle();
    // Kept open, to observe what else is sent.
    attempt.peer.pause();
    bench.logins.refuse(attempt.connection, ErrorCode.AUTH_TIMEOUT, "too late");
    held.open();
    await bench.runtime.settle();
    attempt.peer.resume();
    expect(await attempt.peer.receivedTypes()).toEqual(["AUTH_FAILURE"]);
    expect([bench.admitted, bench.codes]).toEqual([[], [ErrorCode.AUTH_TIMEOUT]]);
  });
});

describe("the number of logins at the same time", () => {
  test("is bounded by maxPendingLogins: one more ends the oldest of the address that has most", async () => {
    const bench = await LoginBench.open({ maxPendingLogins: 3 });
    const [honest, first, second] = [bench.begin(ELSEWHERE), bench.begin(), bench.begin()];
    const third = bench.begin();
    await bench.runtime.settle();
    expect(bench.logins.pending).toEqual([honest, second, third].map(({ connection }) => connection));
    expect([first.peer.ended, honest.peer.ended]).toMatchObject([{ code: ErrorCode.CONNECTION_RESET }, undefined]);
    expect(bench.rejections).toEqual([
      {
        remoteAddress: `${SOMEWHERE}:50000`,
        code: ErrorCode.SERVER_FULL,
        codeName: "SERVER_FULL",
        message: "3 logins are under way, most of them from this address",
      },
    ]);
  });

  test("does not count those that have logged in", async () => {
    const bench = await LoginBench.open({ maxPendingLogins: 2 });
    const oldest = bench.begin();
    await bench.ask();
    await bench.runtime.settle();
    bench.begin();
    await bench.runtime.settle();
    expect([bench.admitted.length, oldest.connection.isOver, bench.codes]).toEqual([1, false, []]);
  });

  test("does not count those that have left", async () => {
    const bench = await LoginBench.open({ maxPendingLogins: 2 });
    const oldest = bench.begin();
    bench.begin().peer.reset();
    await bench.runtime.settle();
    bench.begin();
    expect([oldest.connection.isOver, bench.codes]).toEqual([false, []]);
  });

  test("counts one that was refused until its connection is over, and does not report it a second time", async () => {
    const bench = await LoginBench.open({ maxPendingLogins: 1 });
    const { peer, connection } = bench.begin();
    // It doesn't read, so its connection stays open.
    peer.pause();
    peer.send(FrameType.AUTH_REQUEST, {});
    await bench.runtime.settle();
    expect([bench.codes, connection.isOver]).toEqual([[ErrorCode.AUTH_REQUIRED], false]);
    bench.begin();
    expect([bench.codes, connection.isOver]).toEqual([[ErrorCode.AUTH_REQUIRED], true]);
  });
});

describe("a full server", () => {
  const full = { code: ErrorCode.SERVER_FULL, message: "full" };

  test("says so in answer to the first frame, whatever its password", async () => {
    const bench = await LoginBench.open();
    bench.refusal = full;
    const { peer } = await bench.ask(SOMEWHERE, "wrong");
    expect((await peer.next(FrameType.AUTH_FAILURE)).payload).toEqual({ reason: "full", code: full.code });
    expect([bench.codes, bench.logins.authFailures]).toEqual([[full.code], 0]);
  });

  test("says so at the end of a login that was under way", async () => {
    const bench = await LoginBench.open();
    const attempt = bench.begin();
    const answer = await bench.challenged(attempt);
    bench.refusal = full;
    answer();
    expect((await attempt.peer.next(FrameType.AUTH_FAILURE)).payload).toMatchObject({ code: full.code });
    expect([bench.admitted, bench.codes]).toEqual([[], [full.code]]);
  });

  test("still refuses a wrong password as one, also at the end", async () => {
    const bench = await LoginBench.open();
    const attempt = bench.begin();
    const answer = await bench.challenged(attempt, bench.handshake("wrong"));
    bench.refusal = full;
    answer();
    expect((await attempt.peer.next(FrameType.AUTH_FAILURE)).payload).toMatchObject({ code: ErrorCode.AUTH_FAILED });
  });

  test("admits no more clients than it has room for when several log in in one turn", async () => {
    const bench = await LoginBench.open();
    bench.room = 1;
    const attempts = [await bench.ask(SOMEWHERE), await bench.ask(ELSEWHERE), await bench.ask(LOOPBACK)];
    await bench.runtime.settle();
    expect(bench.admitted.map(({ connection }) => connection)).toEqual([attempts[0]?.connection]);
    expect(bench.codes).toEqual([full.code, full.code]);
  });
});

describe("a server that stops", () => {
  test("lists the logins under way, and can refuse them all", async () => {
    const bench = await LoginBench.open();
    const attempts = [bench.begin(), bench.begin(), bench.begin()];
    await bench.challenged(attempts[1] as Attempt);
    expect(bench.logins.pending).toEqual(attempts.map(({ connection }) => connection));
    for (const connection of bench.logins.pending)
      bench.logins.refuse(connection, ErrorCode.SERVER_STOPPING, "stopping");
    for (const { peer } of attempts) {
      const { payload } = await peer.next(FrameType.AUTH_FAILURE);
      expect(payload).toEqual({ reason: "stopping", code: ErrorCode.SERVER_STOPPING });
    }
    expect(bench.codes).toEqual(Array(3).fill(ErrorCode.SERVER_STOPPING));
    expect(bench.logins.pending).toEqual([]);
  });

  test("refuses each once", async () => {
    const bench = await LoginBench.open();
    const { peer, connection } = bench.begin();
    for (let count = 0; count < 2; count += 1) bench.logins.refuse(connection, ErrorCode.SERVER_STOPPING, "stopping");
    expect(await peer.receivedTypes()).toEqual(["AUTH_FAILURE"]);
    bench.logins.refuse(connection, ErrorCode.SERVER_STOPPING, "stopping");
    expect(bench.rejections.length).toBe(1);
  });

  test("turns away a stream that is accepted late, and reports it", async () => {
    const bench = await LoginBench.open();
    const { peer, stream } = bench.stream();
    bench.logins.turnAway(stream);
    await bench.runtime.settle();
    expect(peer.ended).toMatchObject({ code: ErrorCode.CONNECTION_RESET });
    expect(bench.rejections).toMatchObject([
      { code: ErrorCode.SERVER_STOPPING, remoteAddress: `${SOMEWHERE}:50000`, message: "The server is stopping" },
    ]);
    expect(bench.logins.rejections).toBe(1);
  });
});

describe("wrong passwords from one address", () => {
  test("are judged twenty at once; the next login is refused with RATE_LIMITED, also one with the right password", async () => {
    const bench = await LoginBench.open();
    await bench.fail(20);
    const { peer } = await bench.ask();
    expect((await peer.next(FrameType.AUTH_FAILURE)).payload).toMatchObject({
      code: ErrorCode.RATE_LIMITED,
      retry_after: 0.1,
    });
    expect([bench.logins.authFailures, bench.admitted]).toEqual([20, []]);
  });

  test("are judged ten a second after that, however many come at the same time", async () => {
    const bench = await LoginBench.open();
    for (let count = 0; count < 60; count += 1) await bench.ask(SOMEWHERE, "wrong");
    await bench.runtime.settle();
    const failures = [bench.logins.authFailures];
    await bench.runtime.advance(1000);
    for (let count = 0; count < 60; count += 1) await bench.ask(SOMEWHERE, "wrong");
    await bench.runtime.settle();
    failures.push(bench.logins.authFailures);
    expect(failures).toEqual([20, 30]);
  });

  test("do not become more because right ones come between them", async () => {
    const bench = await LoginBench.open();
    for (let count = 0; count < 20; count += 1) {
      await bench.fail(1);
      await bench.ask();
      await bench.runtime.settle();
    }
    await bench.fail(5);
    expect([bench.admitted.length, bench.logins.authFailures]).toEqual([19, 20]);
  });

  test("are not what right ones count as, however many come at the same time", async () => {
    const bench = await LoginBench.open();
    const attempts = Array.from({ length: 50 }, () => bench.begin());
    const answers = await Promise.all(attempts.map((attempt) => bench.challenged(attempt)));
    for (const answer of answers) answer();
    await bench.runtime.settle();
    expect([bench.admitted.length, bench.codes]).toEqual([50, []]);
  });

  test("take nothing from other addresses", async () => {
    const bench = await LoginBench.open();
    await bench.fail(40);
    await bench.ask(ELSEWHERE);
    await bench.runtime.settle();
    expect(bench.admitted.length).toBe(1);
  });

  test("count for the answer to a challenge, not for the challenge", async () => {
    const bench = await LoginBench.open();
    await bench.fail(20);
    const attempt = bench.begin();
    const answer = await bench.challenged(attempt);
    answer();
    expect((await attempt.peer.next(FrameType.AUTH_FAILURE)).payload).toMatchObject({ code: ErrorCode.RATE_LIMITED });
  });

  test.each([
    [
      "because of a malformed request",
      async (bench: LoginBench) => bench.begin().peer.send(FrameType.AUTH_REQUEST, {}),
    ],
    [
      "because of a malformed answer",
      async (bench: LoginBench) => {
        const attempt = bench.begin();
        await bench.challenged(attempt);
        attempt.peer.send(FrameType.AUTH_RESPONSE, { data: 5 });
      },
    ],
    [
      "because this runtime's cryptography does",
      async (bench: LoginBench) => {
        const attempt = bench.begin();
        const answer = await bench.challenged(attempt);
        const { hmacSha256 } = bench.runtime.crypto;
        Object.assign(bench.runtime.crypto, { hmacSha256: throwing });
        answer();
        await bench.runtime.settle();
        Object.assign(bench.runtime.crypto, { hmacSha256 });
      },
    ],
  ])("are not those of logins that fail %s", async (_why, fail) => {
    const bench = await LoginBench.open();
    for (let count = 0; count < 40; count += 1) {
      await fail(bench);
      await bench.runtime.settle();
    }
    await bench.ask();
    await bench.runtime.settle();
    expect(bench.admitted.length).toBe(1);
  });
});

describe("logins that a function of the application checks", () => {
  /** Starts a server with four places whose user look-up waits for the gate. */
  async function slow() {
    const held = gate();
    const asked: string[] = [];
    const scram = async (name: string): Promise<null> => {
      asked.push(name);
      await held.promise;
      return null;
    };
    const bench = await LoginBench.open({ maxPendingLogins: 4, authenticate: { scram } });
    const ask = async (host: string, name: string): Promise<MemoryPeer> => {
      const { peer } = bench.begin(host);
      peer.send(FrameType.AUTH_REQUEST, await bench.handshake(PASSWORD, name).start());
      await bench.runtime.settle();
      return peer;
    };
    const hangUp = async (host: string, name: string): Promise<void> => {
      (await ask(host, name)).stream.destroy(null);
      await bench.runtime.settle();
    };
    return { bench, held, asked, ask, hangUp };
  }

  test("keep their places when the client hangs up, half of them at most for one address", async () => {
    const { bench, asked, ask, hangUp } = await slow();
    for (const name of ["a", "b", "c"]) await hangUp(SOMEWHERE, name);
    expect([asked, bench.logins.size]).toEqual([["a", "b"], 0]);
    const peer = await ask(SOMEWHERE, "d");
    expect((await peer.next(FrameType.AUTH_FAILURE)).payload).toMatchObject({
      code: ErrorCode.RATE_LIMITED,
      retry_after: 0.5,
    });
    for (const name of ["e", "f"]) await hangUp(ELSEWHERE, name);
    await hangUp(LOOPBACK, "g");
    expect(asked).toEqual(["a", "b", "e", "f"]);
  });

  test("give their places back when the check has settled", async () => {
    const { bench, held, asked, ask, hangUp } = await slow();
    for (const name of ["a", "b"]) await hangUp(SOMEWHERE, name);
    held.open();
    await bench.runtime.settle();
    for (const name of ["c", "d", "e"]) {
      const peer = await ask(SOMEWHERE, name);
      await peer.next(FrameType.AUTH_CHALLENGE);
    }
    expect(asked).toEqual(["a", "b", "c", "d", "e"]);
  });
});

describe("a login that asks for a session of another process", () => {
  test("may wait for half of the time that it has left", async () => {
    const bench = await LoginBench.open({ authTimeoutMs: 10_000 });
    const waits: number[] = [];
    bench.recall = async (timeoutMs) => {
      waits.push(timeoutMs);
      return null;
    };
    const attempt = bench.begin();
    await bench.runtime.advance(4000);
    (await bench.challenged(attempt))();
    await bench.runtime.settle();
    expect([waits, bench.admitted.length]).toEqual([[3000], 1]);
  });

  test("takes no place of a check while it waits", async () => {
    const authenticate = { scram: () => null };
    const bench = await LoginBench.open({ authenticate, maxPendingLogins: 4 });
    bench.recall = () => new Promise(() => undefined);
    await bench.ask();
    await bench.runtime.settle();
    bench.recall = null;
    for (let count = 0; count < 2; count += 1) await bench.ask();
    await bench.runtime.settle();
    expect([bench.admitted.length, bench.codes]).toEqual([2, []]);
  });

  test("is told to come later if half of the logins wait already, or half of these from its address", async () => {
    const bench = await LoginBench.open({ maxPendingLogins: 8 });
    bench.recall = () => new Promise(() => undefined);
    for (let count = 0; count < 2; count += 1) await bench.ask();
    await bench.runtime.settle();
    const { peer } = await bench.ask();
    const refused = { code: ErrorCode.RATE_LIMITED, retry_after: 0.5 };
    expect((await peer.next(FrameType.AUTH_FAILURE)).payload).toMatchObject(refused);
    for (let count = 0; count < 2; count += 1) await bench.ask(ELSEWHERE);
    await bench.runtime.settle();
    expect(bench.rejections).toHaveLength(1);
    const other = await bench.ask("203.0.113.7");
    expect((await other.peer.next(FrameType.AUTH_FAILURE)).payload).toMatchObject(refused);
  });

  test("gives its place back when its client hangs up", async () => {
    const bench = await LoginBench.open({ maxPendingLogins: 2 });
    bench.recall = () => new Promise(() => undefined);
    const { connection } = await bench.ask();
    await bench.runtime.settle();
    connection.destroy(new ConduitError(ErrorCode.CONNECTION_RESET, "Hung up"));
    bench.recall = async () => null;
    await bench.ask();
    await bench.runtime.settle();
    expect([bench.admitted.length, bench.codes, bench.logins.size]).toEqual([1, [], 0]);
  });

  test("is refused if its user is revoked meanwhile", async () => {
    const bench = await LoginBench.open({ users: { ada: { password: "one password" } } });
    const looked = gate();
    bench.recall = async () => {
      await looked.promise;
      return null;
    };
    const attempt = bench.begin();
    (await bench.challenged(attempt, bench.handshake("one password", "ada")))();
    await bench.runtime.settle();
    bench.logins.revoke("ada");
    looked.open();
    expect((await attempt.peer.next(FrameType.AUTH_FAILURE)).payload).toMatchObject({ code: ErrorCode.AUTH_FAILED });
    expect([bench.admitted.length, bench.logins.authFailures]).toEqual([0, 1]);
  });
});

describe("a login that was recorded", () => {
  /** Logs in. @returns what the client sent */
  async function recorded(
    bench: LoginBench,
  ): Promise<{ request: Record<string, unknown>; response: { data: string } }> {
    const { peer } = bench.begin();
    const handshake = bench.handshake();
    const request = handshake.start();
    peer.send(FrameType.AUTH_REQUEST, request);
    const challenge = await peer.next(FrameType.AUTH_CHALLENGE);
    const step = await handshake.receive(challenge.type, challenge.payload);
    if (step.kind !== "send") throw new Error(`The challenge was not answered: ${step.kind}`);
    peer.send(step.type, step.payload);
    await bench.runtime.settle();
    expect(bench.admitted.length).toBe(1);
    return { request, response: { data: String(step.payload.data) } };
  }

  test.each([
    ["another address", ELSEWHERE],
    ["the same address", SOMEWHERE],
    ["the same machine", LOOPBACK],
  ])("is of no use from %s: its answer is refused as a wrong password, and is counted as one", async (_, host) => {
    const bench = await LoginBench.open();
    const { request, response } = await recorded(bench);
    const { peer } = bench.begin(host);
    peer.send(FrameType.AUTH_REQUEST, request);
    await peer.next(FrameType.AUTH_CHALLENGE);
    peer.send(FrameType.AUTH_RESPONSE, response);
    expect((await peer.next(FrameType.AUTH_FAILURE)).payload).toEqual({
      reason: "Invalid password",
      code: ErrorCode.AUTH_FAILED,
    });
    expect([bench.admitted.length, bench.logins.authFailures]).toEqual([1, 1]);
  });

  test("is useless after a restart of the server with the same keys", async () => {
    const bench = await LoginBench.open();
    const { request, response } = await recorded(bench);
    const count = countPbkdf2(bench.runtime.crypto);
    await bench.logins.prepare();
    expect(count.runs).toBe(0);
    const { peer } = bench.begin();
    peer.send(FrameType.AUTH_REQUEST, request);
    await peer.next(FrameType.AUTH_CHALLENGE);
    peer.send(FrameType.AUTH_RESPONSE, response);
    expect((await peer.next(FrameType.AUTH_FAILURE)).payload).toMatchObject({ code: ErrorCode.AUTH_FAILED });
    expect(bench.admitted.length).toBe(1);
  });
});

describe("the keys that logins are judged by", () => {
  test("are derived anew at the next start if that failed", async () => {
    const bench = LoginBench.closed();
    const { pbkdf2Sha256 } = bench.runtime.crypto;
    Object.assign(bench.runtime.crypto, { pbkdf2Sha256: () => Promise.reject(new Error("out of memory")) });
    await expect(bench.logins.prepare()).rejects.toThrow("out of memory");
    Object.assign(bench.runtime.crypto, { pbkdf2Sha256 });
    await bench.logins.prepare();
    await bench.ask();
    await bench.runtime.settle();
    expect(bench.admitted.length).toBe(1);
  });
});
