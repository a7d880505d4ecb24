/**
 * Splits messages that exceed NATS's limit into chunks. Each chunk has a header: an id (the sender's link, a colon
 * and a number), the chunk's index from 0, the number of chunks, and the message's total bytes. A node publishes the
 * chunks of a message consecutively, so each link has at most one incomplete message.
 */

export const CHUNK_HEADER = "Netconduit-Chunk";
/** Bytes reserved for a chunk's headers, which count towards NATS's limit. */
const HEADER_BYTES = 256;
/** Limit of incomplete messages, including those of ended links. The least recently extended one is dropped. */
const MAX_UNFINISHED = 100;
/** Limit of their total size, as a multiple of the largest message. */
const MAX_LARGEST = 8;

export interface Chunk {
  readonly header: string;
  readonly bytes: Uint8Array;
}

/** Splits a message into chunks within NATS's limit. */
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
  /** The message's size in bytes. */
  readonly total: number;
  /** The data received so far, in a buffer of at most `total` bytes. */
  bytes: Uint8Array;
  length: number;
  next: number;
}

const HEADER = /^(([^: ]+):\d+) (\d+) (\d+) (\d+)$/;

/** Reassembles messages. */
export class ChunkAssembler {
  readonly #maxBytes: number;
  /** Called if a message can't be reassembled because chunks are missing or it is too large. */
  readonly #lost: () => void;
  /** By link; most recently extended last. */
  readonly #unfinished = new Map<string, Unfinished>();
  /** Memory used by them. */
  #bytes = 0;

  constructor(maxBytes: number, lost: () => void) {
    this.#maxBytes = maxBytes;
    this.#lost = lost;
  }

  /** Adds a chunk. Returns the message if it is complete. */
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
    // The message was rejected at its first chunk, or started before this node subscribed.
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

  /** The connection was lost, so the missing chunks won't arrive. */
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

/** Grows the buffer with the bytes that arrive, regardless of the total claimed by the first chunk. */
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
