import type { Traffic } from "./traffic.ts";

/** Codes of protocol violations by a peer, which nothing in a run justifies. */
const PROTOCOL_ERRORS = { from: 7000, to: 7999 };

/** Errors reported to a side, by code. */
export class ReportedErrors {
  readonly byCode: Record<string, number> = {};
  readonly #traffic: Traffic;

  constructor(traffic: Traffic) {
    this.#traffic = traffic;
  }

  add(error: unknown): void {
    const { code = 0, codeName = String(error) } = error as { code?: number; codeName?: string };
    this.byCode[codeName] = (this.byCode[codeName] ?? 0) + 1;
    if (code >= PROTOCOL_ERRORS.from && code <= PROTOCOL_ERRORS.to) this.#traffic.surprise("onError", error);
  }
}
