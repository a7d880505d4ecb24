/** Messages that a topic keeps. */
export interface KeptMessages {
  /** Used by {@link TopicMemory}: their memory as last counted. */
  countedBytes: number;
  /** Drops the oldest one, and counts anew. There is one. */
  dropOldest(): void;
}

/** Sizes from one power of two to the next are one class. */
const CLASSES = 54;

/**
 * The memory of the messages that topics of patterns keep. Clients choose how many of these there are, so when it is used up,
 * the topics that keep most lose their oldest messages.
 */
export class TopicMemory {
  readonly #maxBytes: number;
  #bytes = 0;
  #isDropping = false;
  readonly #bySize: readonly Set<KeptMessages>[] = Array.from({ length: CLASSES }, () => new Set());

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** A topic's messages take so much memory now. Drops messages, of this topic or others, until all fit. */
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

  /** One of those that keep most. */
  #largest(): KeptMessages | null {
    for (let index = CLASSES - 1; index > 0; index -= 1) {
      const [first] = this.#bySize[index] as Set<KeptMessages>;
      if (first !== undefined) return first;
    }
    return null;
  }
}

/** 0 for nothing. */
function classOf(bytes: number): number {
  return bytes === 0 ? 0 : Math.floor(Math.log2(bytes)) + 1;
}
