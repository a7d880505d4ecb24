import { createHash } from "node:crypto";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { bar } from "./files/bar.ts";
import { RUNTIMES } from "./lib/runtimes.ts";
import { on } from "./lib/test-support.ts";

function folder(): string {
  const path = mkdtempSync(join(tmpdir(), "nc-files-example-"));
  onTestFinished(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

describe.each(RUNTIMES)("the files example on %s", { timeout: 30_000 }, (runtime) => {
  const { startProgram, startServer } = on(runtime);

  test("puts a file, lists it and gets it, with a bar that ends at 100 %", async () => {
    const [there, here] = [folder(), folder()];
    const content = Buffer.alloc(3_000_000, "some text ");
    writeFileSync(join(here, "big.txt"), content);
    const { server, env } = await startServer("files/server.ts", { args: [there] });
    const put = startProgram("files/client.ts", { args: ["put", join(here, "big.txt")], env });
    await put.line(/^\[={30}\] 100 % of 2\.9 MiB, .+\/s$/);
    const sha256 = createHash("sha256").update(content).digest("hex");
    await put.line(new RegExp(`^big.txt: 3000000 bytes, 0 of them earlier, SHA-256 ${sha256}$`));
    await server.line(/^files-client sent big\.txt, 3000000 bytes$/);
    const list = startProgram("files/client.ts", { args: ["list"], env });
    await list.line(/^big\.txt \(3000000 bytes\)$/);
    const to = folder();
    const get = startProgram("files/client.ts", { args: ["get", "big.txt", to], env });
    expect(await get.ended).toEqual({ code: 0, signal: null });
    expect(readFileSync(join(to, "big.txt")).equals(content)).toBe(true);
    expect(readdirSync(there)).toEqual(["big.txt"]);
  });

  test("a file that isn't there ends the client with an error", async () => {
    const { env } = await startServer("files/server.ts", { args: [folder()] });
    const get = startProgram("files/client.ts", { args: ["get", "none.txt", folder()], env });
    expect(await get.ended).toEqual({ code: 1, signal: null });
  });
});

test("a bar shows what is done, how fast, and how long the rest takes", () => {
  const moving = {
    phase: "moving",
    bytes: 512,
    total: 1024,
    bytesPerSecond: 2048,
    etaMs: 1500,
    resumedFrom: 0,
  } as const;
  expect(bar(moving)).toBe(`[${"=".repeat(15).padEnd(30)}] 50 % of 1.0 KiB, 2.0 KiB/s, 2 s left`);
  expect(bar({ ...moving, phase: "checking", etaMs: null })).toMatch(/50 % of 1\.0 KiB, 2\.0 KiB\/s, checking$/);
  expect(bar({ ...moving, phase: "waiting", etaMs: null })).toMatch(/, waiting$/);
  expect(bar({ ...moving, total: null })).toBe("512 B, 2.0 KiB/s");
  expect(bar({ ...moving, bytes: 0, total: 0, etaMs: 0 })).toMatch(/100 % of 0 B/);
});
