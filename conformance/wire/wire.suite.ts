import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Identity, RpcError } from "@netconduit/core";
import { describe, expect, test } from "vitest";
import type { Subject } from "../support/subject.ts";
import { clientChecks } from "./client-checks.ts";
import { addTopicMethods } from "./client-topics.ts";
import { ClientUnderTest, PASSWORD, type StartClient, TOKEN } from "./client-under-test.ts";
import { runCheck } from "./run-check.ts";
import { serverChecks } from "./server-checks.ts";
import { ServerUnderTest } from "./server-under-test.ts";

/** Longer than a check may take, which says more about what is missing. */
const PATIENT = { timeout: 60_000 };

/** Their servers need a folder. */
const FILE_SECTIONS = ["Files", "Items of a file", "Uploads", "Downloads"];

/** The sentences of PROTOCOL.md, checked on a runtime's server and client over TCP. None may be skipped. */
export function describeWire(subject: Subject): void {
  describe(`PROTOCOL.md on a server of ${subject.name}`, PATIENT, () => {
    for (const check of serverChecks) {
      test(`${check.section}: ${check.sentence}`, async () => {
        const options = { password: PASSWORD, host: "127.0.0.1", port: 0, scramIterations: 4096 };
        const server = new subject.Server({ ...options, resume: true, authenticate: { token: identityOf } });
        server.onError(() => {});
        server.rpc("echo", (params) => params);
        server.stream({ name: "wire_echo", input: true }, (_params, context) => context.input);
        server.rpc(
          "wait",
          (_params, { signal }) => new Promise((resolve) => signal.addEventListener("abort", resolve)),
        );
        const runs = new Map<string, number>();
        server.on("wire_fail", (_client, data) => {
          const { key } = data as { readonly key: string };
          runs.set(key, (runs.get(key) ?? 0) + 1);
          throw new RpcError(1500, "It always fails", { details: { runs: runs.get(key) } });
        });
        if (check.section === "Topics") {
          const history = { messages: 100 };
          server.topics("wire:*", { history, authorize: () => true, publish: "subscribers" });
        }
        const dir = FILE_SECTIONS.includes(check.section) ? await mkdtemp(join(tmpdir(), "nc-wire-")) : null;
        if (dir !== null) server.files("wire", { dir, upload: true, download: true, remove: true });
        // A server without such hooks declines the extension `ready`.
        if (check.section === "READY") server.onClientConnect(() => {});
        await server.start();
        const target = new ServerUnderTest({ host: "127.0.0.1", port: server.address.port, password: PASSWORD });
        const outcome = await runCheck(check, target);
        await server.stop({ drainMs: 0 });
        if (dir !== null) await rm(dir, { recursive: true });
        expect(outcome).toMatchObject({ result: "pass", reason: "" });
      });
    }
  });

  describe(`PROTOCOL.md on a client of ${subject.name}`, PATIENT, () => {
    for (const check of clientChecks) {
      test(`${check.section}: ${check.sentence}`, async () => {
        const outcome = await runCheck(check, new ClientUnderTest(starter(subject)));
        expect(outcome).toMatchObject({ result: "pass", reason: "" });
      });
    }
  });
}

/** The token `wire:MS` stands for the user `wire` for so many milliseconds. */
async function identityOf(token: string): Promise<Identity | null> {
  const [, ms] = /^wire:(\d+)$/.exec(token) ?? [];
  return ms === undefined ? null : { name: "wire", expiresAt: Date.now() + Number(ms) };
}

/** A client that acts as README.md says. */
function starter({ Client }: Subject): StartClient {
  return async (port, { resumes = false, token = false }) => {
    const login = token ? { credentials: () => ({ token: TOKEN }) } : { password: PASSWORD };
    const session = resumes
      ? { resume: true, reconnect: { delayMs: 1, maxDelayMs: 1 } }
      : { reconnect: { enabled: false } };
    const client = new Client({ ...login, host: "127.0.0.1", port, ...session });
    client.onError(() => {});
    client.rpc("echo", (params) => params);
    addTopicMethods(client);
    const run = async (): Promise<void> => {
      await client.connect();
      try {
        client.send("result", await client.call("echo", { text: "hello" }));
      } catch (error) {
        if (client.isConnected) client.send("error", { code: (error as { readonly code: number }).code });
      }
    };
    // Many checks refuse the login.
    const done = run().catch(() => {});
    return async () => {
      await client.disconnect();
      await done;
    };
  };
}
