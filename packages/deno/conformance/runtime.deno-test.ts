import { execFile } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { rm, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { deflateSync } from "node:zlib";
import { ErrorCode } from "@netconduit/core/adapter";
import { describe, expect, test } from "vitest";
import { denoRuntime } from "../src/runtime.ts";

const { crypto } = denoRuntime;
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
      denoRuntime.defer(() => log("deferred"));
      chainOfMicrotasks(log);
    });
    expect(entries).toEqual(["first", "second", "third", "deferred"]);
  });

  test("runs after every microtask when called by a microtask", async () => {
    const entries = await order((log) => {
      queueMicrotask(() => {
        denoRuntime.defer(() => log("deferred"));
        chainOfMicrotasks(log);
      });
    });
    expect(entries).toEqual(["first", "second", "third", "deferred"]);
  });

  test("runs before the event loop goes on to the next callback", async () => {
    const entries = await order((log) => {
      setImmediate(() => log("next callback"));
      denoRuntime.defer(() => log("deferred"));
    });
    expect(entries[0]).toBe("deferred");
  });

  test("runs tasks in order, and one deferred by a task in the same turn", async () => {
    const entries = await order((log) => {
      denoRuntime.defer(() => {
        log("a");
        denoRuntime.defer(() => log("c"));
      });
      denoRuntime.defer(() => log("b"));
    });
    expect(entries).toEqual(["a", "b", "c"]);
  });

  test("a task that throws does not take the next one with it", async () => {
    const listeners = process.listeners("uncaughtException");
    process.removeAllListeners("uncaughtException");
    const thrown = once(process, "uncaughtException");
    const second = new Promise<void>((resolve) => {
      denoRuntime.defer(() => {
        throw new Error("thrown by a deferred task");
      });
      denoRuntime.defer(resolve);
    });
    await second;
    expect((await thrown)[0]).toMatchObject({ message: "thrown by a deferred task" });
    for (const listener of listeners) process.on("uncaughtException", listener);
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
      denoRuntime.deflate(bytes("x")),
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
  const deflated = denoRuntime.deflate(data);
  const thrownBy = (action: () => unknown): unknown => {
    try {
      return action();
    } catch (error) {
      return error;
    }
  };

  test("returns what deflate was given, up to the limit exactly", () => {
    expect(denoRuntime.inflate(deflated, data.length)).toEqual(data);
  });

  test("refuses a stream that inflates to one byte more than the limit", () => {
    const error = thrownBy(() => denoRuntime.inflate(deflated, data.length - 1));
    expect(error).toMatchObject({ code: ErrorCode.INFLATED_TOO_LARGE });
    expect((error as Error).message).toContain(`limit of ${data.length - 1} bytes`);
  });

  test("takes an empty stream under a limit of 0, and nothing else", () => {
    expect(denoRuntime.inflate(deflateSync(new Uint8Array(0)), 0)).toHaveLength(0);
    expect(thrownBy(() => denoRuntime.inflate(deflateSync(Uint8Array.of(1)), 0))).toMatchObject({
      code: ErrorCode.INFLATED_TOO_LARGE,
    });
  });

  test.for([
    ["nothing", new Uint8Array(0)],
    ["bytes that are no zlib stream", bytes("hello, world")],
    ["a cut-off stream", deflated.subarray(0, deflated.length - 1)],
    ["a stream with a wrong checksum", Uint8Array.from([...deflated.subarray(0, -1), 0xff])],
    ["bytes behind the stream", Uint8Array.from([...deflated, 0])],
    ["two streams", Uint8Array.from([...deflated, ...deflated])],
  ] as const)("refuses %s", ([, input]) => {
    expect(thrownBy(() => denoRuntime.inflate(input, 1_000_000))).toMatchObject({ code: ErrorCode.INFLATE_FAILED });
  });
});

describe("timers", () => {
  test("a timer runs its task, and a cleared one does not", async () => {
    const ran: string[] = [];
    const cleared = denoRuntime.setTimer(() => ran.push("cleared"), 0, true);
    denoRuntime.clearTimer(cleared);
    await new Promise<void>((resolve) => void denoRuntime.setTimer(resolve, 1, true));
    expect(ran).toEqual([]);
  });

  test("only a timer with keepAlive keeps the process running", async () => {
    const ended = await Promise.all([
      program("setTimer(() => say('fired'), 50, false)"),
      program("setTimer(() => say('fired'), 50, true)"),
    ]);
    expect(ended).toEqual(["", "fired"]);
  });

  test("now never goes back and wallClock is in Unix milliseconds", () => {
    const before = denoRuntime.now();
    expect(denoRuntime.now()).toBeGreaterThanOrEqual(before);
    expect(Number.isSafeInteger(denoRuntime.wallClock())).toBe(true);
  });
});

describe("onTerminate", () => {
  test("passes the signal's name on until it is removed", async () => {
    const script = `
      const remove = onTerminate((signal) => {
        say(signal);
        remove();
        // Nobody listens any more: this one ends the process.
        setTimer(() => Deno.kill(Deno.pid, "SIGTERM"), 0, true);
        setTimer(() => say("still here"), 10_000, true);
      });
      Deno.kill(Deno.pid, "SIGTERM");
      setTimer(() => {}, 10_000, true);`;
    expect(await program(script)).toBe("SIGTERM");
  });
});

/** What a program prints that has the runtime's members and `say` in scope. */
async function program(script: string): Promise<string> {
  const source = `
    import { denoRuntime } from "@netconduit/deno";
    const { setTimer, onTerminate } = denoRuntime;
    const say = (text) => Deno.stdout.writeSync(new TextEncoder().encode(text));
    ${script}`;
  const file = fileURLToPath(new URL(`program-${randomUUID()}.mjs`, import.meta.url));
  await writeFile(file, source);
  try {
    return (await promisify(execFile)(Deno.execPath(), ["run", "-A", "--no-check", file]).catch((error) => error))
      .stdout;
  } finally {
    await rm(file);
  }
}
