import { deflateSync } from "node:zlib";
import { ErrorCode } from "@netconduit/core/adapter";
import { describe, expect, test } from "vitest";
import { bunRuntime } from "../src/runtime.ts";

const { crypto } = bunRuntime;
const bytes = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text));
const hex = (data: Uint8Array): string => Buffer.from(data).toString("hex");

/** What runs in which order when `start` is called in a turn of its own, by a callback of the event loop. */
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

describe("defer", () => {
  test("runs after every microtask when called by a callback of the event loop", async () => {
    const entries = await order((log) => {
      bunRuntime.defer(() => log("deferred"));
      chainOfMicrotasks(log);
    });
    expect(entries).toEqual(["first", "second", "third", "deferred"]);
  });

  test("runs after every microtask when called by a microtask", async () => {
    const entries = await order((log) => {
      queueMicrotask(() => {
        bunRuntime.defer(() => log("deferred"));
        chainOfMicrotasks(log);
      });
    });
    expect(entries).toEqual(["first", "second", "third", "deferred"]);
  });

  test("runs before the event loop goes on to the next callback", async () => {
    const entries = await order((log) => {
      setImmediate(() => log("next callback"));
      bunRuntime.defer(() => log("deferred"));
    });
    expect(entries[0]).toBe("deferred");
  });

  test("runs tasks in order, and one deferred by a task in the same turn", async () => {
    const entries = await order((log) => {
      bunRuntime.defer(() => {
        log("a");
        bunRuntime.defer(() => log("c"));
      });
      bunRuntime.defer(() => log("b"));
    });
    expect(entries).toEqual(["a", "b", "c"]);
  });

  test("a task that throws does not take the next one with it", () => {
    // In a process of its own: `bun test` takes every uncaught error for a failure.
    const script = `
      import { bunRuntime } from ${JSON.stringify(import.meta.resolve("../src/runtime.ts"))};
      process.on("uncaughtException", (error) => console.log(error.message));
      bunRuntime.defer(() => { throw new Error("thrown by a deferred task"); });
      bunRuntime.defer(() => console.log("the next one ran"));`;
    const tsconfig = Bun.fileURLToPath(new URL("./tsconfig.json", import.meta.url));
    const { stdout } = Bun.spawnSync([process.execPath, "--tsconfig-override", tsconfig, "-e", script]);
    expect(stdout.toString().split("\n").sort()).toEqual(["", "the next one ran", "thrown by a deferred task"]);
  });
});

describe("crypto", () => {
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
      bunRuntime.deflate(bytes("x")),
    ];
    expect(results.map((result) => result.constructor)).toEqual(results.map(() => Uint8Array));
  });

  test("randomBytes returns as many bytes as asked, different each time", () => {
    expect(crypto.randomBytes(16)).toHaveLength(16);
    expect(crypto.randomBytes(16)).not.toEqual(crypto.randomBytes(16));
  });
});

describe("inflate", () => {
  const data = new Uint8Array(100_000).fill(7);
  const deflated = bunRuntime.deflate(data);
  const thrownBy = (action: () => unknown): unknown => {
    try {
      return action();
    } catch (error) {
      return error;
    }
  };

  test("returns what deflate was given, up to the limit exactly", () => {
    expect(bunRuntime.inflate(deflated, data.length)).toEqual(data);
  });

  test("refuses a stream that inflates to one byte more than the limit", () => {
    const error = thrownBy(() => bunRuntime.inflate(deflated, data.length - 1));
    expect(error).toMatchObject({ code: ErrorCode.INFLATED_TOO_LARGE });
    expect((error as Error).message).toContain(`limit of ${data.length - 1} bytes`);
  });

  test("takes an empty stream under a limit of 0, and nothing else", () => {
    expect(bunRuntime.inflate(deflateSync(new Uint8Array(0)), 0)).toHaveLength(0);
    expect(thrownBy(() => bunRuntime.inflate(deflateSync(Uint8Array.of(1)), 0))).toMatchObject({
      code: ErrorCode.INFLATED_TOO_LARGE,
    });
  });

  test.each([
    ["nothing", new Uint8Array(0)],
    ["bytes that are no zlib stream", bytes("hello, world")],
    ["a cut-off stream", deflated.subarray(0, deflated.length - 1)],
    ["a stream with a wrong checksum", Uint8Array.from([...deflated.subarray(0, -1), 0xff])],
    ["bytes behind the stream", Uint8Array.from([...deflated, 0])],
    ["two streams", Uint8Array.from([...deflated, ...deflated])],
  ] as [string, Uint8Array][])("refuses %s", (_, input) => {
    expect(thrownBy(() => bunRuntime.inflate(input, 1_000_000))).toMatchObject({ code: ErrorCode.INFLATE_FAILED });
  });
});

describe("timers", () => {
  test("a timer runs its task, and a cleared one does not", async () => {
    const ran: string[] = [];
    const cleared = bunRuntime.setTimer(() => ran.push("cleared"), 0, true);
    bunRuntime.clearTimer(cleared);
    await new Promise<void>((resolve) => void bunRuntime.setTimer(resolve, 1, true));
    expect(ran).toEqual([]);
  });

  test("only a timer with keepAlive keeps the process running", () => {
    const timers = [true, false].map(
      (keepAlive) => bunRuntime.setTimer(() => undefined, 1000, keepAlive) as NodeJS.Timeout,
    );
    expect(timers.map((timer) => timer.hasRef())).toEqual([true, false]);
    for (const timer of timers) bunRuntime.clearTimer(timer);
  });

  test("now never goes back and wallClock is in Unix milliseconds", () => {
    const before = bunRuntime.now();
    expect(bunRuntime.now()).toBeGreaterThanOrEqual(before);
    expect(Number.isSafeInteger(bunRuntime.wallClock())).toBe(true);
  });
});

describe("onTerminate", () => {
  test("passes the signal's name on until it is removed", () => {
    const signals: string[] = [];
    const before = process.listenerCount("SIGTERM");
    const remove = bunRuntime.onTerminate((signal) => signals.push(signal));
    process.emit("SIGTERM", "SIGTERM");
    process.emit("SIGINT", "SIGINT");
    remove();
    expect(signals).toEqual(["SIGTERM", "SIGINT"]);
    expect(process.listenerCount("SIGTERM")).toBe(before);
  });
});
