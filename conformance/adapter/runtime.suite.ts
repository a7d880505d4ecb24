/** An adapter's `Runtime`, except for sockets. */

import { deflateSync } from "node:zlib";
import { ErrorCode, type Runtime } from "@netconduit/core/adapter";
import { describe, expect, test } from "vitest";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const hex = (data: Uint8Array): string => Array.from(data, (byte) => byte.toString(16).padStart(2, "0")).join("");

/** Returns the order in which tasks run when `start` is called from a callback of the event loop. */
function order(start: (log: (entry: string) => void) => void): Promise<string[]> {
  return new Promise((resolve) => {
    const entries: string[] = [];
    setImmediate(() => {
      start((entry) => void entries.push(entry));
      setImmediate(() => resolve(entries));
    });
  });
}

function chainOfMicrotasks(log: (entry: string) => void): void {
  queueMicrotask(() => {
    log("first");
    queueMicrotask(() => {
      log("second");
      queueMicrotask(() => log("third"));
    });
  });
}

function thrownBy(action: () => unknown): unknown {
  try {
    return action();
  } catch (error) {
    return error;
  }
}

export function describeRuntime(runtime: Runtime): void {
  const { crypto } = runtime;

  describe(`nextTurn of ${runtime.name}`, () => {
    test("runs tasks in later turns, after microtasks and deferred tasks", async () => {
      const entries: string[] = [];
      await new Promise<void>((resolve) => {
        runtime.nextTurn(() => {
          entries.push("turn");
          queueMicrotask(() => entries.push("microtask"));
          runtime.nextTurn(() => {
            entries.push("next turn");
            resolve();
          });
          runtime.defer(() => entries.push("deferred"));
        });
        entries.push("now");
      });
      expect(entries).toEqual(["now", "turn", "microtask", "deferred", "next turn"]);
    });

    test("runs tasks after every microtask, however many follow each other", async () => {
      for (let round = 0; round < 100; round += 1) {
        let hops = 0;
        const hop = async (): Promise<void> => {
          for (; hops < 100; hops += 1) await null;
        };
        void hop();
        await new Promise<void>((resolve) => runtime.nextTurn(resolve));
        expect(hops).toBe(100);
      }
    });
  });

  describe(`defer of ${runtime.name}`, () => {
    test("runs although fake timers replace queueMicrotask and process.nextTick", async () => {
      const originals = [globalThis.queueMicrotask, process.nextTick] as const;
      globalThis.queueMicrotask = () => {};
      process.nextTick = () => {};
      try {
        await new Promise<void>((resolve) => runtime.defer(resolve));
      } finally {
        [globalThis.queueMicrotask, process.nextTick] = originals;
      }
    });

    test("runs after every microtask when called by a callback of the event loop", async () => {
      const entries = await order((log) => {
        runtime.defer(() => log("deferred"));
        chainOfMicrotasks(log);
      });
      expect(entries).toEqual(["first", "second", "third", "deferred"]);
    });

    test("runs after every microtask when called by a microtask", async () => {
      const entries = await order((log) => {
        queueMicrotask(() => {
          runtime.defer(() => log("deferred"));
          chainOfMicrotasks(log);
        });
      });
      expect(entries).toEqual(["first", "second", "third", "deferred"]);
    });

    test("runs before the event loop continues to the next callback", async () => {
      const entries = await order((log) => {
        setImmediate(() => log("next callback"));
        runtime.defer(() => log("deferred"));
      });
      expect(entries[0]).toBe("deferred");
    });

    test("runs tasks in order, and one deferred by a task in the same turn", async () => {
      const entries = await order((log) => {
        runtime.defer(() => {
          log("a");
          runtime.defer(() => log("c"));
        });
        runtime.defer(() => log("b"));
      });
      expect(entries).toEqual(["a", "b", "c"]);
    });
  });

  describe(`lookup of ${runtime.name}`, () => {
    test("finds the IPv4 address of localhost", async () => {
      expect(await runtime.lookup("localhost", 4)).toEqual(["127.0.0.1"]);
    });

    test("of a name that doesn't exist rejects or finds nothing", async () => {
      expect(await runtime.lookup("nowhere.invalid", 4).catch(() => [])).toEqual([]);
    });
  });

  describe(`crypto of ${runtime.name}`, () => {
    test("sha256 gives the digest of FIPS 180-2", async () => {
      expect(hex(await crypto.sha256(bytes("abc")))).toBe(
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
      );
    });

    test("hmacSha256 gives the code of RFC 4231, test case 2", async () => {
      expect(hex(await crypto.hmacSha256(bytes("Jefe"), bytes("what do ya want for nothing?")))).toBe(
        "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
      );
    });

    test("pbkdf2Sha256 gives the key of RFC 7914", async () => {
      expect(hex(await crypto.pbkdf2Sha256(bytes("passwd"), bytes("salt"), 1))).toBe(
        "55ac046e56e3089fec1691c22544b605f94185216dde0465e68b9d57c20dacbc",
      );
    });

    test("results are plain Uint8Arrays, whose slice copies", async () => {
      const results = [
        crypto.randomBytes(8),
        await crypto.sha256(bytes("")),
        await crypto.hmacSha256(bytes("k"), bytes("")),
        await crypto.pbkdf2Sha256(bytes("p"), bytes("s"), 1),
        runtime.deflate(bytes("x")),
      ];
      expect(results.map((result) => result.constructor)).toEqual(results.map(() => Uint8Array));
    });

    test("randomBytes never returns the same bytes twice, and as many as asked even if that is more than it draws", () => {
      const parts = Array.from({ length: 200 }, () => hex(crypto.randomBytes(32)));
      expect(new Set(parts).size).toBe(200);
      expect(crypto.randomBytes(5000)).toHaveLength(5000);
    });

    test("randomBytes returns as many bytes as asked, different each time", () => {
      expect(crypto.randomBytes(16)).toHaveLength(16);
      expect(crypto.randomBytes(16)).not.toEqual(crypto.randomBytes(16));
    });
  });

  describe(`inflate of ${runtime.name}`, () => {
    const data = new Uint8Array(100_000).fill(7);
    const deflated = runtime.deflate(data);

    test("returns what deflate was given, up to the limit exactly", () => {
      expect(runtime.inflate(deflated, data.length)).toEqual(data);
    });

    test("refuses a stream that inflates to one byte more than the limit", () => {
      const error = thrownBy(() => runtime.inflate(deflated, data.length - 1));
      expect(error).toMatchObject({ code: ErrorCode.INFLATED_TOO_LARGE });
      expect((error as Error).message).toContain(`limit of ${data.length - 1} bytes`);
    });

    test("takes an empty stream under a limit of 0, and nothing else", () => {
      expect(runtime.inflate(deflateSync(new Uint8Array(0)), 0)).toHaveLength(0);
      const error = thrownBy(() => runtime.inflate(deflateSync(Uint8Array.of(1)), 0));
      expect(error).toMatchObject({ code: ErrorCode.INFLATED_TOO_LARGE });
    });

    const unusable: readonly (readonly [string, Uint8Array])[] = [
      ["nothing", new Uint8Array(0)],
      ["bytes that are no zlib stream", bytes("hello, world")],
      ["a cut-off stream", deflated.subarray(0, deflated.length - 1)],
      ["a stream with a wrong checksum", Uint8Array.from([...deflated.subarray(0, -1), 0xff])],
      ["bytes behind the stream", Uint8Array.from([...deflated, 0])],
      ["two streams", Uint8Array.from([...deflated, ...deflated])],
    ];
    for (const [what, input] of unusable) {
      test(`refuses ${what}`, () => {
        const error = thrownBy(() => runtime.inflate(input, 1_000_000));
        expect(error).toMatchObject({ code: ErrorCode.INFLATE_FAILED });
      });
    }
  });

  describe(`timers and clocks of ${runtime.name}`, () => {
    test("a timer runs its task, and a cleared one does not", async () => {
      const ran: string[] = [];
      const cleared = runtime.setTimer(() => ran.push("cleared"), 0, true);
      runtime.clearTimer(cleared);
      await new Promise<void>((resolve) => void runtime.setTimer(resolve, 1, true));
      expect(ran).toEqual([]);
    });

    test("a timer for longer than the runtime's own timers know does not fire at once", async () => {
      const ran: string[] = [];
      const long = runtime.setTimer(() => ran.push("long"), 2 ** 40, true);
      await new Promise<void>((resolve) => void runtime.setTimer(resolve, 5, true));
      runtime.clearTimer(long);
      expect(ran).toEqual([]);
    });

    test("now never goes back and wallClock is in Unix milliseconds", () => {
      const before = runtime.now();
      expect(runtime.now()).toBeGreaterThanOrEqual(before);
      expect(Number.isSafeInteger(runtime.wallClock())).toBe(true);
    });
  });
}
