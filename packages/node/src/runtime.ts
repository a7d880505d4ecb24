import { createHmac, hash, pbkdf2, randomBytes } from "node:crypto";
import { deflateSync, inflateSync } from "node:zlib";
import { ConduitError, ErrorCode, type Runtime, type TimerHandle } from "@netconduit/core/adapter";
import { connect } from "./connect.ts";
import { listen } from "./listen.ts";
import { codeOf } from "./node-error.ts";

/** Longest delay Node's timers know, some 24.8 days; a longer one would fire at once. */
const MAX_DELAY_MS = 2 ** 31 - 1;

/**
 * Tasks of the present turn. One hop serves them all, because a hop costs some 200 ns and a place in the list 12.
 *
 * The hop is a microtask that sets a tick. A tick alone (60 ns) would come too early when a socket's callback sets it:
 * ticks then run before the microtasks, so the replies of `async` handlers would miss the write that is gathered here.
 * A tick set by a microtask runs once no microtask is left. `setImmediate` would wait for the other sockets' reads.
 */
let deferred: (() => void)[] = [];

function hop(): void {
  process.nextTick(runDeferred);
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

/** Buffers are handed out as plain Uint8Arrays: their `slice` copies, as everywhere else. */
function plain(buffer: Buffer): Uint8Array {
  return new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.byteLength);
}

function inflate(bytes: Uint8Array, maxBytes: number): Uint8Array {
  // With `info` Node also returns the engine, which knows how much of the input was the stream.
  let result: { buffer: Buffer; engine: { bytesWritten: number } };
  try {
    // Node refuses a limit of 0; the check below keeps to it.
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

/** Node.js as the core sees it. */
export const nodeRuntime: Runtime = {
  name: "node",
  now: () => performance.now(),
  wallClock: () => Date.now(),
  defer,
  setTimer(task, delayMs, keepAlive): TimerHandle {
    const timer = setTimeout(task, Math.min(delayMs, MAX_DELAY_MS));
    if (!keepAlive) timer.unref();
    return timer;
  },
  clearTimer: (handle) => clearTimeout(handle as NodeJS.Timeout),
  crypto: {
    randomBytes: (count) => plain(randomBytes(count)),
    sha256: (data) => plain(hash("sha256", data, "buffer")),
    hmacSha256: (key, data) => plain(createHmac("sha256", key).update(data).digest()),
    pbkdf2Sha256: (password, salt, iterations) =>
      new Promise((resolve, reject) => {
        pbkdf2(password, salt, iterations, 32, "sha256", (error, key) => {
          if (error === null) resolve(plain(key));
          else reject(error);
        });
      }),
  },
  deflate: (bytes) => plain(deflateSync(bytes, { level: 6 })),
  inflate,
  connect,
  listen,
  warn: (error) => process.emitWarning(error),
  onTerminate(task) {
    const listener = (signal: string): void => task(signal);
    process.on("SIGINT", listener).on("SIGTERM", listener);
    return () => {
      process.off("SIGINT", listener).off("SIGTERM", listener);
    };
  },
};
