import { pbkdf2 } from "node:crypto";
import { deflateSync, inflateSync } from "node:zlib";
import {
  boundedInflate,
  type InflateSync,
  MAX_TIMER_MS,
  plainBytes,
  type Runtime,
  type TimerHandle,
  TurnEnd,
} from "@netconduit/core/adapter";
import { connect } from "./connect.ts";
import { listen } from "./listen.ts";
import { hmacSha256, sha256, takeRandomBytes } from "./login-crypto.ts";

/**
 * The hop is a microtask that sets a tick. A tick alone (60 ns) would come too early when a socket's callback sets it:
 * ticks then run before the microtasks, so the replies of `async` handlers would miss the write that is gathered here.
 * A tick set by a microtask runs once no microtask is left. `setImmediate` would wait for the other sockets' reads.
 */
const turnEnd: TurnEnd = new TurnEnd((run) => {
  const setTick = (): void => process.nextTick(run);
  return () => queueMicrotask(setTick);
});

/** Node.js as the core sees it. */
export const nodeRuntime: Runtime = {
  name: "node",
  now: () => performance.now(),
  wallClock: () => Date.now(),
  defer: turnEnd.defer,
  setTimer(task, delayMs, keepAlive): TimerHandle {
    const timer = setTimeout(task, Math.min(delayMs, MAX_TIMER_MS));
    if (!keepAlive) timer.unref();
    return timer;
  },
  clearTimer: (handle) => clearTimeout(handle as NodeJS.Timeout),
  crypto: {
    randomBytes: takeRandomBytes,
    sha256,
    hmacSha256,
    pbkdf2Sha256: (password, salt, iterations) =>
      new Promise((resolve, reject) => {
        pbkdf2(password, salt, iterations, 32, "sha256", (error, key) => {
          if (error === null) resolve(plainBytes(key));
          else reject(error);
        });
      }),
  },
  allocate: (bytes) => plainBytes(Buffer.allocUnsafeSlow(bytes)),
  // A socket makes a Buffer of everything else, for each write: a thousand for a broadcast to a thousand clients.
  view: (bytes, start, end) => Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start),
  deflate: (bytes) => plainBytes(deflateSync(bytes, { level: 6 })),
  inflate: (bytes, maxBytes) => boundedInflate(inflateSync as InflateSync, bytes, maxBytes),
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
