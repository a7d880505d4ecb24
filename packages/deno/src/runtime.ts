import { createHmac, hash, randomBytes } from "node:crypto";
import { nextTick } from "node:process";
import { deflateSync, inflateSync } from "node:zlib";
import { ConduitError, ErrorCode, type Runtime, type TimerHandle } from "@netconduit/core/adapter";
import { connect } from "./connect.ts";
import { codeOf } from "./deno-error.ts";
import { listen } from "./listen.ts";

/** Longest delay Deno's timers know, some 24.8 days; a longer one would fire at once. */
const MAX_DELAY_MS = 2 ** 31 - 1;

/**
 * Tasks of the present turn; one hop serves them all. The hop is a microtask that sets a tick: a tick alone would come
 * before the microtasks when a timer's callback sets it, a microtask alone before those that follow it, and
 * `setImmediate` waits for other sockets' reads and takes twice as long.
 */
let deferred: (() => void)[] = [];

function hop(): void {
  nextTick(runDeferred);
}

function runDeferred(): void {
  const tasks = deferred;
  deferred = [];
  let done = 0;
  try {
    while (done < tasks.length) (tasks[done++] as () => void)();
  } finally {
    // A task that throws must not take the others with it.
    if (done < tasks.length) for (const task of tasks.slice(done)) defer(task);
  }
}

function defer(task: () => void): void {
  if (deferred.push(task) === 1) queueMicrotask(hop);
}

type Bytes = Uint8Array<ArrayBuffer>;

/** Buffers are handed out as plain Uint8Arrays: their `slice` copies, as everywhere else. */
function plain(buffer: Uint8Array): Uint8Array {
  return new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.byteLength);
}

// `node:crypto` digests a message in 2 µs and `crypto.subtle` in 50, but the latter derives a key 2.5 times as fast,
// off the main thread like the former.
async function pbkdf2Sha256(password: Uint8Array, salt: Uint8Array, iterations: number): Promise<Uint8Array> {
  const { subtle } = crypto;
  const key = await subtle.importKey("raw", password as Bytes, "PBKDF2", false, ["deriveBits"]);
  const parameters = { name: "PBKDF2", hash: "SHA-256", salt: salt as Bytes, iterations };
  return new Uint8Array(await subtle.deriveBits(parameters, key, 256));
}

function inflate(bytes: Uint8Array, maxBytes: number): Uint8Array {
  // With `info` the engine is returned as well, which knows how much of the input was the stream.
  let result: { buffer: Uint8Array; engine: { bytesWritten: number } };
  try {
    // A limit of 0 is refused; the check below keeps to it.
    const options = { maxOutputLength: Math.max(maxBytes, 1), info: true };
    result = inflateSync(bytes, options) as unknown as typeof result;
  } catch (cause) {
    if (codeOf(cause) === "ERR_BUFFER_TOO_LARGE") throw tooLarge(bytes, maxBytes, cause);
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new ConduitError(ErrorCode.INFLATE_FAILED, `Cannot inflate ${bytes.length} bytes: ${reason}`, { cause });
  }
  const used = result.engine.bytesWritten;
  if (used !== bytes.length) {
    const message = `Cannot inflate ${bytes.length} bytes: the zlib stream ends after ${used}`;
    throw new ConduitError(ErrorCode.INFLATE_FAILED, message);
  }
  if (result.buffer.length > maxBytes) throw tooLarge(bytes, maxBytes);
  return plain(result.buffer);
}

function tooLarge(bytes: Uint8Array, maxBytes: number, cause?: unknown): ConduitError {
  const message = `Cannot inflate ${bytes.length} bytes: more than the limit of ${maxBytes} bytes would come out`;
  return new ConduitError(ErrorCode.INFLATED_TOO_LARGE, message, { cause });
}

/** Deno as the core sees it. */
export const denoRuntime: Runtime = {
  name: "deno",
  now: () => performance.now(),
  wallClock: () => Date.now(),
  defer,
  setTimer(task, delayMs, keepAlive): TimerHandle {
    const timer = setTimeout(task, Math.min(delayMs, MAX_DELAY_MS));
    if (!keepAlive) Deno.unrefTimer(timer);
    return timer;
  },
  clearTimer: (handle) => clearTimeout(handle as number),
  crypto: {
    randomBytes: (count) => plain(randomBytes(count)),
    sha256: (data) => plain(hash("sha256", data, "buffer")),
    hmacSha256: (key, data) => plain(createHmac("sha256", key).update(data).digest()),
    pbkdf2Sha256,
  },
  deflate: (bytes) => plain(deflateSync(bytes, { level: 6 })),
  inflate,
  connect,
  listen,
  // biome-ignore lint/suspicious/noConsole: Deno has no channel for warnings, and `reportError` would end the process.
  warn: (error) => console.warn(error),
  onTerminate(task) {
    // Windows knows no SIGTERM, and Deno throws when asked for it there.
    const signals = Deno.build.os === "windows" ? (["SIGINT"] as const) : (["SIGINT", "SIGTERM"] as const);
    const listeners = signals.map((signal) => [signal, (): void => task(signal)] as const);
    for (const [signal, listener] of listeners) Deno.addSignalListener(signal, listener);
    return () => {
      for (const [signal, listener] of listeners) Deno.removeSignalListener(signal, listener);
    };
  },
};
