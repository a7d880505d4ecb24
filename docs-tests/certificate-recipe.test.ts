import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { codeBlocks } from "./lib/markdown.ts";
import { runProgram } from "./lib/run-program.ts";
import { RUNTIMES, type RuntimeName } from "./lib/runtimes.ts";

const version = spawnSync("openssl", ["version"], { encoding: "utf8" }).stdout ?? "";

/** The command in the guide's section on TLS. */
function recipe(): string {
  const block = codeBlocks("docs/guide.md").find(({ heading, language }) => heading === "TLS" && language === "bash");
  return block?.code ?? "";
}

/** Starts a server with `server.crt` from `folder`, and connects with the same file as `tls.ca`. */
function program(runtime: RuntimeName, folder: string): string {
  const file = (name: string): string => JSON.stringify(join(folder, name));
  return `import { Client, ConduitError, Server } from "@netconduit/${runtime}";
const tls = { cert: ${file("server.crt")}, key: ${file("server.key")} };
const server = new Server({ password: "secret123", host: "127.0.0.1", port: 0, tls });
await server.start();
for (const host of ["localhost", "127.0.0.1"]) {
  const client = new Client({ host, port: server.address.port, password: "secret123", tls: { ca: tls.cert } });
  await client.connect().then(
    () => console.log(host, "connected"),
    (failure: unknown) => console.log(host, failure instanceof ConduitError && failure.codeName, String(failure)),
  );
  await client.disconnect();
}
await server.stop();
`;
}

describe.runIf(/^OpenSSL 3/.test(version))(
  "the certificate that the guide's command makes",
  { timeout: 60_000 },
  () => {
    let asShown: string;
    /** Folder of a certificate made without CA:FALSE. */
    let ofCa: string;

    beforeAll(() => {
      [asShown = "", ofCa = ""] = ["shown", "ca"].map((name) => mkdtempSync(join(tmpdir(), `netconduit-${name}-`)));
      execFileSync("sh", ["-c", recipe()], { cwd: asShown, stdio: "pipe" });
      const usual = recipe().replace(/ -addext basicConstraints=CA:FALSE/, "");
      expect(usual).not.toBe(recipe());
      execFileSync("sh", ["-c", usual], { cwd: ofCa, stdio: "pipe" });
    });

    afterAll(() => {
      for (const folder of [asShown, ofCa]) rmSync(folder, { recursive: true, force: true });
    });

    const connected = "localhost connected\n127.0.0.1 connected\n";
    const run = async (runtime: RuntimeName, folder: string): Promise<string> => {
      const { stdout, stderr } = await runProgram(program(runtime, folder), { runtime, permissions: ["--allow-all"] });
      expect(stderr).toBe("");
      return stdout;
    };

    test.each(RUNTIMES)("is a server's tls.cert and its clients' tls.ca on %s", async (runtime) => {
      expect(await run(runtime, asShown)).toBe(connected);
    });

    test.each(RUNTIMES)("without CA:FALSE is what RUNTIMES.md says of it on %s", async (runtime) => {
      const printed = await run(runtime, ofCa);
      if (runtime !== "deno") expect(printed).toBe(connected);
      else expect(printed).toMatch(/^localhost TLS_UNTRUSTED .*make it with basicConstraints=CA:FALSE/);
    });
  },
);
