import type { DeadLetter } from "../endpoint/dead-letter.ts";
import { ConduitError, ErrorCode } from "../errors.ts";
import { DEAD_LETTER_MS, MAX_DEAD_LETTER_BYTES } from "../limits.ts";
import type { Codec } from "../rpc/answer-record.ts";
import { OwnerBudget } from "../rpc/owner-budget.ts";
import type { Store } from "../store/store.ts";
import { describeValue } from "../text/describe-value.ts";
import { KnownOptions } from "../util/known-options.ts";

const PREFIX = "dead/";
const MAX_LISTED = 1000;

interface DeadLettersHost {
  readonly store: Store;
  readonly codec: Codec;
  /** Monotonic milliseconds. */
  now(): number;
  storeFailed(error: unknown): void;
}

const LIST = new KnownOptions<{ limit: number }>("deadLetters.list", { limit: true });

/** The dead letters in a server's store. They are kept for seven days. */
export class DeadLetters {
  readonly #host: DeadLettersHost | null;
  readonly #budget = new OwnerBudget(DEAD_LETTER_MS, MAX_DEAD_LETTER_BYTES);
  readonly #keeping = new Set<Promise<void>>();

  /** @internal */
  constructor(host: DeadLettersHost | null) {
    this.#host = host;
  }

  /**
   * Returns the oldest dead letters. Those that can't be decoded are omitted and reported.
   * @param options.limit a whole number from 1; more than 1,000 counts as 1,000. Default 100
   * @throws ConduitError INVALID_STATE if the server has no store, INVALID_CONFIG; the store's own errors
   */
  async list(options: { readonly limit?: number } = {}): Promise<DeadLetter[]> {
    LIST.check(options);
    const { limit = 100 } = options;
    const { store, codec, storeFailed } = this.#mustHaveStore();
    if (!Number.isSafeInteger(limit) || limit < 1) {
      const message = `Invalid option limit of deadLetters.list: must be an integer of 1 or more, got ${describeValue(limit)}`;
      throw new ConduitError(ErrorCode.INVALID_CONFIG, message);
    }
    const letters: DeadLetter[] = [];
    for (const key of await store.keys(PREFIX, Math.min(limit, MAX_LISTED))) {
      const bytes = await store.get(key);
      if (bytes === null) continue;
      try {
        letters.push(codec.decode(bytes) as DeadLetter);
      } catch (cause) {
        storeFailed(new ConduitError(ErrorCode.STORE_FAILED, `The dead letter ${key} can't be read`, { cause }));
      }
    }
    return letters;
  }

  /** Removes a dead letter. Throws like `list`, except for INVALID_CONFIG. */
  async delete(id: string): Promise<void> {
    await this.#mustHaveStore().store.delete(PREFIX + id);
  }

  /** @internal */
  _keep(letter: DeadLetter): void {
    if (this.#host === null) return;
    const { store, codec, now, storeFailed } = this.#host;
    let record: Uint8Array;
    try {
      record = codec.encode(letter);
    } catch (error) {
      // Handlers may have changed the data to something that can't be encoded.
      storeFailed(error);
      return;
    }
    if (this.#budget.charge(letter.user, record.length, now())) {
      const keeping = store.put(PREFIX + letter.id, record, DEAD_LETTER_MS).catch(storeFailed);
      this.#keeping.add(keeping);
      void keeping.then(() => this.#keeping.delete(keeping));
      return;
    }
    const message = `A dead letter of ${record.length} bytes was not kept: too many are of the user '${letter.user}'`;
    storeFailed(new ConduitError(ErrorCode.STORE_FULL, message));
  }

  /** @internal Resolves when no write is pending. */
  async _settled(): Promise<void> {
    await Promise.all(this.#keeping);
  }

  #mustHaveStore(): DeadLettersHost {
    if (this.#host !== null) return this.#host;
    const message = "Dead letters are kept only with the option resume.store; see onDeadLetter";
    throw new ConduitError(ErrorCode.INVALID_STATE, message);
  }
}
