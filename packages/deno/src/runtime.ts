import { AsyncResource } from "node:async_hooks";
import { createHash, createHmac, createSecretKey, hash } from "node:crypto";
import * as fileSystem from "node:fs/promises";
import * as path from "node:path";
import { nextTick } from "node:process";
import * as zlib from "node:zlib";
import { makeRuntime, nodeFiles, type Runtime } from "@netconduit/core/adapter";
import { pacedFiles } from "./paced-files.ts";
import { transport } from "./transport.ts";

const NOTHING = new Uint8Array(0);
const waitForThread = (): Promise<unknown> => crypto.subtle.digest("SHA-256", NOTHING);

/** Deno as the core sees it. */
export const denoRuntime: Runtime = makeRuntime({
  ...transport,
  name: "deno",
  globals: globalThis,
  nextTick,
  // After `setImmediate`, Deno looks at its sockets only every 61st time, so one busy connection would hold up the others
  // for 12 ms; `setTimeout` takes 2 ms. A thread takes 12 µs, and Deno looks at its sockets when nothing else is ready. The
  // first thread may have finished before the rest of this turn has: with a second one p50 beside a flood is 0.5 ms, not 13.
  // If both have finished early, the tick still lets the microtasks of this turn run first.
  nextTurn: (task) =>
    void waitForThread()
      .then(waitForThread)
      .then(() => nextTick(task)),
  readsOncePerTurn: true,
  unrefTimer: (timer) => Deno.unrefTimer(timer as number),
  AsyncResource,
  nodeCrypto: { hash, createHmac, createSecretKey },
  files: nodeFiles(pacedFiles(fileSystem), path, createHash),
  zlib,
  // Windows has no SIGTERM, and Deno throws on listening for it.
  terminationSignals: Deno.build.os === "windows" ? ["SIGINT"] : ["SIGINT", "SIGTERM"],
  onSignal: Deno.addSignalListener,
  offSignal: Deno.removeSignalListener,
  // biome-ignore lint/suspicious/noConsole: Deno has no channel for warnings, and `reportError` would end the process.
  warn: (error) => console.warn(error),
});
