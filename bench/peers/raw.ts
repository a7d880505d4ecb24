/**
 * The baseline: `node:net` with as little as possible on top. Calls are records of 59 bytes (the size of a call of
 * `add` in netconduit's frames) that are echoed in order; what a client writes in one turn leaves as one write. Nothing
 * is parsed, validated or assembled. Binary transfers have a connection of their own, to keep the echo simple.
 */

import { rm } from "node:fs/promises";
import type { Socket } from "node:net";
import { join } from "node:path";
import process from "node:process";
import { Fifo } from "../../packages/core/src/util/fifo.ts";
import { BatchWriter } from "../lib/batch-writer.ts";
import { newFolder } from "../lib/bench-files.ts";
import type { BenchClient, BenchServer, ClientOptions, Peer, ServerOptions, StreamKind, Target } from "../lib/peer.ts";
import { closePlain, connectPlain, startPlainServer } from "../lib/plain-server.ts";
import { acceptFiles, FileClient } from "../lib/raw-files.ts";
import { acceptTransfers, TransferClient } from "../lib/raw-transfer.ts";
import { type AddParams, BLOCK_BYTES, type News, servedBytes } from "../lib/workload.ts";

const RECORD_BYTES = 59;
/** Size of a broadcast in netconduit's frames. */
const NEWS_BYTES = 92;

/** Number of pending writes. */
const WRITES = 4;

function sendBlocks(socket: Socket): void {
  const more = (): void => {
    if (socket.writable) socket.write(servedBytes(BLOCK_BYTES), more);
  };
  for (let n = 0; n < WRITES; n++) more();
}

async function startServer({ tls }: ServerOptions): Promise<BenchServer> {
  const echo = await startPlainServer(tls, (socket) => {
    socket.on("data", (chunk) => socket.write(chunk));
  });
  const transfers = await startPlainServer(tls, acceptTransfers);
  const blocks = await startPlainServer(tls, sendBlocks);
  const folder = newFolder();
  const files = await startPlainServer(tls, (socket) => {
    acceptFiles(socket, join(folder, "file.bin")).catch(() => socket.destroy());
  });
  return {
    target: {
      ...echo.target,
      extra: {
        transferPort: String(transfers.target.port),
        blocksPort: String(blocks.target.port),
        filesPort: String(files.target.port),
      },
    },
    connectionCount: () => echo.sockets.size,
    broadcast({ n }) {
      const bytes = new Uint8Array(NEWS_BYTES);
      new DataView(bytes.buffer).setFloat64(0, n);
      for (const socket of echo.sockets) socket.write(bytes);
    },
    async close() {
      await echo.close();
      await transfers.close();
      await blocks.close();
      await files.close();
      await rm(folder, { recursive: true });
    },
  };
}

class RawClient implements BenchClient {
  private readonly socket: Socket;
  private readonly writer: BatchWriter;
  private readonly openTransfers: () => Promise<TransferClient>;
  private readonly openBlocks: () => Promise<Socket>;
  private transfers: Promise<TransferClient> | null = null;
  private readonly openFiles: () => Promise<FileClient>;
  private files: Promise<FileClient> | null = null;
  private readonly waiting: Fifo<(sum: number) => void> = new Fifo();
  /** The start of a record or broadcast that continues in the next chunk. */
  private rest: Buffer | null = null;
  private listener: ((news: News) => void) | null = null;

  constructor(
    socket: Socket,
    openTransfers: () => Promise<TransferClient>,
    openBlocks: () => Promise<Socket>,
    openFiles: () => Promise<FileClient>,
  ) {
    this.openFiles = openFiles;
    this.socket = socket;
    this.writer = new BatchWriter(socket);
    this.openTransfers = openTransfers;
    this.openBlocks = openBlocks;
    socket.on("data", (chunk: Buffer) => this.received(chunk));
  }

  call({ a, b }: AddParams): Promise<number> {
    return new Promise((resolve) => {
      const at = this.writer.reserve(RECORD_BYTES);
      this.writer.view.setUint32(at, a);
      this.writer.view.setUint32(at + 4, b);
      this.waiting.push(resolve);
    });
  }

  async onBroadcast(listener: (news: News) => void): Promise<void> {
    this.listener = listener;
  }

  async upload(bytes: Uint8Array): Promise<number> {
    return (await this.transferClient()).upload(bytes);
  }

  async download(length: number): Promise<number> {
    return (await this.transferClient()).download(length);
  }

  async stream(kind: StreamKind, received: (item: News | Uint8Array) => void): Promise<() => Promise<void>> {
    if (kind !== "blocks") throw new Error("raw is measured with blocks only");
    const socket = await this.openBlocks();
    socket.on("error", () => socket.destroy());
    socket.on("data", received);
    return async () => {
      socket.destroy();
    };
  }

  async sendFile(path: string): Promise<string> {
    this.files ??= this.openFiles();
    return (await this.files).upload(path);
  }

  async fetchFile(path: string): Promise<string> {
    this.files ??= this.openFiles();
    return (await this.files).download(path);
  }

  async streamUp(): Promise<() => Promise<void>> {
    let isRunning = true;
    const block = servedBytes(BLOCK_BYTES);
    const send = async (): Promise<void> => {
      while (isRunning) await this.upload(block);
    };
    const sending = Promise.all(Array.from({ length: WRITES }, send));
    return async () => {
      isRunning = false;
      await sending;
    };
  }

  async close(): Promise<void> {
    (await this.files)?.close();
    await (await this.transfers)?.close();
    await closePlain(this.socket);
  }

  private transferClient(): Promise<TransferClient> {
    this.transfers ??= this.openTransfers();
    return this.transfers;
  }

  private received(chunk: Buffer): void {
    const bytes = this.rest === null ? chunk : Buffer.concat([this.rest, chunk]);
    const { listener } = this;
    let at = 0;
    if (listener === null) {
      for (; at + RECORD_BYTES <= bytes.length; at += RECORD_BYTES) {
        this.waiting.shift()?.(bytes.readUInt32BE(at) + bytes.readUInt32BE(at + 4));
      }
    } else {
      for (; at + NEWS_BYTES <= bytes.length; at += NEWS_BYTES) {
        listener({ n: bytes.readDoubleBE(at), text: "" });
      }
    }
    this.rest = at === bytes.length ? null : bytes.subarray(at);
  }
}

async function connect(target: Target, { tls }: ClientOptions): Promise<BenchClient> {
  const transferTarget = { ...target, port: Number(target.extra?.["transferPort"]) };
  const filesTarget = { ...target, port: Number(target.extra?.["filesPort"]) };
  const blocksTarget = { ...target, port: Number(target.extra?.["blocksPort"]) };
  return new RawClient(
    await connectPlain(target, tls),
    async () => new TransferClient(await connectPlain(transferTarget, tls)),
    () => connectPlain(blocksTarget, tls),
    async () => new FileClient(await connectPlain(filesTarget, tls)),
  );
}

export const peer: Peer = {
  name: "raw",
  title: "raw node:net",
  usage:
    "The baseline: an echo of 59-byte records, a loop of `socket.write` over all sockets, and bytes that are counted " +
    "on arrival. Nothing is parsed, validated or assembled.",
  documentation: "https://nodejs.org/api/net.html",
  runtimes: { server: ["node", "bun", "deno"], client: ["node", "bun", "deno"] },
  mixed: false,
  lacks: { request: "an echo has no messages", methods: "an echo has no methods" },
  missing: async () => null,
  version: async () => process.version.slice(1),
  startServer,
  connect,
};
