import { describe, expect, test } from "vitest";
import { gate } from "../test-support/gate.ts";
import { GuessQueue, type Verdict } from "./guess-queue.ts";
import { AuthThrottle } from "./throttle.ts";

/** Logins of the address "nat" whose judging ends when a test says so. */
function scene(maxWaiting?: number) {
  let nowMs = 0;
  const queue = new GuessQueue(new AuthThrottle(), () => nowMs, maxWaiting);
  /** Ends the judging of each login that has begun to be judged, oldest first. */
  const underWay: ((verdict: Verdict) => void)[] = [];
  const outcomes: (Verdict | number)[] = [];
  const begun: (string | null)[] = [];
  const login = (name: string | null = null, address = "nat", isGone?: () => boolean): void => {
    const judge = (): Promise<Verdict> => {
      begun.push(name);
      return new Promise((resolve) => underWay.push(resolve));
    };
    void queue
      .judge(address, name, judge, (verdict) => verdict, isGone)
      .then((outcome) => outcomes.push("result" in outcome ? outcome.result : outcome.waitMs));
  };
  const settle = async (): Promise<void> => {
    for (let round = 0; round < 10; round += 1) await Promise.resolve();
  };
  /** So many end, each after what the one before has caused. */
  const end = async (count: number, verdict: Verdict): Promise<void> => {
    for (let n = 0; n < count; n += 1) {
      await settle();
      underWay.shift()?.(verdict);
    }
    await settle();
  };
  return { queue, login, end, settle, outcomes, begun, underWay, pass: (ms: number) => (nowMs += ms) };
}

describe("a crowd of logins of one address", () => {
  test("is judged completely if all passwords are right, 20 at a time", async () => {
    const { login, end, settle, outcomes, underWay, queue } = scene();
    for (let n = 0; n < 200; n += 1) login();
    await settle();
    expect(underWay.length).toBe(20);
    await end(200, "right");
    expect(outcomes).toEqual(Array(200).fill("right"));
    expect(queue.size).toBe(0);
  });

  test("is judged in the order of its arrival", async () => {
    const { login, end, begun } = scene();
    const names = Array.from({ length: 100 }, (_, n) => `user ${n}`);
    for (const name of names) login(name);
    await end(100, "right");
    expect(begun).toEqual(names);
  });

  test("gets no more guesses than one after the other would", async () => {
    const { login, end, outcomes } = scene();
    for (let n = 0; n < 200; n += 1) login();
    await end(20, "wrong");
    expect(outcomes.filter((outcome) => outcome === "wrong").length).toBe(20);
    expect(outcomes.filter((outcome) => outcome === 100).length).toBe(180);
  });

  test("gets a guess back for each right password among wrong ones, and no more", async () => {
    const { login, end, outcomes } = scene();
    for (let n = 0; n < 200; n += 1) login();
    for (let n = 0; n < 20; n += 1) {
      await end(1, "right");
      await end(1, "wrong");
    }
    expect(outcomes.filter((outcome) => outcome === "wrong").length).toBe(20);
    expect(outcomes.filter((outcome) => outcome === "right").length).toBe(20);
    expect(outcomes.filter((outcome) => outcome === 100).length).toBe(160);
  });

  test("passes by a login whose own name has no guess left", async () => {
    const { login, end, begun } = scene();
    // At another address, so that only the name's budget is used up.
    for (let n = 0; n < 23; n += 1) login("ada", "elsewhere");
    await end(23, "wrong");
    for (let n = 0; n < 3; n += 1) login("ada");
    await end(3, "wrong");
    begun.length = 0;
    for (let n = 0; n < 60; n += 1) login(n === 55 ? "ada" : `user ${n}`);
    await end(59, "right");
    expect(begun.length).toBe(59);
    expect(begun).not.toContain("ada");
  });

  test("goes on with what time has brought when the last verdict comes", async () => {
    const { login, end, outcomes, pass, settle, underWay } = scene();
    for (let n = 0; n < 25; n += 1) login();
    await settle();
    pass(200);
    await end(20, "wrong");
    expect(underWay.length).toBe(2);
    await end(2, "right");
    await end(3, "right");
    expect(outcomes).toEqual([...Array(20).fill("wrong"), ...Array(5).fill("right")]);
  });

  test("waits in a bounded number: others learn at once when to come again", async () => {
    const { login, end, settle, outcomes } = scene(10);
    for (let n = 0; n < 50; n += 1) login();
    await settle();
    expect(outcomes).toEqual(Array(20).fill(100));
    await end(30, "right");
    expect(outcomes.length).toBe(50);
  });

  test("waits however many of another address do", async () => {
    const { login, end, settle, outcomes, underWay } = scene(10);
    for (let n = 0; n < 50; n += 1) login(null, "elsewhere");
    await settle();
    underWay.length = 0;
    outcomes.length = 0;
    for (let n = 0; n < 30; n += 1) login(null, "nat");
    await end(30, "right");
    expect(outcomes).toEqual(Array(30).fill("right"));
  });

  test("takes no guess for a login whose connection has ended", async () => {
    const { login, end, outcomes, begun } = scene();
    let isGone = false;
    for (let n = 0; n < 20; n += 1) login();
    for (let n = 0; n < 30; n += 1) login(null, "nat", () => isGone);
    for (let n = 0; n < 30; n += 1) login();
    isGone = true;
    await end(50, "right");
    expect(begun.length).toBe(50);
    expect(outcomes.filter((outcome) => outcome === "right").length).toBe(50);
  });

  test("doesn't wait for a crowd of another address", async () => {
    const { login, settle, begun } = scene();
    for (let n = 0; n < 200; n += 1) login(null, "nat");
    login("ada", "home");
    await settle();
    expect(begun.at(-1)).toBe("ada");
  });
});

test("a login that couldn't be judged uses no guess, and lets the next one be judged", async () => {
  const queue = new GuessQueue(new AuthThrottle(), () => 0);
  const hold = gate();
  const failing = Array.from({ length: 20 }, () =>
    queue.judge(
      "nat",
      null,
      async () => {
        await hold.promise;
        throw new Error("No cryptography");
      },
      (): Verdict => "right",
    ),
  );
  const next = queue.judge(
    "nat",
    null,
    async () => "judged",
    (): Verdict => "right",
  );
  hold.open();
  await expect(Promise.allSettled(failing)).resolves.toHaveLength(20);
  await expect(next).resolves.toEqual({ result: "judged" });
});
