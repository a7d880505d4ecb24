/**
 * File transfers over bare TCP. Both sides hash during the transfer; the file is on the disk when the answer arrives.
 * Request: `U` and the size, or `D` and eight bytes. The sender appends its hash in hex; the receiver of an upload
 * answers with its own.
 */
import { createHash, type Hash } from "node:crypto";
import { once } from "node:events";
import { createReadStream } from "node:fs";
import { open, stat } from "node:fs/promises";
import type { Socket } from "node:net";

const HEADER_BYTES = 9;
const HASH_BYTES = 64;
const READ_BYTES: number = 256 * 1024;

/** Reads exact numbers of bytes from a socket. */
class Reader {
  private readonly chunks: AsyncIterator<Buffer>;
  private rest: Buffer = Buffer.alloc(0);

  constructor(socket: Socket) {
    this.chunks = socket[Symbol.asyncIterator]();
  }

  /** Resolves with at most `most` bytes; null at the end. */
  async some(most: number): Promise<Buffer | null> {
    if (this.rest.length === 0) {
      const { done, value } = await this.chunks.next();
      if (done === true) return null;
      this.rest = value;
    }
    const some = this.rest.subarray(0, most);
    this.rest = this.rest.subarray(some.length);
    return some;
  }

  async exactly(bytes: number): Promise<Buffer> {
    const parts: Buffer[] = [];
    for (let left = bytes; left > 0; ) {
      const part = await this.some(left);
      if (part === null) throw new Error("The connection ended early");
      parts.push(part);
      left -= part.length;
    }
    return Buffer.concat(parts);
  }
}

async function sendFile(socket: Socket, path: string): Promise<string> {
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(path, { highWaterMark: READ_BYTES })) {
    hash.update(chunk);
    if (!socket.write(chunk)) await once(socket, "drain");
  }
  const digest = hash.digest("hex");
  socket.write(digest);
  return digest;
}

async function receiveFile(reader: Reader, size: number, path: string): Promise<string> {
  const hash: Hash = createHash("sha256");
  const file = await open(path, "w");
  try {
    let writing: Promise<unknown> = Promise.resolve();
    for (let left = size; left > 0; ) {
      const chunk = await reader.some(left);
      if (chunk === null) throw new Error("The connection ended early");
      left -= chunk.length;
      hash.update(chunk);
      await writing;
      writing = file.write(chunk);
    }
    await writing;
    await file.sync();
  } finally {
    await file.close();
  }
  const digest = hash.digest("hex");
  const sent = (await reader.exactly(HASH_BYTES)).toString();
  if (digest !== sent) throw new Error(`The file has the hash ${digest}, and was sent with ${sent}`);
  return digest;
}

function header(kind: "U" | "D", size: number): Buffer {
  const bytes = Buffer.alloc(HEADER_BYTES);
  bytes.write(kind);
  bytes.writeDoubleBE(size, 1);
  return bytes;
}

/** Serves a single file. */
export async function acceptFiles(socket: Socket, path: string): Promise<void> {
  const reader = new Reader(socket);
  for (;;) {
    const request = await reader.exactly(HEADER_BYTES);
    if (request.toString("latin1", 0, 1) === "U") {
      socket.write(await receiveFile(reader, request.readDoubleBE(1), path));
    } else {
      socket.write(header("D", (await stat(path)).size));
      await sendFile(socket, path);
    }
  }
}

export class FileClient {
  private readonly socket: Socket;
  private readonly reader: Reader;

  constructor(socket: Socket) {
    this.socket = socket;
    this.reader = new Reader(socket);
  }

  /** Returns the server's hash. */
  async upload(path: string): Promise<string> {
    this.socket.write(header("U", (await stat(path)).size));
    await sendFile(this.socket, path);
    return (await this.reader.exactly(HASH_BYTES)).toString();
  }

  /** Returns this side's hash. */
  async download(path: string): Promise<string> {
    this.socket.write(header("D", 0));
    const answer = await this.reader.exactly(HEADER_BYTES);
    return await receiveFile(this.reader, answer.readDoubleBE(1), path);
  }

  close(): void {
    this.socket.destroy();
  }
}
