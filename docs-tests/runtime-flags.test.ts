/** Flags of Bun and Deno that RUNTIMES.md describes. */
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { describe, expect, test } from "vitest";
import { testFile } from "../packages/node/test-data/tls/files.ts";
import { freePort } from "../scripts/lib/free-port.ts";
import { codeBlocks, ROOT } from "./lib/markdown.ts";
import { runProgram } from "./lib/run-program.ts";
import { executable } from "./lib/runtimes.ts";

/** Runs processes, possibly on a busy machine. */
const SLOW = { timeout: 120_000 };
const FILE = "RUNTIMES.md";

describe("a client on Deno whose `tls.ca` didn't issue the server's certificate", SLOW, () => {
  const pem = (name: string): string => JSON.stringify(readFileSync(testFile(name), "utf8"));
  const program = `
import { Client, ConduitError, Server } from "@netconduit/deno";

const password = "secret123";
const tls = { cert: ${pem("server.crt")}, key: ${pem("server.key")} };
const server = new Server({ password, host: "127.0.0.1", port: 0, tls });
await server.start();
const client = new Client({ password, host: "127.0.0.1", port: server.address.port, tls: { ca: ${pem("other-ca.crt")} } });
const outcome = client.connect().then(() => "connected", (error) => (error as ConduitError).codeName);
console.log(await outcome);
await client.disconnect();
await server.stop();
`;

  test.each([
    [[], "TLS_UNTRUSTED"],
    [["--unsafely-ignore-certificate-errors"], "connected"],
  ])("with the flags %j: %s", async (flags, outcome) => {
    const run = await runProgram(program, { runtime: "deno", permissions: ["--allow-net=127.0.0.1", ...flags] });
    expect(run).toMatchObject({ code: 0, stdout: `${outcome}\n` });
  });
});

/** A program that runs under `bun --hot` or `bun --watch`, and its lines of output. */
class HotProgram {
  readonly #flag: string;
  readonly #folder = mkdtempSync(join(ROOT, "docs-tests", "hot-"));
  readonly #path = join(this.#folder, "program.ts");
  #child: ReturnType<typeof spawn> | null = null;
  #lines: AsyncIterator<string> | null = null;

  constructor(flag = "--hot") {
    this.#flag = flag;
  }

  write(code: string): void {
    writeFileSync(this.#path, code);
  }

  /** Resolves with the next line of either output that shows the server's state. */
  async outcome(): Promise<string> {
    this.#lines ??= this.#start();
    for (;;) {
      const next = await this.#lines.next();
      if (next.done === true) throw new Error("The program ended");
      const outcome = /run \d listens|ADDRESS_IN_USE|error: .*/.exec(next.value);
      if (outcome !== null) return outcome[0];
    }
  }

  #start(): AsyncIterator<string> {
    const args = [
      this.#flag,
      `--tsconfig-override=${join(ROOT, "packages/bun/conformance/tsconfig.json")}`,
      this.#path,
    ];
    const child = spawn("sh", ["-c", 'exec "$@" 2>&1', "sh", executable("bun"), ...args], { cwd: ROOT });
    this.#child = child;
    return createInterface(child.stdout)[Symbol.asyncIterator]();
  }

  [Symbol.dispose](): void {
    this.#child?.kill("SIGKILL");
    rmSync(this.#folder, { recursive: true });
  }
}

describe.runIf(process.platform !== "win32")("`bun --hot`", SLOW, () => {
  const block = codeBlocks(FILE).find(({ heading, code }) => heading === "On Bun" && code.includes("globalThis"));
  /** The documentation's server, on a port chosen by the first run. */
  const program = (run: number): string =>
    `${(block?.code ?? "").replace("port: 8080", 'host: "127.0.0.1", port: Number(process.env.HOT_PORT ?? 0)')}
process.env.HOT_PORT = String(kept.server.address.port);
console.log("run ${run} listens");
`;

  test("starts the server again if the former one is stopped first, as RUNTIMES.md shows, and else fails", async () => {
    using hot = new HotProgram();
    hot.write(program(1));
    expect(await hot.outcome()).toBe("run 1 listens");
    hot.write(program(2));
    expect(await hot.outcome()).toBe("run 2 listens");
    hot.write(program(3).replace("await kept.server?.stop();\n", ""));
    expect(await hot.outcome()).toBe("ADDRESS_IN_USE");
  });

  test("needs that because it keeps the process: `bun --watch` starts another one, whose server may have the port", async () => {
    using watched = new HotProgram("--watch");
    const port = await freePort();
    const code = (run: number): string =>
      program(run)
        .replace("await kept.server?.stop();\n", "")
        .replace("Number(process.env.HOT_PORT ?? 0)", String(port));
    watched.write(code(1));
    expect(await watched.outcome()).toBe("run 1 listens");
    watched.write(code(2));
    expect(await watched.outcome()).toBe("run 2 listens");
  });
});
