import { isCount } from "../../util/is-count.ts";
import { isMap } from "../../util/is-map.ts";
import type { EncodedValue } from "../../wire/encoded-value.ts";
import type { Metadata } from "../../wire/metadata.ts";

/** A message, or a call without a reply. */
export interface UnhandledMessage {
  readonly isCall: boolean;
  /** Message type or method. */
  readonly name: string;
  readonly value: EncodedValue;
  readonly meta: Metadata | undefined;
}

/**
 * Messages a peer has handled: all below `handled`, and the ranges in `above`, each with its first number and the one
 * after its last.
 */
export interface HandledByPeer {
  readonly handled: number;
  readonly above: readonly number[];
}

/** Reads the handled messages from a server's CLOSE or AUTH_SUCCESS; null if they are missing or invalid. */
export function handledIn(value: unknown): HandledByPeer | null {
  const { handled, above } = isMap(value) ? value : {};
  if (!isCount(handled) || !Array.isArray(above) || above.length % 2 !== 0) return null;
  let before = handled;
  for (const edge of above as unknown[]) {
    if (!isCount(edge) || edge <= before) return null;
    before = edge;
  }
  return { handled, above };
}

/** Memory of a message besides its data. */
const MESSAGE_BYTES = 100;

/**
 * Keeps sent messages until the peer has handled them, to resend them to a restarted server. If they exceed
 * `maxBytes`, the oldest are dropped, and count as lost if the server ends.
 */
export class UnhandledMessages {
  readonly #maxBytes: number;
  readonly #messages: UnhandledMessage[] = [];
  /** Sequence number of the first kept message. */
  #first = 0;
  #bytes = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** Number of the kept messages. */
  get count(): number {
    return this.#messages.length;
  }

  /** Memory of the kept messages. */
  get bytes(): number {
    return this.#bytes;
  }

  add(message: UnhandledMessage): void {
    this.#messages.push(message);
    this.#bytes += bytesOf(message);
    if (this.#bytes <= this.#maxBytes) return;
    let count = 0;
    for (let bytes = this.#bytes; bytes > this.#maxBytes; count += 1)
      bytes -= bytesOf(this.#messages[count] as UnhandledMessage);
    this.#drop(count);
  }

  /** All below this number have been handled. */
  handled(number: number): void {
    if (number > this.#first) this.#drop(Math.min(number - this.#first, this.#messages.length));
  }

  /** Returns messages that the peer hasn't handled, in order, and how many others were dropped. */
  rest({ handled, above }: HandledByPeer): { readonly messages: readonly UnhandledMessage[]; readonly lost: number } {
    // Both ascend. A number with an odd number of edges before it is inside a range.
    let edges = 0;
    const isHandled = (number: number): boolean => {
      while (edges < above.length && (above[edges] as number) <= number) edges += 1;
      return number < handled || edges % 2 === 1;
    };
    const messages = this.#messages.filter((_message, index) => !isHandled(this.#first + index));
    let lost = Math.max(0, this.#first - handled);
    for (let index = 0; index < above.length; index += 2) {
      const [from = 0, end = 0] = above.slice(index, index + 2);
      lost -= Math.max(0, Math.min(end, this.#first) - Math.max(from, handled));
    }
    return { messages, lost };
  }

  #drop(count: number): void {
    for (const message of this.#messages.splice(0, count)) this.#bytes -= bytesOf(message);
    this.#first += count;
  }
}

function bytesOf({ value }: UnhandledMessage): number {
  return value.bytes.length + MESSAGE_BYTES;
}
