import type { Runtime } from "../runtime.ts";
import { boundedInflate, type InflateSync, plainBytes } from "./bounded-inflate.ts";
import { type CryptoPrimitives, loginCrypto } from "./login-crypto.ts";
import { MAX_TIMER_MS, TurnEnd } from "./turn-end.ts";

/** Globals of the web platform, which every runtime has: its `globalThis`. */
export interface PlatformGlobals {
  readonly performance: { now(): number };
  setTimeout(task: () => void, delayMs: number): unknown;
  clearTimeout(timer: unknown): void;
  queueMicrotask(task: () => void): void;
}

export type TerminationSignal = "SIGINT" | "SIGTERM";

/** What a runtime has under a name of its own, or its own way to do. */
export interface RuntimePrimitives extends CryptoPrimitives, Pick<Runtime, "name" | "connect" | "listen" | "warn"> {
  readonly globals: PlatformGlobals;
  /** Runs `task` after the microtasks, before more I/O, if it is called by a microtask. */
  nextTick(task: () => void): void;
  /** From now on the timer does not keep the process running. */
  unrefTimer(timer: unknown): void;
  /** zlib, as `node:zlib` has it: the web's streams know no limit on what comes out. */
  readonly zlib: {
    deflateSync(bytes: Uint8Array, options: { readonly level: number }): Uint8Array;
    readonly inflateSync: unknown;
  };
  /** Memory with any content. Default: zeroed memory. */
  allocate?(bytes: number): Uint8Array;
  /** See {@link Runtime.view}. Default: `subarray`. */
  view?(bytes: Uint8Array, start: number, end: number): Uint8Array;
  /** The signals that the system has. */
  readonly terminationSignals: readonly TerminationSignal[];
  onSignal(signal: TerminationSignal, listener: () => void): void;
  offSignal(signal: TerminationSignal, listener: () => void): void;
}

/** A runtime made of what it has of its own. */
export function makeRuntime(primitives: RuntimePrimitives): Runtime {
  const { globals, zlib, allocate, terminationSignals } = primitives;
  // The hop is a microtask that sets a tick. A tick alone would come too early when a socket's or timer's callback sets
  // it: ticks then run before the microtasks, so the replies of `async` handlers would miss the write that is gathered
  // here. A tick set by a microtask runs once no microtask is left. What waits for a later phase of the event loop
  // (`setImmediate`) would wait for the other sockets' reads.
  const turnEnd = new TurnEnd((run) => {
    const setTick = (): void => primitives.nextTick(run);
    return () => globals.queueMicrotask(setTick);
  });
  return {
    name: primitives.name,
    now: () => globals.performance.now(),
    wallClock: () => Date.now(),
    defer: turnEnd.defer,
    setTimer(task, delayMs, keepAlive) {
      const timer = globals.setTimeout(task, Math.min(delayMs, MAX_TIMER_MS));
      if (!keepAlive) primitives.unrefTimer(timer);
      return timer;
    },
    clearTimer: (timer) => globals.clearTimeout(timer),
    crypto: loginCrypto(primitives),
    allocate: allocate === undefined ? (bytes) => new Uint8Array(bytes) : (bytes) => plainBytes(allocate(bytes)),
    view: primitives.view ?? ((bytes, start, end) => bytes.subarray(start, end)),
    deflate: (bytes) => plainBytes(zlib.deflateSync(bytes, { level: 6 })),
    inflate: (bytes, maxBytes) => boundedInflate(zlib.inflateSync as InflateSync, bytes, maxBytes),
    connect: primitives.connect,
    listen: primitives.listen,
    warn: primitives.warn,
    onTerminate(task) {
      const listeners = terminationSignals.map((signal) => [signal, (): void => task(signal)] as const);
      for (const [signal, listener] of listeners) primitives.onSignal(signal, listener);
      return () => {
        for (const [signal, listener] of listeners) primitives.offSignal(signal, listener);
      };
    },
  };
}
