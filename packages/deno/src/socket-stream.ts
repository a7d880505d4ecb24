import { type Ends, SocketStreamBase, type StreamFacts, tcpAddress, WriteQueue } from "@netconduit/core/adapter";
import { errors } from "./deno-error.ts";
import { ReadBuffer } from "./read-buffer.ts";

/**
 * A connected `Deno.Conn` (TLS: handshake done) as a byte stream: a loop that reads, and one that writes while there is
 * something to write.
 */
export class SocketStream extends SocketStreamBase {
  readonly #conn: Deno.Conn;
  readonly #queue: WriteQueue;
  readonly #buffer: ReadBuffer;
  #reading = false;
  #writing = false;
  #peerEnded = false;
  #finSent = false;

  constructor(conn: Deno.Conn, facts: StreamFacts) {
    super(facts, errors);
    this.#conn = conn;
    this.#queue = new WriteQueue(facts.highWaterMark);
    this.#buffer = new ReadBuffer(facts.highWaterMark);
  }

  get queuedBytes(): number {
    return this.#queue.queuedBytes;
  }

  write(bytes: Uint8Array): boolean {
    if (this.state !== "open") return false;
    this.#queue.push(bytes);
    if (!this.#writing) void this.#writeAll();
    return this.#queue.isFull ? this.mustWait() : true;
  }

  protected startReading(): void {
    if (!this.#reading && !this.#peerEnded) void this.#readAll();
  }

  protected stopReading(): void {
    // The loop looks for itself; what the read under way brings is held back.
  }

  protected shutDown(): void {
    if (!this.#writing) void this.#writeAll();
  }

  // Deno cannot send a reset: it has no SO_LINGER. The peer sees an ordinary end, or a reset when data of its own was
  // still unread here.
  protected discard(): void {
    this.#queue.clear();
    closeQuietly(this.#conn);
    this.finish();
  }

  /** Reads until told to pause. Neither starts nor delivers anything within the caller's turn. Never rejects. */
  async #readAll(): Promise<void> {
    this.#reading = true;
    try {
      await null;
      while (!this.paused && !this.#peerEnded && this.state !== "destroyed") {
        const landing = this.landing() as Uint8Array<ArrayBuffer> | null;
        const count = await this.#conn.read(landing ?? this.#buffer.room());
        if (count === null) this.#ended();
        else if (landing !== null) this.landed(count);
        else this.received(this.#buffer.take(count));
      }
    } catch (cause) {
      this.failed(cause);
    } finally {
      this.#reading = false;
    }
  }

  /** Writes what waits, one write at a time, then sends FIN if it is time to. Never rejects. */
  async #writeAll(): Promise<void> {
    this.#writing = true;
    const queue = this.#queue;
    try {
      for (let chunk = queue.peek(); chunk !== null; chunk = queue.peek()) {
        const taken = await this.#conn.write(chunk);
        if (this.state === "destroyed") return;
        queue.consume(taken);
        if (queue.isEmpty) this.drained();
      }
      if (this.state !== "ending" || this.#finSent) return;
      await this.#conn.closeWrite();
      this.#finSent = true;
      if (this.#peerEnded) this.#bothEnded();
    } catch (cause) {
      this.failed(cause);
    } finally {
      this.#writing = false;
    }
  }

  #ended(): void {
    this.#peerEnded = true;
    this.ended();
    if (this.#finSent) this.#bothEnded();
  }

  #bothEnded(): void {
    closeQuietly(this.#conn);
    this.finish();
  }
}

/** Both ends of a TCP (or TLS) connection; null for a Unix socket's. */
export function endsOf({ localAddr, remoteAddr }: Deno.Conn): Ends | null {
  if (!("hostname" in localAddr && "hostname" in remoteAddr)) return null;
  return {
    local: tcpAddress(localAddr.hostname, localAddr.port),
    remote: tcpAddress(remoteAddr.hostname, remoteAddr.port),
  };
}

/** Closes a connection that Deno may have closed already. */
export function closeQuietly(conn: Deno.Conn): void {
  try {
    conn.close();
  } catch {
    // It had: just as well.
  }
}
