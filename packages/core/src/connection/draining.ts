import { ConduitError, ErrorCode } from "../errors.ts";
import type { DrainNotice } from "./extension.ts";

/** A connection whose server is stopping. */
export class Draining {
  #notice: DrainNotice | null = null;
  #hasStarted = false;
  /** Made when a handler asks for its signal. */
  #controller: AbortController | null = null;

  /** The notice of the server, on a client; null on a server. */
  get notice(): DrainNotice | null {
    return this.#notice;
  }

  /** Aborts when handlers that never finish should. */
  get signal(): AbortSignal {
    if (this.#controller === null) {
      this.#controller = new AbortController();
      if (this.#hasStarted) this.#abort();
    }
    return this.#controller.signal;
  }

  /** The server begins to stop. @param notice its notice, on a client */
  start(notice: DrainNotice | null = null): void {
    this.#notice ??= notice;
    this.#hasStarted = true;
    this.#abort();
  }

  #abort(): void {
    this.#controller?.abort(new ConduitError(ErrorCode.SERVER_STOPPING, "The server is stopping"));
  }
}
