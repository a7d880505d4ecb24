/** The client process's commands: the same loops for every peer. */
import { once } from "node:events";
import { rm } from "node:fs/promises";
import { createConnection, type Socket } from "node:net";
import { join } from "node:path";
import { makeFile, newFolder } from "./bench-files.ts";
import { certificates } from "./certificates.ts";
import type {
  ClientCommands,
  ConnectArgs,
  FileArgs,
  Handlers,
  StreamArgs,
  StreamResult,
  TransferArgs,
  TransferResult,
  WatchResult,
} from "./commands.ts";
import { runLoad, runPaced } from "./load.ts";
import { cpuMs, MemoryWatch } from "./memory.ts";
import type { BenchClient, Peer } from "./peer.ts";
import { ITEM_TEXT, mark, pattern } from "./workload.ts";

/** Counts broadcasts on all clients. */
class Watcher {
  deliveries = 0;
  sum = 0;
  /** Deliveries until the next signal. */
  private missing = 0;
  private expected = 0;
  private socket: Socket | null = null;

  /** Starts sending a signal after every `expected` deliveries. */
  async expect(expected: number, signalPort: number): Promise<void> {
    this.expected = expected;
    this.missing = expected;
    if (this.socket !== null) return;
    this.socket = createConnection(signalPort, "127.0.0.1");
    this.socket.setNoDelay(true);
    this.socket.on("error", () => this.socket?.destroy());
    await once(this.socket, "connect");
  }

  received(n: number): void {
    this.deliveries++;
    this.sum += n;
    if (--this.missing === 0) {
      this.missing = this.expected;
      this.socket?.write("!");
    }
  }

  take(): WatchResult {
    const { deliveries, sum } = this;
    this.deliveries = 0;
    this.sum = 0;
    return { deliveries, sum };
  }
}

async function transfer(client: BenchClient, args: TransferArgs): Promise<TransferResult> {
  const { direction, bytes, inFlight, seconds } = args;
  const { upload, download } = client;
  if (upload === undefined || download === undefined) throw new Error("The peer has no binary messages");
  const payload = pattern(bytes);
  const expected = mark(payload);
  let messages = 0;
  let running = true;
  const one = direction === "upload" ? () => upload.call(client, payload) : () => download.call(client, bytes);
  const worker = async (): Promise<void> => {
    while (running) {
      const got = await one();
      if (got !== expected) throw new Error(`The ${direction} of ${bytes} bytes has mark ${got}, not ${expected}`);
      messages++;
    }
  };
  const started = performance.now();
  const timer = setTimeout(() => {
    running = false;
  }, seconds * 1000);
  try {
    await Promise.all(Array.from({ length: inFlight }, worker));
  } finally {
    running = false;
    clearTimeout(timer);
  }
  return { messages, seconds: (performance.now() - started) / 1000 };
}

async function readStream(client: BenchClient, { kind, seconds }: StreamArgs): Promise<StreamResult> {
  if (client.stream === undefined) throw new Error("The peer has no streams");
  let items = 0;
  let bytes = 0;
  let failure: Error | null = null;
  const started = performance.now();
  const end = await client.stream(kind, (item) => {
    if (item instanceof Uint8Array) bytes += item.length;
    else if (item.n !== items || item.text !== ITEM_TEXT) failure = new Error(`Item ${items} has number ${item.n}`);
    items++;
  });
  await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
  const result = { items, bytes, seconds: (performance.now() - started) / 1000 };
  await end();
  if (failure !== null) throw failure;
  return result;
}

/** Transfers files over one client. */
class FileMover {
  private folder: string | null = null;
  /** Digest of the last file sent. */
  private sha256 = "";

  async move(client: BenchClient, { direction, bytes }: FileArgs): Promise<{ seconds: number }> {
    const { sendFile, fetchFile } = client;
    if (sendFile === undefined || fetchFile === undefined) throw new Error("The peer has no files");
    this.folder ??= newFolder();
    const path = join(this.folder, direction);
    if (direction === "upload") this.sha256 = await makeFile(path, bytes);
    else await rm(path, { force: true });
    const started = performance.now();
    const hash = await (direction === "upload" ? sendFile : fetchFile).call(client, path);
    const seconds = (performance.now() - started) / 1000;
    const sha256 = typeof hash === "string" ? hash : await hash();
    if (sha256 !== this.sha256) throw new Error(`The ${direction} has the hash ${sha256}, not ${this.sha256}`);
    return { seconds };
  }

  async end(): Promise<void> {
    if (this.folder !== null) await rm(this.folder, { recursive: true });
    this.folder = null;
  }
}

export function clientCommands(peer: Peer): Handlers<ClientCommands> {
  const clients: BenchClient[] = [];
  const watched = new Set<BenchClient>();
  const subscribed = new Set<BenchClient>();
  const watcher = new Watcher();
  const mover = new FileMover();
  const memory = new MemoryWatch();

  const first = (): BenchClient => {
    const [client] = clients;
    if (client === undefined) throw new Error("No client is connected");
    return client;
  };

  return {
    async connect({ target, tls, maxPayloadBytes, count, concurrency }: ConnectArgs) {
      const options = { tls: tls ? certificates() : null, maxPayloadBytes };
      let left = count;
      const worker = async (): Promise<void> => {
        while (left-- > 0) clients.push(await peer.connect(target, options));
      };
      const started = performance.now();
      await Promise.all(Array.from({ length: Math.min(concurrency, count) }, worker));
      return { seconds: (performance.now() - started) / 1000 };
    },

    file: (args) => mover.move(first(), args),
    watchMemory: () => memory.start(),
    memoryGrowth: () => memory.growth(),

    async disconnect() {
      await mover.end();
      watched.clear();
      subscribed.clear();
      await Promise.all(clients.splice(0).map((client) => client.close()));
      return null;
    },

    async callEach() {
      for (const client of clients) {
        const sum = await client.call?.({ a: 1, b: 2 });
        if (sum !== undefined && sum !== 3) throw new Error(`1 + 2 came back as ${sum}`);
      }
      return null;
    },

    cpu: () => ({ cpuMs: cpuMs() }),
    load: (args) => runLoad(first(), args),
    paced: (args) => runPaced(first(), args),
    transfer: (args) => transfer(first(), args),
    stream: (args) => readStream(first(), args),
    async streamBothWays({ seconds }) {
      const client = first();
      const end = await client.streamUp?.();
      await readStream(client, { kind: "blocks", seconds });
      await end?.();
      return null;
    },
    async stallStreams({ count }) {
      const client = first();
      for (let n = 0; n < count; n++) await client.stallStream?.();
      return null;
    },

    async watch({ signalPort, perTurn, subscribers }) {
      if (subscribers !== undefined) {
        await watcher.expect(subscribers * perTurn, signalPort);
        for (const client of clients.slice(0, subscribers)) {
          if (subscribed.has(client)) continue;
          if (client.onTopic === undefined) throw new Error(`${peer.name} has no topics`);
          await client.onTopic(({ n }) => watcher.received(n));
          subscribed.add(client);
        }
        return null;
      }
      await watcher.expect(clients.length * perTurn, signalPort);
      for (const client of clients) {
        if (watched.has(client)) continue;
        if (client.onBroadcast === undefined) throw new Error(`${peer.name} has no broadcast`);
        await client.onBroadcast(({ n }) => watcher.received(n));
        watched.add(client);
      }
      return null;
    },
    watched: () => watcher.take(),
  };
}
