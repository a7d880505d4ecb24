import { AsyncLocalStorage, AsyncResource } from "node:async_hooks";
import { createHmac, createSecretKey, hash } from "node:crypto";
import { nextTick } from "node:process";
import * as zlib from "node:zlib";
import { makeRuntime, type Runtime } from "@netconduit/core/adapter";
import { files } from "./files.ts";
import { keepingLargeMemory } from "./large-memory.ts";
import { transport } from "./transport.ts";

/**
 * Up to Node.js 23, and with `--no-async-context-frame`, `enterWith` changes the AsyncResource in whose scope it runs.
 * Each handler then gets an AsyncResource of its own, which takes 0.1 µs.
 */
function keepsEnteredStores(): boolean {
  const storage = new AsyncLocalStorage<boolean>();
  const resource = new AsyncResource("netconduit");
  resource.runInAsyncScope(() => storage.enterWith(true));
  const isKept = resource.runInAsyncScope(() => storage.getStore()) === true;
  storage.disable();
  return isKept;
}

/** Node.js as the core sees it. */
export const nodeRuntime: Runtime = makeRuntime({
  ...transport,
  name: "node",
  globals: globalThis,
  nextTick,
  unrefTimer: (timer) => (timer as NodeJS.Timeout).unref(),
  AsyncResource,
  keepsEnteredStores: keepsEnteredStores(),
  nodeCrypto: { hash, createHmac, createSecretKey },
  files,
  zlib,
  allocate: process.platform === "linux" ? keepingLargeMemory(Buffer.allocUnsafeSlow) : Buffer.allocUnsafeSlow,
  // A socket converts anything but a Buffer on every write: a thousand times for a broadcast to a thousand clients.
  view: (bytes, start, end) => Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start),
  terminationSignals: ["SIGINT", "SIGTERM"],
  onSignal: (signal, listener) => process.on(signal, listener),
  offSignal: (signal, listener) => process.off(signal, listener),
  warn: (error) => process.emitWarning(error),
});
