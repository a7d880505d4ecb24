import type { IdentifiedRequest } from "../../rpc/incoming-request.ts";

/** The number of chains doubles when there are more requests. */
const MIN_CHAINS = 16;
/** If there are more chains, they are released when there are no requests. */
const MAX_IDLE_CHAINS = 64;
const WORD_BITS = 32;

/** Random and odd, so that peers can't choose ids that meet in one chain. */
const FACTOR_HI = randomFactor();
const FACTOR_LO = randomFactor();

/**
 * The peer's calls and requests that are queued or running, by correlation id: a hash table whose chains are the requests
 * themselves. A Map costs 0.1 µs more for each call, because ids aren't small integers and it grows anew each time that
 * it has been empty.
 */
export class RequestIds<Request extends IdentifiedRequest> {
  #chains: (IdentifiedRequest | null)[] = emptyChains(MIN_CHAINS);
  #shift = shiftFor(MIN_CHAINS);
  #size = 0;

  get size(): number {
    return this.#size;
  }

  get(idHi: number, idLo: number): Request | undefined {
    let request = this.#chains[this.#chainOf(idHi, idLo)] as IdentifiedRequest | null;
    while (request !== null && (request.idLo !== idLo || request.idHi !== idHi)) request = request.nextOfChain;
    return (request ?? undefined) as Request | undefined;
  }

  /** Adds a request. Ignored if the peer expects no reply, because its id has no meaning then. */
  add(request: Request): void {
    if (!request.wantsReply) return;
    if (this.#size === this.#chains.length) this.#resize(2 * this.#size);
    this.#size += 1;
    this.#link(request);
  }

  /** Only the request itself: a plain peer may have used its id for another one in the meantime. */
  delete(request: Request): void {
    const chain = this.#chainOf(request.idHi, request.idLo);
    let before: IdentifiedRequest | null = null;
    let found = this.#chains[chain] as IdentifiedRequest | null;
    while (found !== null && found !== request) {
      before = found;
      found = found.nextOfChain;
    }
    if (found === null) return;
    if (before === null) this.#chains[chain] = request.nextOfChain;
    else before.nextOfChain = request.nextOfChain;
    request.nextOfChain = null;
    this.#size -= 1;
    if (this.#size === 0 && this.#chains.length > MAX_IDLE_CHAINS) this.#resize(MIN_CHAINS);
  }

  #link(request: IdentifiedRequest): void {
    const chain = this.#chainOf(request.idHi, request.idLo);
    request.nextOfChain = this.#chains[chain] as IdentifiedRequest | null;
    this.#chains[chain] = request;
  }

  #resize(chains: number): void {
    const former = this.#chains;
    this.#chains = emptyChains(chains);
    this.#shift = shiftFor(chains);
    for (let request of former) {
      while (request !== null) {
        const next: IdentifiedRequest | null = request.nextOfChain;
        this.#link(request);
        request = next;
      }
    }
  }

  #chainOf(idHi: number, idLo: number): number {
    return Math.imul(idLo ^ Math.imul(idHi, FACTOR_HI), FACTOR_LO) >>> this.#shift;
  }
}

function emptyChains(count: number): null[] {
  return new Array<null>(count).fill(null);
}

/** The upper bits of a product are its best mixed ones. @param chains a power of 2 */
function shiftFor(chains: number): number {
  return WORD_BITS - Math.log2(chains);
}

function randomFactor(): number {
  return Math.floor(Math.random() * 2 ** WORD_BITS) | 1;
}
