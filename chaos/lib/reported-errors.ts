import type { Traffic } from "./traffic.ts";

/** Codes from here on say that a peer broke the protocol: nothing in a run explains that. */
const PROTOCOL_ERRORS = { from: 7000, to: 7999 };

/** The errors that a side was told of, by code. */
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
