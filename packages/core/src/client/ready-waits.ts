import { checkSignal, checkTimeout } from "../connection/outgoing-calls.ts";
import { ConduitError, cancelledError, ErrorCode, messageOf } from "../errors.ts";
import type { Clock } from "../util/clock.ts";
import { KnownOptions } from "../util/known-options.ts";

/** Options of `client.connected`. */
export interface ConnectedOptions {
  /** How long to wait, in milliseconds; 0 waits without limit. Default 0. */
  readonly timeoutMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

const NAME = "connected()";
const KNOWN = new KnownOptions<ConnectedOptions>("connected", { timeoutMs: true, signal: true });

/** @throws ConduitError INVALID_CONFIG */
export function checkConnectedOptions(options: unknown): void {
  KNOWN.check(options);
}

interface Wait {
  resolve(): void;
  reject(error: Error): void;
}

/** Callers waiting until a client is connected. */
export class ReadyWaits {
  readonly #clock: Clock;
  readonly #waits = new Set<Wait>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Resolves at the next `ready`. Rejects with the error of `fail`, TIMEOUT, CANCELLED, INVALID_CONFIG. */
  async wait(options: ConnectedOptions): Promise<void> {
    const { timeoutMs = 0, signal } = options;
    checkTimeout(NAME, timeoutMs);
    checkSignal(NAME, signal);
    if (signal?.aborted === true) throw cancelledError(NAME, signal.reason);
    await new Promise<void>((resolve, reject) => {
      const end = (): void => {
        this.#waits.delete(wait);
        signal?.removeEventListener("abort", onAbort);
        if (timer !== null) this.#clock.clearTimer(timer);
      };
      const wait: Wait = {
        resolve: () => {
          end();
          resolve();
        },
        reject: (error) => {
          end();
          reject(error);
        },
      };
      const onAbort = (): void => wait.reject(cancelledError(NAME, signal?.reason));
      const onTimeout = (): void =>
        wait.reject(new ConduitError(ErrorCode.TIMEOUT, `'${NAME}' timed out: not connected after ${timeoutMs} ms`));
      const timer = timeoutMs === 0 ? null : this.#clock.setTimer(onTimeout, timeoutMs, true);
      signal?.addEventListener("abort", onAbort, { once: true });
      this.#waits.add(wait);
    });
  }

  ready(): void {
    for (const wait of [...this.#waits]) wait.resolve();
  }

  /** @param reason creates the error, if any caller is waiting */
  fail(reason: () => Error): void {
    if (this.#waits.size === 0) return;
    const error = reason();
    for (const wait of [...this.#waits]) wait.reject(error);
  }
}

/** The error for callers that would wait forever. @param cause why the client gave up; null if no longer known */
export function wontConnect(cause: Error | null): ConduitError {
  const why = cause === null ? "it was closed or has given up" : messageOf(cause);
  const message = `The client isn't connected, and won't be until connect() is called: ${why}`;
  return new ConduitError(ErrorCode.CONNECTION_CLOSED, message, { cause: cause ?? undefined });
}
