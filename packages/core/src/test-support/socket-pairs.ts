import type { SocketOwner } from "../sockets/socket-owner.ts";

/** Capacity of one direction, like an operating system's buffer. */
export const PIPE_BYTES = 65_536;

export function coded(code: string): Error {
  return Object.assign(new Error(code), { code });
}

/** One direction of a connection. */
class Pipe {
  #held = new Uint8Array(0);
  #isEnded = false;
  #isBroken = false;
  #watchers: (() => void)[] = [];

  get isBroken(): boolean {
    return this.#isBroken;
  }

  get isOver(): boolean {
    return this.#isEnded && this.#held.length === 0;
  }

  /** @returns the number of bytes accepted */
  write(bytes: Uint8Array): number {
    if (this.#isBroken || this.#isEnded) throw coded("EPIPE");
    const taken = bytes.subarray(0, PIPE_BYTES - this.#held.length);
    const held = new Uint8Array(this.#held.length + taken.length);
    held.set(this.#held);
    held.set(taken, this.#held.length);
    this.#held = held;
    if (taken.length > 0) this.#changed();
    return taken.length;
  }

  /** @returns the number of bytes read, or null at the end */
  read(into: Uint8Array): number | null {
    const given = this.#held.subarray(0, into.length);
    if (given.length === 0) return this.#isEnded ? null : 0;
    into.set(given);
    this.#held = this.#held.slice(given.length);
    this.#changed();
    return given.length;
  }

  end(): void {
    this.#isEnded = true;
    this.#changed();
  }

  /** The reader has closed. */
  break(): void {
    this.#isBroken = true;
    this.#changed();
  }

  /** Resolves on the next change. */
  change(): Promise<void> {
    return new Promise((resolve) => this.#watchers.push(resolve));
  }

  #changed(): void {
    const watchers = this.#watchers;
    this.#watchers = [];
    for (const watcher of watchers) watcher();
  }
}

/** A socket whose reads and writes are promises, like Deno's. */
export class FakeAwaitedSocket {
  readonly #incoming: Pipe;
  readonly #outgoing: Pipe;
  #isClosed = false;

  constructor(incoming: Pipe, outgoing: Pipe) {
    this.#incoming = incoming;
    this.#outgoing = outgoing;
  }

  async read(into: Uint8Array): Promise<number | null> {
    for (;;) {
      if (this.#isClosed) throw coded("EBADF");
      const count = this.#incoming.read(into);
      if (count !== 0) return count;
      await this.#incoming.change();
    }
  }

  async write(bytes: Uint8Array): Promise<number> {
    for (;;) {
      if (this.#isClosed) throw coded("EBADF");
      const count = this.#outgoing.write(bytes);
      if (count !== 0) return count;
      await this.#outgoing.change();
    }
  }

  async closeWrite(): Promise<void> {
    this.#outgoing.end();
  }

  close(): void {
    this.#isClosed = true;
    this.#outgoing.end();
    this.#incoming.break();
  }
}

/** A socket that accepts writes in part and sends events to its owner, like Bun's. */
export class FakePartialSocket {
  owner: SocketOwner = {};
  readonly #incoming: Pipe;
  readonly #outgoing: Pipe;
  #isPaused = false;
  #isFull = false;
  #finSent = false;
  #endTold = false;
  #isClosed = false;

  constructor(incoming: Pipe, outgoing: Pipe) {
    this.#incoming = incoming;
    this.#outgoing = outgoing;
    void this.#run(incoming);
    void this.#run(outgoing);
  }

  write(bytes: Uint8Array): number {
    if (this.#isClosed) return -1;
    if (this.#outgoing.isBroken) {
      this.#fail(coded("EPIPE"));
      return -1;
    }
    const taken = this.#outgoing.write(bytes);
    this.#isFull = taken < bytes.length;
    return taken;
  }

  pause(): void {
    this.#isPaused = true;
  }

  resume(): void {
    this.#isPaused = false;
    void Promise.resolve().then(() => this.#look());
  }

  shutdown(): void {
    this.#finSent = true;
    this.#outgoing.end();
  }

  /** Closes normally. */
  close(): void {
    this.#close(true);
  }

  /** Closes with a reset. */
  terminate(): void {
    this.#close(false);
  }

  #close(mayFlush: boolean): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    if (mayFlush) this.#outgoing.end();
    else this.#outgoing.break();
    this.#incoming.break();
  }

  #fail(cause: Error): void {
    this.#isClosed = true;
    void Promise.resolve().then(() => this.owner.closed?.(cause));
  }

  async #run(pipe: Pipe): Promise<void> {
    while (!this.#isClosed) {
      await pipe.change();
      this.#look();
    }
  }

  #look(): void {
    if (!this.#isClosed && this.#incoming.isBroken) this.#fail(coded("ECONNRESET"));
    const into = new Uint8Array(16_384);
    while (!this.#isClosed && !this.#isPaused) {
      const count = this.#incoming.read(into);
      if (count === null || count === 0) break;
      this.owner.received?.(into.slice(0, count));
    }
    if (this.#isClosed) return;
    if (this.#isFull && !this.#finSent) {
      this.#isFull = false;
      this.owner.drained?.();
    }
    if (!this.#incoming.isOver || this.#isPaused) return;
    if (!this.#endTold) {
      this.#endTold = true;
      this.owner.ended?.();
    }
    if (this.#finSent && !this.#isClosed) {
      this.#isClosed = true;
      this.owner.closed?.();
    }
  }
}

/** Both ends of a connection. */
export function pairOf<S>(Socket: new (incoming: Pipe, outgoing: Pipe) => S): [S, S] {
  const [there, back] = [new Pipe(), new Pipe()];
  return [new Socket(back, there), new Socket(there, back)];
}
