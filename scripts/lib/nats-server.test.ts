import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, expect, test, vi } from "vitest";
import { findNatsServer, isNewEnough } from "./nats-server.ts";

const folders: string[] = [];

afterEach(() => {
  vi.unstubAllEnvs();
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
});

/** Creates a program that reports this version. */
function programOf(version: string): string {
  const folder = mkdtempSync(join(tmpdir(), "netconduit-found-"));
  folders.push(folder);
  const path = join(folder, "nats-server");
  writeFileSync(path, `#!/bin/sh\necho "nats-server: v${version}"\n`);
  chmodSync(path, 0o755);
  return path;
}

test.each([
  ["2.9.25", false],
  ["2.10.29", false],
  ["2.11.0", true],
  ["2.15.3", true],
  ["3.0.0", true],
])("nats-server %s is new enough: %s", (version, expected) => {
  expect(isNewEnough(version)).toBe(expected);
});

test.skipIf(process.platform === "win32")("a nats-server that is too old isn't taken", async () => {
  vi.stubEnv("NATS_SERVER", programOf("2.9.25"));
  expect(await findNatsServer()).toBeNull();
});

test.skipIf(process.platform === "win32")("NATS_SERVER names the one to use", async () => {
  const path = programOf("2.15.3");
  vi.stubEnv("NATS_SERVER", path);
  expect(await findNatsServer()).toEqual({ path, version: "2.15.3" });
});
