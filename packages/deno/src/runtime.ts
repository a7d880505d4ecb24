import { AsyncResource } from "node:async_hooks";
import { createHash, createHmac, createSecretKey, hash } from "node:crypto";
import * as fileSystem from "node:fs/promises";
import * as path from "node:path";
import { nextTick } from "node:process";
import * as zlib from "node:zlib";
import { makeRuntime, nodeFiles, type Runtime } from "@netconduit/core/adapter";
import { pacedFiles } from "./paced-files.ts";
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
  files: nodeFiles(pacedFiles(fileSystem), path, createHash),
  zlib,
  // Windows has no SIGTERM, and Deno throws on listening for it.
  terminationSignals: Deno.build.os === "windows" ? ["SIGINT"] : ["SIGINT", "SIGTERM"],
  onSignal: Deno.addSignalListener,
  offSignal: Deno.removeSignalListener,
  // biome-ignore lint/suspicious/noConsole: Deno has no channel for warnings, and `reportError` would end the process.
  warn: (error) => console.warn(error),
});
