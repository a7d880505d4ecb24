import { describe, expect, test } from "vitest";
import type { CallOptions } from "../endpoint/call-options.ts";
import type { Outgoing } from "../endpoint/remote-caller.ts";
import { ConduitError, ErrorCode } from "../errors.ts";
import { fakeRuntime } from "../test-support/fake-runtime.ts";
import { type PoolMember, PoolSender, type SenderSettings } from "./pool-sender.ts";
import { chooserOf } from "./strategy.ts";

const { CONNECTION_CLOSED, SEND_QUEUE_FULL } = ErrorCode;

function unstarted(name: string): ConduitError {
  return new ConduitError(CONNECTION_CLOSED, `${name} is gone`, { details: { started: false } });
}

/** Frames passed to a connection for sending. */
interface Sent {
  readonly to: string;
  readonly name: string;
  readonly value: unknown;
  readonly options: CallOptions | undefined;
}

/** Creates connections that record sent frames in `sent` and answer with `answer`. */
function scene(answer: (to: string) => unknown = (to) => to, settings: Partial<SenderSettings> = {}) {
  const runtime = fakeRuntime();
  const sent: Sent[] = [];
  const measured: [name: string, ms: number][] = [];
  const outgoing = (to: string): Outgoing => {
    const call: Outgoing["call"] = async (name, value, options) => {
      sent.push({ to, name, value, options });
      return answer(to);
    };
    const send: Outgoing["sendMessage"] = (name, value) => {
      sent.push({ to, name, value, options: undefined });
      return answer(to) === to;
    };
    return {
      call,
      request: (name, value, options, validator) => call(name, value, options, validator),
      sendMessage: send,
      callNoWait: send,
      streamConnection: () => {
        throw new Error("No streams here");
      },
      waitForRoom: async () => void answer(to),
    };
  };
  const member = (name: string, address = name): PoolMember => ({
    address,
    outgoing: outgoing(name),
    pendingCalls: 0,
    averageMs: null,
    onceKeys: null,
    mayReturn: false,
    measured: (ms) => measured.push([name, ms]),
  });
  const sender = new PoolSender({
    // Chooses the first candidate.
    choose: (candidates) => candidates[0] as (typeof candidates)[number],
    measures: false,
    rpcTimeoutMs: 30_000,
    clock: runtime,
    offline: outgoing("offline"),
    queues: false,
    ...settings,
  });
  return { runtime, sender, sent, measured, member };
}

function failing(...names: string[]): (to: string) => unknown {
  return (to) => {
    if (names.includes(to)) throw unstarted(to);
    return to;
  };
}

describe("a call that was never started", () => {
  test("moves to another server, with its data, options and validator", async () => {
    const { sender, sent, member } = scene(failing("a"));
    sender.usable = [member("a"), member("b")];
    const { signal } = new AbortController();
    const options = { signal, meta: { trace: "7" } };
    expect(await sender.call("add", { n: 1 }, options, null)).toBe("b");
    expect(sent.map(({ to, name, value }) => [to, name, value])).toEqual([
      ["a", "add", { n: 1 }],
      ["b", "add", { n: 1 }],
    ]);
    expect(sent[1]?.options).toMatchObject(options);
    expect(sender.movedCalls).toBe(1);
  });

  test("tries each connection once, other servers first, and rejects with the last failure", async () => {
    const { sender, sent, member } = scene(failing("a1", "a2", "b1"));
    sender.usable = [member("a1", "a"), member("a2", "a"), member("b1", "b")];
    await expect(sender.request("ask", null, undefined, null)).rejects.toThrow("a2 is gone");
    expect(sent.map(({ to }) => to)).toEqual(["a1", "b1", "a2"]);
  });

  test("has the time that remains of its own timeout, or of the default", async () => {
    for (const [timeoutMs, left] of [
      [1000, 600],
      [undefined, 29_600],
      [0, 0],
    ] as const) {
      let answer = (_to: string): unknown => undefined;
      const { runtime, sender, sent, member } = scene((to) => answer(to));
      sender.usable = [member("a"), member("b")];
      const lost = new Promise((_resolve, reject) => runtime.setTimer(() => reject(unstarted("a")), 400, false));
      answer = (to) => (to === "a" ? lost : to);
      const result = sender.call("slow", null, { timeoutMs }, null);
      await runtime.advance(400);
      expect(await result).toBe("b");
      expect(sent[1]?.options?.timeoutMs).toBe(left);
    }
  });

  test("waits for a server if that is what the pool does and none is left", async () => {
    let isUp = true;
    const { sender, member } = scene(
      (to) => {
        if (to !== "a") return to;
        isUp = false;
        sender.usable = [];
        throw unstarted(to);
      },
      { queues: true },
    );
    sender.usable = [member("a")];
    expect(await sender.call("add", null, undefined, null)).toBe("offline");
    expect(isUp).toBe(false);
  });

  test("rejects if every server refused it, although the pool waits for servers", async () => {
    const { sender, member } = scene(failing("a", "b"), { queues: true });
    sender.usable = [member("a"), member("b")];
    await expect(sender.call("add", null, undefined, null)).rejects.toThrow("b is gone");
  });
});

test("a call that may have been started isn't sent again", async () => {
  const { sender, sent, member } = scene(() => {
    throw new ConduitError(CONNECTION_CLOSED, "lost");
  });
  sender.usable = [member("a"), member("b")];
  await expect(sender.call("pay", null, undefined, null)).rejects.toThrow("lost");
  expect(sent).toHaveLength(1);
});

describe("messages", () => {
  test("pass a connection whose queue is full", () => {
    const { sender, member } = scene((to) => {
      if (to === "a") throw new ConduitError(SEND_QUEUE_FULL, "full");
      return to;
    });
    sender.usable = [member("a"), member("b")];
    expect(sender.sendMessage("note", 1)).toBe(true);
    expect(sender.callNoWait("note", 1)).toBe(true);
  });

  test("that can't be sent at all fail at once", () => {
    const { sender, sent, member } = scene(() => {
      throw new ConduitError(ErrorCode.UNSERIALIZABLE, "a function");
    });
    sender.usable = [member("a"), member("b")];
    expect(() => sender.sendMessage("note", 1)).toThrow("a function");
    expect(sent).toHaveLength(1);
  });
});

test("without a usable connection, everything goes where the pool keeps or refuses it", async () => {
  const { sender, sent } = scene();
  expect(await sender.call("a", null, undefined, null)).toBe("offline");
  expect(await sender.request("b", null, undefined, null)).toBe("offline");
  expect([sender.sendMessage("c", null), sender.callNoWait("d", null)]).toEqual([true, true]);
  expect(sent.map(({ to, name }) => to + name)).toEqual(["offlinea", "offlineb", "offlinec", "offlined"]);
});

describe("room", () => {
  test("is there as soon as one connection has it", async () => {
    const { sender, member } = scene(failing("a"));
    sender.usable = [member("a"), member("b")];
    await sender.waitForRoom();
  });

  test("isn't there if no connection has it", async () => {
    const { sender, member } = scene(failing("a", "b"));
    sender.usable = [member("a"), member("b")];
    await expect(sender.waitForRoom()).rejects.toThrow("b is gone");
  });

  test("is asked of a connection once, however often others had some since", async () => {
    const asked: string[] = [];
    const { sender, member } = scene();
    const withRoom = (name: string, room: Promise<void>): PoolMember => {
      const one = member(name);
      const waitForRoom = (): Promise<void> => {
        asked.push(name);
        return room;
      };
      return { ...one, outgoing: { ...one.outgoing, waitForRoom } };
    };
    const stuck = new Promise<void>(() => undefined);
    sender.usable = [withRoom("a", stuck), withRoom("b", Promise.resolve())];
    for (let count = 0; count < 3; count += 1) await sender.waitForRoom();
    expect(asked).toEqual(["a", "b", "b", "b"]);
  });
});

describe("with least-latency", () => {
  test("replies and timeouts are measured, other failures aren't", async () => {
    let fails: Error | null = null;
    const { sender, measured, member } = scene(
      (to) => {
        if (fails !== null) throw fails;
        return to;
      },
      { measures: true, choose: chooserOf("least-latency") },
    );
    sender.usable = [member("a")];
    await sender.call("add", null, undefined, null);
    fails = new ConduitError(ErrorCode.TIMEOUT, "late");
    await expect(sender.call("add", null, undefined, null)).rejects.toThrow("late");
    expect(measured).toHaveLength(2);
    fails = new ConduitError(ErrorCode.INTERNAL, "quick");
    await expect(sender.call("add", null, undefined, null)).rejects.toThrow("quick");
    expect(measured).toHaveLength(2);
  });
});
