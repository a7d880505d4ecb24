import type { Runtime } from "../runtime.ts";
import { MAX_TIMER_MS } from "../util/clock.ts";
import { boundedInflate, type InflateSync, plainBytes } from "./bounded-inflate.ts";
import { loginCrypto, type NodeCrypto } from "./login-crypto.ts";
import { TurnEnd } from "./turn-end.ts";

/** Globals of the web platform, which every runtime has: its `globalThis`. */
export interface PlatformGlobals {
  readonly performance: { now(): number };
  setTimeout(task: () => void, delayMs: number): unknown;
  clearTimeout(timer: unknown): void;
  setImmediate(task: () => void): unknown;
}

/** The part of `node:async_hooks`' `AsyncResource` that a runtime uses. */
export interface AsyncContext {
  runInAsyncScope<Args extends readonly unknown[], R>(task: (...args: Args) => R, self: undefined, ...args: Args): R;
}

export type TerminationSignal = "SIGINT" | "SIGTERM";

/** The parts of a {@link Runtime} that differ between runtimes. */
export interface RuntimePrimitives extends Pick<Runtime, "name" | "connect" | "listen" | "lookup" | "warn" | "files"> {
  readonly globals: PlatformGlobals;
  /** Called from a microtask: runs `task` after all microtasks, before more I/O. */
  nextTick(task: () => void): void;
  /** See {@link Runtime.nextTurn}. Default: `setImmediate`. */
  nextTurn?(task: () => void): void;
  /** See {@link Runtime.boundsReads}. */
  readonly boundsReads?: boolean;
  /** The timer no longer keeps the process running. */
  unrefTimer(timer: unknown): void;
  /** `AsyncResource` of `node:async_hooks`, which all runtimes have. */
  readonly AsyncResource: new (
    type: string,
  ) => AsyncContext;
  /** Whether a store set by `AsyncLocalStorage.enterWith` persists in an `AsyncResource`, for its later scopes. Default false. */
  readonly keepsEnteredStores?: boolean;
  /** `node:crypto`, which all runtimes have. */
  readonly nodeCrypto: NodeCrypto;
  /** `node:zlib`, which all runtimes have. The web's `DecompressionStream` cannot limit its output. */
  readonly zlib: {
    deflateSync(bytes: Uint8Array, options: { readonly level: number }): Uint8Array;
    readonly inflateSync: unknown;
  };
  /** Memory with any content. Default: zeroed memory. */
  allocate?(bytes: number): Uint8Array;
  /** See {@link Runtime.view}. Default: `subarray`. */
  view?(bytes: Uint8Array, start: number, end: number): Uint8Array;
  /** The termination signals of the system. */
  readonly terminationSignals: readonly TerminationSignal[];
  onSignal(signal: TerminationSignal, listener: () => void): void;
  offSignal(signal: TerminationSignal, listener: () => void): void;
}

/** Creates a runtime from its primitives. */
export function makeRuntime(primitives: RuntimePrimitives): Runtime {
  const { globals, zlib, allocate, terminationSignals } = primitives;
  // Captured, because fake timers replace the global one.
  const { setImmediate } = globals;
  const nextTurn = primitives.nextTurn ?? setImmediate;
  // Its methods run in the context of this call, which takes 10 ns on Node.js and Bun, and 230 on Deno.
  const ownContext = new primitives.AsyncResource("netconduit");
  const { AsyncResource } = primitives;
  const inNewContext = <A, B>(task: (a: A, b: B) => void, a: A, b: B): void =>
    new AsyncResource("netconduit").runInAsyncScope(task, undefined, a, b);
  // A tick set from the callback of a socket or timer runs before the microtasks, so the replies of `async` handlers
  // would miss this turn's write. A tick set from a microtask runs once no microtask is left. `setImmediate` would wait
  // for the reads of other sockets. A promise's job cannot be replaced by fake timers, as `queueMicrotask` is by Jest's.
  const settled = Promise.resolve();
  const turnEnd = new TurnEnd((run) => void settled.then(() => primitives.nextTick(run)));
  return {
    name: primitives.name,
    now: () => globals.performance.now(),
    wallClock: () => Date.now(),
    defer: (task) => turnEnd.defer(task),
    inOwnContext: primitives.keepsEnteredStores
      ? (task, a, b) =>
          ownContext.runInAsyncScope(inNewContext, undefined, task as (a: unknown, b: unknown) => void, a, b)
      : (task, a, b) => ownContext.runInAsyncScope(task, undefined, a, b),
    nextTurn: (task) => void ownContext.runInAsyncScope(nextTurn, undefined, task),
    boundsReads: primitives.boundsReads,
    setTimer(task, delayMs, keepAlive) {
      const set = (): unknown => globals.setTimeout(task, Math.min(delayMs, MAX_TIMER_MS));
      const timer = ownContext.runInAsyncScope(set, undefined);
      if (!keepAlive) primitives.unrefTimer(timer);
      return timer;
    },
    clearTimer: (timer) => globals.clearTimeout(timer),
    crypto: loginCrypto(primitives.nodeCrypto),
    files: primitives.files,
    allocate: allocate === undefined ? (bytes) => new Uint8Array(bytes) : (bytes) => plainBytes(allocate(bytes)),
    view: primitives.view ?? ((bytes, start, end) => bytes.subarray(start, end)),
    deflate: (bytes) => plainBytes(zlib.deflateSync(bytes, { level: 6 })),
    inflate: (bytes, maxBytes) => boundedInflate(zlib.inflateSync as InflateSync, bytes, maxBytes),
    lookup: (name, family) => ownContext.runInAsyncScope(primitives.lookup, undefined, name, family),
    connect: (target, signal) => ownContext.runInAsyncScope(primitives.connect, undefined, target, signal),
    listen: (target, events) => ownContext.runInAsyncScope(primitives.listen, undefined, target, events),
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
