/** A topic's kept messages. */
export interface KeptMessages {
  /** Memory as last counted; managed by {@link TopicMemory}. */
  countedBytes: number;
  /** Drops the oldest message and updates the count. There is at least one. */
  dropOldest(): void;
}

/** Sizes are grouped into classes by powers of two. */
const CLASSES = 54;

/**
 * Limits the memory of messages kept by topics of patterns, whose number is up to the clients. Beyond the limit, the
 * topics that keep most drop their oldest messages.
 */
export class TopicMemory {
  readonly #maxBytes: number;
  #bytes = 0;
  #isDropping = false;
  readonly #bySize: readonly Set<KeptMessages>[] = Array.from({ length: CLASSES }, () => new Set());

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** Sets the memory used by a topic, and drops messages of this or other topics until all fit. */
  count(topic: KeptMessages, bytes: number): void {
    const before = topic.countedBytes;
    topic.countedBytes = bytes;
    this.#bytes += bytes - before;
    const [from, to] = [classOf(before), classOf(bytes)];
    if (from !== to) {
      this.#bySize[from]?.delete(topic);
      if (to > 0) this.#bySize[to]?.add(topic);
    }
    if (!this.#isDropping) this.#drop();
  }

  #drop(): void {
    this.#isDropping = true;
    while (this.#bytes > this.#maxBytes) this.#largest()?.dropOldest();
    this.#isDropping = false;
  }

  /** One of the topics that keep most. */
  #largest(): KeptMessages | null {
    for (let index = CLASSES - 1; index > 0; index -= 1) {
      const [first] = this.#bySize[index] as Set<KeptMessages>;
      if (first !== undefined) return first;
    }
    return null;
  }
}

/** The size class; 0 for no bytes. */
function classOf(bytes: number): number {
  return bytes === 0 ? 0 : Math.floor(Math.log2(bytes)) + 1;
}
