import { hash, pbkdf2, randomFillSync } from "node:crypto";
import { promisify } from "node:util";
import * as zlib from "node:zlib";
import { makeRuntime, type Runtime } from "@netconduit/core/adapter";
import { transport } from "./transport.ts";

const deriveKey = promisify(pbkdf2);

/** Node.js as the core sees it. */
export const nodeRuntime: Runtime = makeRuntime({
  ...transport,
  name: "node",
  globals: globalThis,
  nextTick: process.nextTick,
  unrefTimer: (timer) => (timer as NodeJS.Timeout).unref(),
  // A single call instead of a `createHash` stream. A digest as text takes half the time of a Buffer.
  sha256: (data) => hash("sha256", data, "binary"),
  fillRandom: randomFillSync,
  pbkdf2Sha256: (password, salt, iterations) => deriveKey(password, salt, iterations, 32, "sha256"),
  zlib,
  allocate: Buffer.allocUnsafeSlow,
  // A socket converts anything but a Buffer on every write: a thousand times for a broadcast to a thousand clients.
  view: (bytes, start, end) => Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start),
  terminationSignals: ["SIGINT", "SIGTERM"],
  onSignal: (signal, listener) => process.on(signal, listener),
  offSignal: (signal, listener) => process.off(signal, listener),
  warn: (error) => process.emitWarning(error),
});
