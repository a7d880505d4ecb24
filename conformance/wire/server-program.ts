/** This library's server under test, as described in README.md. */
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { type Identity, memoryStore, RpcError, type Store } from "@netconduit/core";
import * as v from "valibot";
import { mortalStore } from "../../packages/core/src/test-support/mortal-store.ts";
import { testFile } from "../../packages/node/test-data/tls/files.ts";
import type { OpenServer, Subject } from "../support/subject.ts";
import type { Check } from "./check.ts";
import { PASSWORD } from "./client-under-test.ts";
import type { ServerAddress, ServerUnderTest } from "./server-under-test.ts";

/** Sections whose checks need a server with a folder. */
const FILE_SECTIONS = ["Files", "Items of a file", "Uploads", "Downloads"];
/** Sections whose checks need a server with topics. */
const TOPIC_SECTIONS = ["Topics", "Closing", "Fatal errors"];

export interface RunningServer {
  readonly address: ServerAddress;
  stop(): Promise<void>;
}

/** Starts a server for one check. */
export async function startServer(subject: Subject, check: Check<ServerUnderTest>): Promise<RunningServer> {
  const pem = (name: string): Promise<string> => readFile(testFile(name), "utf8");
  const certificate = (tls: { readonly peerName: string | null }): Identity | null =>
    tls.peerName === "test client" ? { name: "wire" } : null;
  const process = check.store === true ? new StoredProcess() : null;
  const dir = FILE_SECTIONS.includes(check.section) ? await mkdtemp(join(tmpdir(), "nc-wire-")) : null;
  const start = async (port: number): Promise<OpenServer> => {
    const server: OpenServer = new subject.Server({
      password: PASSWORD,
      host: check.outside === true ? "0.0.0.0" : "127.0.0.1",
      port,
      scramIterations: 4096,
      ...(process === null ? { resume: true } : { resume: { store: process.begin() }, closeTimeoutMs: 100 }),
      ...(check.tls === undefined
        ? { authenticate: { token: identityOf } }
        : {
            authenticate: { token: identityOf, certificate },
            tls: { cert: testFile("server.crt"), key: testFile("server.key"), ca: testFile("ca.crt") },
          }),
      ...check.options,
    });
    server.onError(() => {});
    addHandlers(server);
    if (process !== null) server.rpc("wire_store", ({ fails }) => process.fail(fails === true));
    if (TOPIC_SECTIONS.includes(check.section) || check.tls === true) {
      const history = { messages: 100 };
      const authorize = ({ user }: { readonly user: { readonly name: string } }): { user?: string } =>
        user.name === "" ? {} : { user: user.name };
      server.topics("wire:*", { history, presence: true, authorize, publish: "subscribers" });
    }
    if (dir !== null) server.files("wire", { dir, upload: true, download: true, remove: true });
    // A server without this hook declines the extension `ready`.
    if (check.section === "READY") server.onClientConnect(() => {});
    await server.start();
    return server;
  };
  let server = await start(0);
  const at = { host: "127.0.0.1", port: server.address.port };
  const pair = async (name: string): Promise<{ cert: string; key: string }> => ({
    cert: await pem(`${name}.crt`),
    key: await pem(`${name}.key`),
  });
  const tls =
    check.tls === undefined
      ? {}
      : { tls: { ...at, ca: await pem("ca.crt"), known: await pair("client"), stranger: await pair("server") } };
  const restart = async (): Promise<void> => {
    process?.kill();
    await server.stop({ drainMs: 0 });
    server = await start(at.port);
  };
  return {
    address: {
      ...at,
      password: PASSWORD,
      stop: () => server.stop({ drainMs: 2000 }),
      ...tls,
      ...(process === null ? {} : { restart }),
    },
    async stop() {
      await server.stop({ drainMs: 0 });
      if (dir !== null) await rm(dir, { recursive: true });
    },
  };
}

/** A store that survives its servers, which end as by `kill -9`: their later writes don't reach it. */
class StoredProcess {
  readonly #store = memoryStore();
  #view = mortalStore(this.#store);
  #fails = false;

  /** Returns the store for the next server. */
  begin(): Store {
    this.#view = mortalStore(this.#store);
    this.fail(this.#fails);
    return this.#view;
  }

  /** Makes the store fail or work again, for the current and later servers. */
  fail(fails: boolean): void {
    this.#fails = fails;
    for (const method of ["get", "create", "put", "delete", "keys"] as const) {
      if (fails) this.#view.failing.add(method);
      else this.#view.failing.delete(method);
    }
  }

  kill(): void {
    this.#view.isDead = true;
  }
}

/** Adds the methods and handlers required by README.md. */
export function addHandlers(server: OpenServer): void {
  server.rpc("echo", (params) => params);
  server.stream({ name: "wire_echo", input: true }, (_params, context) => context.input);
  server.on("wire_echo", (_client, data) => data);
  server.rpc("wait", (_params, { signal }) => new Promise((resolve) => signal.addEventListener("abort", resolve)));
  const runs = new Map<string, number>();
  const ran = (key: string): number => {
    runs.set(key, (runs.get(key) ?? 0) + 1);
    return runs.get(key) ?? 0;
  };
  server.on("wire_fail", (_client, data) => {
    const { key } = data as { readonly key: string };
    throw new RpcError(1500, "It always fails", { details: { runs: ran(key) } });
  });
  server.rpc("wire_slow", async ({ key, ms }) => {
    const count = ran(String(key));
    await sleep(Number(ms), undefined, { ref: false });
    return { runs: count };
  });
  server.on("wire_slow", async (_client, data, { delivery }) => {
    const { key, ms } = data as { readonly key: string; readonly ms: number };
    ran(key);
    await sleep(ms, undefined, { ref: false });
    return { delivery: delivery?.count };
  });
  server.rpc("wire_runs", ({ key }) => runs.get(String(key)) ?? 0);
  server.rpc("wire_sum", v.object({ numbers: v.array(v.number()) }), ({ numbers }) =>
    numbers.reduce((sum, number) => sum + number, 0),
  );
  server.rpc("wire_refuse", ({ code }) => {
    throw new RpcError(Number(code), "It is refused");
  });
  server.rpc(
    { name: "wire_private", params: v.object({ number: v.number() }), roles: ["nobody has this role"] },
    ({ number }) => number,
  );
  const letters: { readonly key: string }[] = [];
  server.onDeadLetter((letter) => letters.push(letter));
  server.rpc("wire_dead_letters", ({ key }) => letters.filter((letter) => letter.key === key));
}

/** The token `wire:MS` identifies the user `wire` for this number of milliseconds. */
async function identityOf(token: string): Promise<Identity | null> {
  const [, ms] = /^wire:(\d+)$/.exec(token) ?? [];
  return ms === undefined ? null : { name: "wire", expiresAt: Date.now() + Number(ms) };
}
