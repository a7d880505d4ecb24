/** A program that tests start on any runtime: `program.ts <runtime> <role> [arguments]`. Prints one JSON value per line. */
import { appendFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { createInterface } from "node:readline";
import { type ConduitError, Client as CoreClient, Server as CoreServer } from "@netconduit/core";
import { testFile } from "../../packages/node/test-data/tls/files.ts";
import { subjectOf } from "../matrix/subject-of.ts";
import type { Subject } from "../support/subject.ts";
import { watchedFiles } from "../support/watched-files.ts";

const password = "secret123";
const host = "127.0.0.1";

type Role = (subject: Subject, ...args: string[]) => Promise<void>;

function print(value: unknown): void {
  console.log(JSON.stringify(value));
}

const roles: Readonly<Record<string, Role>> = {
  /** A connected server and client, neither of which keeps the process running. */
  async unref({ Server, Client }, isReferencedAgain) {
    const server = new Server({ host, port: 0, password, handleSignals: false }).unref();
    await server.start();
    const client = new Client({ host, port: server.address.port, password }).unref();
    await client.connect();
    print(client.isConnected && server.connectionCount === 1);
    if (isReferencedAgain === undefined) return;
    server.ref();
    client.ref();
    // Until this timer fires, only the connection keeps the process running.
    const timer = setTimeout(() => void stop(), 200);
    (timer as { unref?(): void }).unref?.();
    const stop = async (): Promise<void> => {
      print("still running");
      await client.disconnect();
      await server.stop();
    };
  },

  /** A server that prints its port and each error passed to `onError`. Runs until its input ends. */
  async serve({ Server }) {
    const server = new Server({ host, port: 0, password, handleSignals: false, maxConnections: 1000 });
    server.rpc("ping", () => "pong");
    server.onError((failure, { stage: where, count = 1 }) => {
      print({ stage: where, code: (failure as Partial<ConduitError>).codeName, message: failure.message, count });
    });
    await server.start();
    print(server.address.port);
    await new Promise((resolve) => process.stdin.resume().on("end", resolve));
    await server.stop({ drainMs: 0 });
  },

  /**
   * A server with its store in a folder. Each handler appends a line to the file `log` in this folder: its input, and
   * the number of times that it was started for this input. Prints its port. Runs until its input ends.
   */
  async keep({ Server, fileStore }, folder = "", port = "0") {
    const store = await fileStore(join(folder, "store.db"));
    const server = new Server({ host, port: Number(port), password, handleSignals: false, resume: { store } });
    const log = (...line: unknown[]): void => appendFileSync(join(folder, "log"), `${JSON.stringify(line)}\n`);
    server.on("plain", (_client, n) => log("plain", n));
    server.on("acknowledged", (_client, n, { delivery }) => log("acknowledged", n, delivery?.count));
    server.rpc("once", ({ n }) => {
      log("once", n);
      return n;
    });
    await server.start();
    print(server.address.port);
    await new Promise((resolve) => process.stdin.resume().on("end", resolve));
    await server.stop({ drainMs: 0 });
    await store.close();
  },

  /** Opens a store in a folder twice. Prints both results. Runs until its input ends. */
  async openTwice({ fileStore }, folder = "") {
    for (let time = 0; time < 2; time += 1) {
      const opened = fileStore(join(folder, "store.db"));
      await opened.then(
        () => print("open"),
        (failure: ConduitError) => print(failure.codeName),
      );
    }
    await new Promise((resolve) => process.stdin.resume().on("end", resolve));
    process.exit();
  },

  /** Serves a folder. Prints its port, and when its input ends, the number of bytes read from files and its memory usage. */
  async serveFiles({ runtime }, dir = "") {
    const files = watchedFiles(runtime);
    const server = new CoreServer({ host, port: 0, password, handleSignals: false }, files.runtime);
    server.files("box", { dir, upload: true, download: true });
    await server.start();
    print(server.address.port);
    await new Promise((resolve) => process.stdin.resume().on("end", resolve));
    await server.stop({ drainMs: 0 });
    print(files.bytesRead);
    print(process.memoryUsage().rss);
  },

  /**
   * Uploads a file, or continues an upload. Prints the result, the number of bytes read from files and its memory
   * usage.
   * @param pauseAt position at which reading the file stops forever
   */
  async uploadFile({ runtime }, port = "", path = "", pauseAt = "Infinity") {
    const files = watchedFiles(runtime, (position) => (position >= Number(pauseAt) ? new Promise(() => {}) : null));
    const client = new CoreClient({ host, port: Number(port), password }, files.runtime);
    await client.connect();
    const result = await client.files("box").upload(path, { resume: true });
    print({ ...result, read: files.bytesRead, rss: process.memoryUsage().rss });
    await client.disconnect();
  },

  /** Starts a server at each path in its input (one per line) and prints the result. The line "stop" stops the server. */
  async claim({ Server }) {
    print("ready");
    let stop = async (): Promise<void> => undefined;
    for await (const line of createInterface({ input: process.stdin })) {
      if (line === "stop") {
        await stop();
        print("stopped");
        continue;
      }
      const server = new Server({ path: line, password, handleSignals: false });
      server.rpc("ping", () => process.pid);
      stop = () => server.stop({ drainMs: 0 });
      try {
        await server.start();
        print({ code: "started" });
      } catch (failure) {
        print({ code: (failure as Partial<ConduitError>).codeName, message: (failure as Error).message });
      }
    }
  },

  /** A server that quickly disconnects a silent client. Prints its port and the reason for the client's disconnection. */
  async dropSilent({ Server }, transport) {
    const tls = transport === "tls" ? { cert: testFile("server.crt"), key: testFile("server.key") } : undefined;
    const heartbeat = { heartbeatIntervalMs: 200, heartbeatTimeoutMs: 1000 };
    const server = new Server({ host, port: 0, password, handleSignals: false, tls, ...heartbeat });
    const gone = new Promise<void>((resolve) => {
      server.onClientDisconnect((_connection, { codeName }) => {
        print(codeName);
        resolve();
      });
    });
    await server.start();
    print(server.address.port);
    await gone;
    await server.stop({ drainMs: 0 });
  },

  /** A client that prints when it has connected, and why its connection ended. */
  async beDropped({ Client }, transport, port) {
    const tls = transport === "tls" ? { ca: testFile("ca.crt") } : undefined;
    const client = new Client({ host, port: Number(port), password, tls, reconnect: { enabled: false } });
    const lost = new Promise<void>((resolve) => {
      client.onDisconnect((_client, { codeName }) => {
        print(codeName);
        resolve();
      });
    });
    await client.connect();
    print("connected");
    await lost;
  },

  /** Prints the number of 1,000-byte messages that a client sends within one tick before its queue is full. */
  async fillQueue({ Server, Client }) {
    const server = new Server({ host, port: 0, password, handleSignals: false });
    server.on("data", () => undefined);
    await server.start();
    const client = new Client({ host, port: server.address.port, password, sendQueueSize: 1000 });
    await client.connect();
    let sent = 0;
    try {
      for (;;) {
        client.send("data", new Uint8Array(1000));
        sent += 1;
      }
    } catch (failure) {
      print({ sent, code: (failure as Partial<ConduitError>).codeName });
    }
    await client.disconnect();
    await server.stop({ drainMs: 0 });
  },

  /** The last message reaches the server although nothing else keeps the process running while both sides close. */
  async unrefClosing({ Server, Client }) {
    const server = new Server({ host, port: 0, password, handleSignals: false });
    const received: unknown[] = [];
    server.on("last", (_connection: unknown, data: unknown) => void received.push(data));
    await server.start();
    const client = new Client({ host, port: server.address.port, password });
    await client.connect();
    server.unref();
    client.unref();
    client.send("last", "words");
    await client.disconnect();
    await server.stop();
    print([received, client.state, server.state]);
  },

  /** A client on which `unref` is called while it waits to reconnect. */
  async unrefReconnecting({ Server, Client }) {
    const server = new Server({ host, port: 0, password, handleSignals: false });
    await server.start();
    const reconnect = { delayMs: 600_000, maxDelayMs: 600_000, jitter: false };
    const client = new Client({ host, port: server.address.port, password, reconnect });
    await client.connect();
    const lost = new Promise<void>((resolve) => client.onDisconnect(() => resolve()));
    await server.stop();
    await lost;
    await new Promise((resolve) => setTimeout(resolve, 0));
    client.unref();
    print(client.state);
  },
};

const [runtime = "", role = "", ...args] = process.argv.slice(2);
await roles[role]?.(await subjectOf(runtime), ...args);
