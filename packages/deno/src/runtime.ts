import { AsyncResource } from "node:async_hooks";
import { createHmac, createSecretKey, hash } from "node:crypto";
import { nextTick } from "node:process";
import * as zlib from "node:zlib";
import { makeRuntime, type Runtime } from "@netconduit/core/adapter";
import { files } from "./files.ts";
import { transport } from "./transport.ts";
import { nextTurn } from "./turns.ts";

/** Deno as the core sees it. */
export const denoRuntime: Runtime = makeRuntime({
  ...transport,
  name: "deno",
  globals: globalThis,
  nextTick,
  nextTurn,
  boundsReads: true,
  unrefTimer: (timer) => Deno.unrefTimer(timer as number),
  AsyncResource,
  nodeCrypto: { hash, createHmac, createSecretKey },
  files,
  zlib,
  // Windows has no SIGTERM, and Deno throws on listening for it.
  terminationSignals: Deno.build.os === "windows" ? ["SIGINT"] : ["SIGINT", "SIGTERM"],
  onSignal: Deno.addSignalListener,
  offSignal: Deno.removeSignalListener,
  // biome-ignore lint/suspicious/noConsole: Deno has no channel for warnings, and `reportError` would end the process.
  warn: (error) => console.warn(error),
});
