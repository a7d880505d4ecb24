import process from "node:process";
import { describe, expect, test } from "vitest";
import { EndpointCore } from "../endpoint/endpoint-core.ts";
import { ConduitError, ErrorCode } from "../errors.ts";
import { fakeRuntime } from "../test-support/fake-runtime.ts";
import { gate } from "../test-support/gate.ts";
import { outcome } from "../test-support/peers.ts";
import { type ClientOptions, parseClientOptions } from "./client-options.ts";
import { Reconnector } from "./reconnector.ts";

const LOST = {
  code: ErrorCode.CONNECTION_CLOSED,
  codeName: "CONNECTION_CLOSED",
  message: "lost",
  byPeer: false,
  reconnect: true,
};
const refused = (): ConduitError => new ConduitError(ErrorCode.CONNECTION_REFUSED, "refused");

/** Creates a reconnector whose dials have the results in `opens`; further dials succeed. */
function newReconnector(opens: (() => Promise<void>)[] = [], reconnect: ClientOptions["reconnect"] = {}) {
  const runtime = fakeRuntime();
  const config = parseClientOptions({
    host: "db",
    port: 7,
    password: "secret123",
    reconnect: { jitter: false, ...reconnect },
  });
  const core = new EndpointCore<unknown>(runtime, config, {}, []);
  const reported: unknown[] = [];
  const errors: Error[] = [];
  core.errorHooks.add((error) => {
    reported.push((error as ConduitError).code);
    errors.push(error);
  });
  const log: unknown[] = [];
  const subject = new Reconnector(core, config, {
    async dial(abort) {
      log.push("open");
      await abort.race((opens.shift() ?? (async () => undefined))());
      subject.loggedIn();
    },
    isFinal: () => false,
    dialFailed: (error, next) => log.push(["failed", error.code, next]),
    async loginHooks(again) {
      log.push(again ? "opened again" : "opened");
    },
    attemptFailed: ({ error }) => core.report(error, { stage: "reconnect" }),
  });
  return { runtime, subject, log, reported, errors };
}

const never = (): Promise<void> => new Promise(() => undefined);
const failing = (): Promise<void> => Promise.reject(refused());

describe("Reconnector", () => {
  test("a failed dial that isn't awaited is an unhandled rejection", async () => {
    const { subject } = newReconnector([failing]);
    // Vitest's own listener would fail the run.
    const others = process.listeners("unhandledRejection");
    process.removeAllListeners("unhandledRejection");
    try {
      const heard = new Promise((resolve) => process.once("unhandledRejection", resolve));
      void subject.connect();
      expect(await heard).toMatchObject({ code: ErrorCode.CONNECTION_REFUSED });
    } finally {
      for (const other of others) process.on("unhandledRejection", other);
    }
  });

  test("a dial in progress is joined", async () => {
    const { subject, log } = newReconnector();
    const first = subject.connect();
    expect(subject.connect()).toBe(first);
    await first;
    expect(log).toEqual(["open", "opened"]);
  });

  test("a dial that takes too long ends with CONNECT_TIMEOUT and the dialled address", async () => {
    const { runtime, subject, log } = newReconnector([never]);
    const result = outcome(subject.connect());
    await runtime.advance(60_000);
    expect(result.error).toMatchObject({ code: ErrorCode.CONNECT_TIMEOUT, message: expect.stringContaining("db:7") });
    expect(log).toEqual(["open", ["failed", ErrorCode.CONNECT_TIMEOUT, "connect"]]);
    expect(runtime.timers.count).toBe(0);
  });

  test("an aborted dial rejects with the reason, and the next waits for its end", async () => {
    const open = gate();
    const { runtime, subject, log } = newReconnector([() => open.promise]);
    const first = outcome(subject.connect());
    const reason = refused();
    const ended = subject.callOff(() => reason);
    const second = subject.connect();
    await ended?.catch(() => undefined);
    await second;
    await runtime.settle();
    expect(first.error).toBe(reason);
    expect(log).toEqual(["open", ["failed", ErrorCode.CONNECTION_REFUSED, "connect"], "open", "opened"]);
  });

  test("without a dial to abort there is nothing to wait for", () => {
    expect(newReconnector().subject.callOff(refused)).toBeNull();
  });

  test("a lost connection is restored automatically after the hooks and a delay", async () => {
    const { runtime, subject, log } = newReconnector([], { delayMs: 100 });
    const hooks = gate();
    subject.lost(LOST, () => hooks.promise);
    expect(subject.mayConnect(null)).toBe(true);
    await runtime.advance(1000);
    expect(log).toEqual([]);
    hooks.open();
    await runtime.advance(99);
    expect(log).toEqual([]);
    await runtime.advance(1);
    expect([log, subject.mayConnect(null)]).toEqual([["open", "opened again"], true]);
  });

  test("failed attempts are reported, and the last one ends the series", async () => {
    const { runtime, subject, log, reported } = newReconnector([failing, failing], { attempts: 2, delayMs: 1 });
    subject.lost(LOST, async () => undefined);
    await runtime.advance(1000);
    const { CONNECTION_REFUSED, RECONNECT_FAILED } = ErrorCode;
    expect(reported).toEqual([CONNECTION_REFUSED, CONNECTION_REFUSED, RECONNECT_FAILED]);
    const attempt = ["open", ["failed", CONNECTION_REFUSED, "another"]];
    expect(log).toEqual([...attempt, ...attempt, ["failed", RECONNECT_FAILED, "none"]]);
    expect([subject.attempts, subject.mayConnect(null)]).toEqual([2, false]);
  });

  test.for([
    ["the last attempt", [failing], "Gave up reconnecting to db:7 after 1 attempt: refused", refused()],
    [
      "connections that were lost at once",
      [],
      "Gave up reconnecting to db:7 after 1 attempt: lost",
      { code: LOST.code },
    ],
  ] as const)(
    "the final error contains the address, the number of attempts and the reason: %s",
    async ([, opens, message, cause]) => {
      const { runtime, subject, errors } = newReconnector([...opens], { attempts: 1, delayMs: 1 });
      subject.lost(LOST, async () => undefined);
      await runtime.advance(1000);
      subject.lost(LOST, async () => undefined);
      await runtime.advance(1000);
      expect(errors.find(({ message }) => message.startsWith("Gave up"))).toMatchObject({ message, cause });
    },
  );

  test("a wrong password isn't retried", async () => {
    const wrong = (): Promise<void> => Promise.reject(new ConduitError(ErrorCode.AUTH_FAILED, "wrong"));
    const { runtime, subject, reported } = newReconnector([wrong], { delayMs: 1 });
    subject.lost(LOST, async () => undefined);
    await runtime.advance(1000);
    expect(reported).toEqual([ErrorCode.AUTH_FAILED, ErrorCode.RECONNECT_FAILED]);
  });

  test("aborting ends a series' wait, and the client doesn't reconnect", async () => {
    const { runtime, subject, log } = newReconnector([], { delayMs: 100 });
    subject.lost(LOST, async () => undefined);
    await runtime.advance(50);
    void subject.callOff(refused);
    subject.lost(LOST, async () => undefined);
    await runtime.advance(1000);
    expect([log, subject.mayConnect(LOST), runtime.timers.count]).toEqual([[], false, 0]);
  });

  test("connect() after aborting or giving up enables reconnecting again", async () => {
    for (const end of ["called off", "given up"]) {
      const { runtime, subject, log } = newReconnector([failing], { attempts: 1, delayMs: 1 });
      if (end === "called off") void subject.callOff(refused);
      subject.lost(LOST, async () => undefined);
      await runtime.advance(1000);
      expect(subject.mayConnect(null)).toBe(false);
      await subject.connect().catch(() => subject.connect());
      expect(subject.mayConnect(null)).toBe(true);
      log.length = 0;
      subject.lost(LOST, async () => undefined);
      await runtime.advance(1000);
      expect(log).toEqual(["open", "opened again"]);
    }
  });

  test("connect() restarts the count of attempts", async () => {
    const { runtime, subject } = newReconnector([failing, failing], { delayMs: 100, maxDelayMs: 100 });
    subject.lost(LOST, async () => undefined);
    await runtime.advance(250);
    expect(subject.attempts).toBe(2);
    await subject.connect();
    expect(subject.attempts).toBe(0);
  });

  test("a dial that the server delays beyond connectTimeoutMs rejects immediately with the time", async () => {
    const details = { retry_after: 3600 };
    const limited = (): Promise<void> =>
      Promise.reject(new ConduitError(ErrorCode.RATE_LIMITED, "slow down", { details }));
    const { runtime, subject } = newReconnector([limited]);
    const dial = outcome(subject.connect());
    await runtime.settle();
    expect(dial.error).toMatchObject({ code: ErrorCode.RATE_LIMITED, details });
  });

  test("only the first attempt waits for the time set by the server", async () => {
    const { runtime, subject, log } = newReconnector([failing], { delayMs: 100, maxDelayMs: 100 });
    subject.lost(LOST, async () => undefined, 5000);
    await runtime.advance(5050);
    expect(log).toEqual([]);
    await runtime.advance(200);
    expect(log.filter((entry) => entry === "open")).toHaveLength(2);
  });

  test("a connection that ends soon after its login continues the same series", async () => {
    const { runtime, subject } = newReconnector([], { delayMs: 1 });
    for (const lastedMs of [0, 0, 60_000]) {
      await runtime.advance(lastedMs);
      subject.lost(LOST, async () => undefined);
      await runtime.advance(100);
    }
    expect(subject.attempts).toBe(1);
  });

  test.for([
    ["the peer forbids reconnecting", { ...LOST, reconnect: false }, {}],
    ["reconnecting is off", LOST, { enabled: false }],
  ] as const)("it doesn't reconnect when %s", async ([, reason, options]) => {
    const { runtime, subject, log } = newReconnector([], options);
    expect(subject.mayConnect(reason)).toBe(false);
    subject.lost(reason, async () => undefined);
    await runtime.advance(100_000);
    expect([log, subject.mayConnect(null)]).toEqual([[], false]);
  });
});
