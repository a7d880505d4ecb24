import type { NatsConnection } from "@nats-io/transport-node";
import { connectionGone } from "./nats-errors.ts";

/**
 * Requests to NATS over the current connection. They fail immediately when the connection is lost; in nats.js alone,
 * they would wait for their timeouts.
 */
export class ConnectionRequests {
  #connection: NatsConnection | null = null;
  readonly #interrupts = new Set<() => void>();

  /** Null while the link isn't connected. */
  get connection(): NatsConnection | null {
    return this.#connection;
  }

  opened(connection: NatsConnection): void {
    this.#connection = connection;
  }

  /** The connection was lost: fails all pending requests. */
  closed(): void {
    this.#connection = null;
    for (const interrupt of [...this.#interrupts]) interrupt();
  }

  /**
   * Sends a request.
   * @param what the operation, for error messages, e.g. `append to the log`
   * @throws ConduitError CLUSTER_UNAVAILABLE if there is no connection or it is lost before the answer; any error of
   *   `ask`
   */
  ask<T>(what: string, ask: (connection: NatsConnection) => Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const connection = this.#connection;
      if (connection === null) throw connectionGone(what);
      const interrupt = (): void => {
        this.#interrupts.delete(interrupt);
        reject(connectionGone(what));
      };
      this.#interrupts.add(interrupt);
      ask(connection).then(
        (answer) => {
          this.#interrupts.delete(interrupt);
          resolve(answer);
        },
        (error: unknown) => {
          this.#interrupts.delete(interrupt);
          reject(error);
        },
      );
    });
  }
}
