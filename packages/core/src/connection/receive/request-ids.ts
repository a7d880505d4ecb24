import { RenewedMap } from "../../util/renewed-map.ts";

const TWO_TO_32 = 0x1_0000_0000;
/** Up to this high half, an id fits exactly in a number. */
const MAX_EXACT_HI = 0x1f_ffff;

/** A request with an id. */
interface Identified {
  readonly idHi: number;
  readonly idLo: number;
  readonly wantsReply: boolean;
}

/** The peer's calls and requests that are queued or running, by correlation id. */
export class RequestIds<Request extends Identified> {
  readonly #requests = new RenewedMap<number | string, Request>();

  get size(): number {
    return this.#requests.size;
  }

  get(idHi: number, idLo: number): Request | undefined {
    return this.#requests.get(keyOf(idHi, idLo));
  }

  /** Adds a request. Ignored if the peer expects no reply, because its id has no meaning then. */
  add(request: Request): void {
    if (request.wantsReply) this.#requests.set(keyOf(request.idHi, request.idLo), request);
  }

  delete(request: Request): void {
    const key = keyOf(request.idHi, request.idLo);
    // A plain peer may have used the id for another request in the meantime.
    if (this.#requests.get(key) === request) this.#requests.delete(key);
  }
}

function keyOf(idHi: number, idLo: number): number | string {
  return idHi <= MAX_EXACT_HI ? idHi * TWO_TO_32 + idLo : `${idHi}/${idLo}`;
}
