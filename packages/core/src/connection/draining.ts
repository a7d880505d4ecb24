import { ConduitError, ErrorCode } from "../errors.ts";
import type { DrainNotice } from "./extension.ts";

/** The drain state of a connection whose server is stopping. */
export class Draining {
  #notice: DrainNotice | null = null;
  #hasStarted = false;
  /** Created when a handler accesses the signal. */
  #controller: AbortController | null = null;

  /** On a client, the server's notice; null on a server. */
  get notice(): DrainNotice | null {
    return this.#notice;
  }

  /** Fires when handlers that would never finish should end. */
  get signal(): AbortSignal {
    if (this.#controller === null) {
      this.#controller = new AbortController();
      if (this.#hasStarted) this.#abort();
    }
    return this.#controller.signal;
  }

  /** The server starts to stop. @param notice on a client, the server's notice */
  start(notice: DrainNotice | null = null): void {
    this.#notice ??= notice;
    this.#hasStarted = true;
    this.#abort();
  }

  #abort(): void {
    this.#controller?.abort(new ConduitError(ErrorCode.SERVER_STOPPING, "The server is stopping"));
  }
}
