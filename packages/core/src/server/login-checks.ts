/**
 * Limits the number of logins that are being checked by functions of the application.
 *
 * A check can't be cancelled: it continues after its client has hung up, while a new connection could start the next
 * one. So each check holds its place until it settles. One address gets at most half of the places, so that it can't
 * use up all of them.
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

  /** Returns whether a login from this address may be checked now. If true, call `end` when the check has settled. */
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
