import type { NatsConnection } from "@nats-io/transport-node";
import { connectionGone } from "./nats-errors.ts";

/**
 * Questions to NATS over the current connection. nats.js lets them wait for their timeouts when the connection is lost;
 * these end at once.
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

  /** The connection is lost: ends all questions. */
  closed(): void {
    this.#connection = null;
    for (const interrupt of [...this.#interrupts]) interrupt();
  }

  /**
   * Asks something.
   * @param what is done, for errors, e.g. `append to the log`
   * @throws ConduitError CLUSTER_UNAVAILABLE if there is no connection, or it is lost before the answer; what `ask` throws
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
