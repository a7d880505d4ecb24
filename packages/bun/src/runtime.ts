import { AsyncResource } from "node:async_hooks";
import { createHash, createHmac, createSecretKey, hash } from "node:crypto";
import * as fileSystem from "node:fs/promises";
import * as path from "node:path";
import { nextTick } from "node:process";
import * as zlib from "node:zlib";
import { makeRuntime, nodeFiles, type Runtime } from "@netconduit/core/adapter";
import { transport } from "./transport.ts";

/** Bun as the core sees it. */
export const bunRuntime: Runtime = makeRuntime({
  ...transport,
  name: "bun",
  globals: globalThis,
  nextTick,
  unrefTimer: (timer) => (timer as NodeJS.Timeout).unref(),
  AsyncResource,
  nodeCrypto: { hash, createHmac, createSecretKey },
  files: nodeFiles(fileSystem, path, createHash),
  // `Bun.inflateSync` can't limit its output, and `Bun.deflateSync` writes no zlib header.
  zlib,
  allocate: (bytes) => Buffer.allocUnsafeSlow(bytes),
  terminationSignals: ["SIGINT", "SIGTERM"],
  onSignal: (signal, listener) => process.on(signal, listener),
  offSignal: (signal, listener) => process.off(signal, listener),
  warn: (error) => process.emitWarning(error),
});
