/**
 * Bounds the logins that are being checked by functions of the application.
 *
 * A check can't be stopped: it goes on when its client has hung up, and a new connection could start the next. So each
 * holds its place until it settles. An address gets half of the places at most, so that it can't take those of others.
 */
export class LoginChecks {
  readonly #max: number;
  readonly #maxOfAddress: number;
  readonly #byAddress = new Map<string, number>();
  #running = 0;

  constructor(max: number) {
    this.#max = max;
    this.#maxOfAddress = Math.ceil(max / 2);
  }

  /** Returns whether a login from this address may be checked now. Then call `end` when that has settled. */
  begin(address: string): boolean {
    const own = this.#byAddress.get(address) ?? 0;
    if (this.#running >= this.#max || own >= this.#maxOfAddress) return false;
    this.#running += 1;
    this.#byAddress.set(address, own + 1);
    return true;
  }

  end(address: string): void {
    const own = this.#byAddress.get(address) ?? 0;
    this.#running -= 1;
    if (own > 1) this.#byAddress.set(address, own - 1);
    else this.#byAddress.delete(address);
  }
}
