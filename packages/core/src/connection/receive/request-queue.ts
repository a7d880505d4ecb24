import type { IncomingRequest } from "../../rpc/incoming-request.ts";
import { Fifo } from "../../util/fifo.ts";

/** A FIFO of requests and messages whose handlers haven't started; each can be removed. */
export class RequestQueue<Peer> {
  readonly #requests: Fifo<IncomingRequest<Peer>> = new Fifo();
  /** The requests in {@link #requests} that weren't removed. */
  readonly #waiting: Set<IncomingRequest<Peer>> = new Set();
  #bytes = 0;

  get length(): number {
    return this.#waiting.size;
  }

  /** Memory used by the requests, in bytes. */
  get bytes(): number {
    return this.#bytes;
  }

  push(request: IncomingRequest<Peer>): void {
    this.#requests.push(request);
    this.#waiting.add(request);
    this.#bytes += request.bytes;
  }

  shift(): IncomingRequest<Peer> | null {
    for (;;) {
      const request = this.#requests.shift();
      if (request === undefined) return null;
      if (this.delete(request)) return request;
    }
  }

  /** Removes a request. Returns false if it isn't queued. */
  delete(request: IncomingRequest<Peer>): boolean {
    if (!this.#waiting.delete(request)) return false;
    this.#bytes -= request.bytes;
    if (this.#waiting.size === 0) this.#requests.clear();
    return true;
  }

  clear(): void {
    this.#requests.clear();
    this.#waiting.clear();
    this.#bytes = 0;
  }

  [Symbol.iterator](): IterableIterator<IncomingRequest<Peer>> {
    return this.#waiting.values();
  }
}
