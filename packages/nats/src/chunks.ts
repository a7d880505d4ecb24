/**
 * Messages larger than NATS takes travel in chunks, each with a header: an id, which begins with the sender's link and a
 * colon, the chunk's number from 0, the number of chunks, and the bytes of the message. A node publishes the chunks of a
 * message one behind the other, so there is at most one unfinished message of each link.
 */

export const CHUNK_HEADER = "Netconduit-Chunk";
/** Room for a chunk's headers within NATS's limit, which includes them. */
const HEADER_BYTES = 256;
/** Unfinished messages, some of links that ended: the one that has got nothing for the longest time is dropped. */
const MAX_UNFINISHED = 100;
/** All of them take at most so many times the bytes of the largest message. */
const MAX_LARGEST = 8;

export interface Chunk {
  readonly header: string;
  readonly bytes: Uint8Array;
}

/** Cuts a message into chunks that NATS takes. */
export function* chunksOf(id: string, payload: Uint8Array, maxPayloadBytes: number): Generator<Chunk> {
  const size = Math.max(1, maxPayloadBytes - HEADER_BYTES);
  const count = Math.ceil(payload.length / size);
  for (let index = 0; index < count; index++) {
    const bytes = payload.subarray(index * size, (index + 1) * size);
    yield { header: `${id} ${index} ${count} ${payload.length}`, bytes };
  }
}

interface Unfinished {
  readonly id: string;
  /** Bytes of the whole message. */
  readonly total: number;
  /** Has room for `total` bytes at most. */
  bytes: Uint8Array;
  length: number;
  next: number;
}

const HEADER = /^(([^: ]+):\d+) (\d+) (\d+) (\d+)$/;

/** Puts messages together. */
export class ChunkAssembler {
  readonly #maxBytes: number;
  /** Called if a message can't be put together: chunks of it are missing, or it is too large. */
  readonly #lost: () => void;
  /** By link; those that got a chunk last come last. */
  readonly #unfinished = new Map<string, Unfinished>();
  /** Memory that they take. */
  #bytes = 0;

  constructor(maxBytes: number, lost: () => void) {
    this.#maxBytes = maxBytes;
    this.#lost = lost;
  }

  /** Takes a chunk. Returns the message if it was the last one. */
  add(header: string, chunk: Uint8Array): Uint8Array | null {
    const [, id, link, ...numbers] = HEADER.exec(header) ?? [];
    if (id === undefined || link === undefined) return this.#refuse();
    const [index = 0, count = 0, total = 0] = numbers.map(Number);
    let unfinished = this.#unfinished.get(link);
    if (index === 0) {
      if (unfinished !== undefined) this.#drop(link);
      if (total > this.#maxBytes) return this.#refuse();
      unfinished = { id, total, bytes: new Uint8Array(0), length: 0, next: 0 };
    }
    // The message was refused at its first chunk, or this node wasn't there yet.
    if (unfinished?.id !== id) return null;
    if (index !== unfinished.next || unfinished.length + chunk.length > unfinished.total) {
      this.#drop(link);
      return null;
    }
    this.#forget(link);
    append(unfinished, chunk);
    unfinished.next += 1;
    if (unfinished.next < count) {
      this.#unfinished.set(link, unfinished);
      this.#bytes += unfinished.bytes.length;
      this.#dropOldest();
      return null;
    }
    return unfinished.length < unfinished.total ? this.#refuse() : unfinished.bytes;
  }

  /** The connection is lost, and the missing chunks with it. */
  clear(): void {
    this.#unfinished.clear();
    this.#bytes = 0;
  }

  #refuse(): null {
    this.#lost();
    return null;
  }

  #forget(link: string): void {
    this.#bytes -= this.#unfinished.get(link)?.bytes.length ?? 0;
    this.#unfinished.delete(link);
  }

  #drop(link: string): void {
    this.#forget(link);
    this.#lost();
  }

  #dropOldest(): void {
    for (const link of this.#unfinished.keys()) {
      if (this.#unfinished.size <= MAX_UNFINISHED && this.#bytes <= MAX_LARGEST * this.#maxBytes) return;
      this.#drop(link);
    }
  }
}

/** Memory grows with the bytes that arrive, whatever total the first chunk claims. */
function append(unfinished: Unfinished, chunk: Uint8Array): void {
  const { total, bytes, length } = unfinished;
  const needed = length + chunk.length;
  if (needed > bytes.length) {
    unfinished.bytes = new Uint8Array(Math.min(total, 2 * needed));
    unfinished.bytes.set(bytes.subarray(0, length));
  }
  unfinished.bytes.set(chunk, length);
  unfinished.length = needed;
}
