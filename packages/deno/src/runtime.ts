import { createHmac, hash, randomBytes } from "node:crypto";
import { nextTick } from "node:process";
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

/**
 * The hop is a microtask that sets a tick: a tick alone would come before the microtasks when a timer's callback sets
 * it, a microtask alone before those that follow it, and `setImmediate` waits for other sockets' reads and takes twice
 * as long.
 */
const turnEnd: TurnEnd = new TurnEnd((run) => {
  const setTick = (): void => nextTick(run);
  return () => queueMicrotask(setTick);
});

type Bytes = Uint8Array<ArrayBuffer>;

// `node:crypto` digests a message in 2 µs and `crypto.subtle` in 50, but the latter derives a key 2.5 times as fast,
// off the main thread like the former.
async function pbkdf2Sha256(password: Uint8Array, salt: Uint8Array, iterations: number): Promise<Uint8Array> {
  const { subtle } = crypto;
  const key = await subtle.importKey("raw", password as Bytes, "PBKDF2", false, ["deriveBits"]);
  const parameters = { name: "PBKDF2", hash: "SHA-256", salt: salt as Bytes, iterations };
  return new Uint8Array(await subtle.deriveBits(parameters, key, 256));
}

/** Deno as the core sees it. */
export const denoRuntime: Runtime = {
  name: "deno",
  now: () => performance.now(),
  wallClock: () => Date.now(),
  defer: turnEnd.defer,
  setTimer(task, delayMs, keepAlive): TimerHandle {
    const timer = setTimeout(task, Math.min(delayMs, MAX_TIMER_MS));
    if (!keepAlive) Deno.unrefTimer(timer);
    return timer;
  },
  clearTimer: (handle) => clearTimeout(handle as number),
  crypto: {
    randomBytes: (count) => plainBytes(randomBytes(count)),
    sha256: (data) => plainBytes(hash("sha256", data, "buffer")),
    hmacSha256: (key, data) => plainBytes(createHmac("sha256", key).update(data).digest()),
    pbkdf2Sha256,
  },
  // There is no memory to be had that is not zeroed.
  allocate: (bytes) => new Uint8Array(bytes),
  view: (bytes, start, end) => bytes.subarray(start, end),
  deflate: (bytes) => plainBytes(deflateSync(bytes, { level: 6 })),
  inflate: (bytes, maxBytes) => boundedInflate(inflateSync as InflateSync, bytes, maxBytes),
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
