/** Bulk transfers over a bare socket: `[kind, length]`, then the bytes. The receiver reads three of them and keeps none. */
import type { Socket } from "node:net";
import { Fifo } from "../../packages/core/src/util/fifo.ts";
import { closePlain } from "./plain-server.ts";
import { servedBytes } from "./workload.ts";

const UPLOAD = 1;
const DOWNLOAD = 2;
const HEAD_BYTES = 5;
const MARK_BYTES = 8;

/** Computes `mark` of bytes that arrive in chunks, without keeping them. */
class MarkOfChunks {
  private readonly length: number;
  private received = 0;
  private sample = 0;

  constructor(length: number) {
    this.length = length;
  }

  get complete(): boolean {
    return this.received === this.length;
  }

  get mark(): number {
    return this.length * 0x100_0000 + this.sample;
  }

  /** Consumes its part of `chunk` from `at`; returns the end of that part. */
  push(chunk: Uint8Array, at: number): number {
    const count = Math.min(chunk.length - at, this.length - this.received);
    this.look(chunk, at, count, 0, 0x1_0000);
    this.look(chunk, at, count, this.length >>> 1, 0x100);
    this.look(chunk, at, count, this.length - 1, 1);
    this.received += count;
    return at + count;
  }

  private look(chunk: Uint8Array, at: number, count: number, position: number, weight: number): void {
    const offset = position - this.received;
    if (offset >= 0 && offset < count) this.sample += (chunk[at + offset] as number) * weight;
  }
}

/** Assembles pieces of a fixed size from chunks. */
class Piece {
  private readonly bytes: Buffer;
  private filled = 0;

  constructor(size: number) {
    this.bytes = Buffer.alloc(size);
  }

  /** Consumes bytes of `chunk` from `at`; returns the end of that part. */
  push(chunk: Buffer, at: number): number {
    const end = Math.min(chunk.length, at + this.bytes.length - this.filled);
    this.filled += chunk.copy(this.bytes, this.filled, at, end);
    return end;
  }

  /** Returns the piece and starts the next one if it is complete, else null. */
  take(): Buffer | null {
    if (this.filled < this.bytes.length) return null;
    this.filled = 0;
    return this.bytes;
  }
}

/** The server's side of a connection. */
export function acceptTransfers(socket: Socket): void {
  const head = new Piece(HEAD_BYTES);
  let upload: MarkOfChunks | null = null;
  const finish = ({ mark }: MarkOfChunks): void => {
    const reply = Buffer.allocUnsafe(MARK_BYTES);
    reply.writeDoubleBE(mark);
    socket.write(reply);
    upload = null;
  };
  const begin = (bytes: Buffer): void => {
    const length = bytes.readUInt32BE(1);
    if (bytes[0] === UPLOAD) upload = new MarkOfChunks(length);
    else socket.write(servedBytes(length));
  };
  socket.on("data", (chunk: Buffer) => {
    let at = 0;
    while (at < chunk.length) {
      if (upload === null) {
        at = head.push(chunk, at);
        const whole = head.take();
        if (whole !== null) begin(whole);
      } else {
        at = upload.push(chunk, at);
        if (upload.complete) finish(upload);
      }
    }
  });
}

interface Waiting {
  /** The bytes of a download; null for the mark of an upload. */
  readonly download: MarkOfChunks | null;
  resolve(mark: number): void;
}

/** The client's side. */
export class TransferClient {
  private readonly socket: Socket;
  private readonly waiting: Fifo<Waiting> = new Fifo();
  private current: Waiting | undefined;
  private readonly reply: Piece = new Piece(MARK_BYTES);

  constructor(socket: Socket) {
    this.socket = socket;
    socket.on("data", (chunk: Buffer) => this.received(chunk));
  }

  upload(bytes: Uint8Array): Promise<number> {
    return new Promise((resolve) => {
      this.waiting.push({ download: null, resolve });
      this.socket.cork();
      this.socket.write(headOf(UPLOAD, bytes.length));
      this.socket.write(bytes);
      this.socket.uncork();
    });
  }

  download(length: number): Promise<number> {
    return new Promise((resolve) => {
      this.waiting.push({ download: new MarkOfChunks(length), resolve });
      this.socket.write(headOf(DOWNLOAD, length));
    });
  }

  close(): Promise<void> {
    return closePlain(this.socket);
  }

  private received(chunk: Buffer): void {
    let at = 0;
    while (at < chunk.length) {
      this.current ??= this.waiting.shift();
      if (this.current === undefined) throw new Error("Received bytes that weren't requested");
      const { download, resolve } = this.current;
      let mark: number | null = null;
      if (download === null) {
        at = this.reply.push(chunk, at);
        mark = this.reply.take()?.readDoubleBE() ?? null;
      } else {
        at = download.push(chunk, at);
        if (download.complete) mark = download.mark;
      }
      if (mark === null) continue;
      this.current = undefined;
      resolve(mark);
    }
  }
}

function headOf(kind: number, length: number): Buffer {
  const head = Buffer.allocUnsafe(HEAD_BYTES);
  head[0] = kind;
  head.writeUInt32BE(length, 1);
  return head;
}
