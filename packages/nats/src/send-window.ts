import type { Clock } from "@netconduit/core/adapter";

/** The part of a connection that the window uses. */
export interface Confirming {
  /** Resolves when NATS has taken everything that was published before; rejects if the connection is lost first. */
  flush(): Promise<void>;
}

/** NATS is asked this long after the first unconfirmed message at the latest, */
const CONFIRM_AFTER_MS = 50;
/** or after so many bytes. */
const CONFIRM_AFTER_BYTES = 256 * 1024;

/**
 * Messages that were published and NATS hasn't confirmed. nats.js buffers without a bound for a slow NATS, and doesn't
 * report lost messages; a PING, which NATS answers after everything before it, shows both.
 */
export class SendWindow {
  readonly #clock: Clock;
  readonly #maxBytes: number;
  /** The current connection; null while there is none. */
  #connection: Confirming | null = null;
  #messages = 0;
  #bytes = 0;
  #isAsking = false;
  #timer: unknown = null;

  constructor(clock: Clock, maxBytes: number) {
    this.#clock = clock;
    this.#maxBytes = maxBytes;
  }

  /** Bytes that aren't confirmed. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Whether a message fits. One larger than the window passes if nothing else is in flight. */
  hasRoomFor(bytes: number): boolean {
    return this.#bytes === 0 || this.#bytes + bytes <= this.#maxBytes;
  }

  opened(connection: Confirming): void {
    this.#connection = connection;
  }

  /** The connection is lost. Returns how many messages may be lost with it. */
  closed(): number {
    const lost = this.#messages;
    this.#connection = null;
    this.#messages = 0;
    this.#bytes = 0;
    this.#isAsking = false;
    this.#stopTimer();
    return lost;
  }

  sent(bytes: number): void {
    this.#messages += 1;
    this.#bytes += bytes;
    this.#askSoon();
  }

  #askSoon(): void {
    if (this.#isAsking || this.#messages === 0) return;
    if (this.#bytes >= CONFIRM_AFTER_BYTES) {
      this.#ask();
      return;
    }
    this.#timer ??= this.#clock.setTimer(() => this.#ask(), CONFIRM_AFTER_MS, false);
  }

  #ask(): void {
    this.#stopTimer();
    const connection = this.#connection;
    if (connection === null || this.#isAsking) return;
    this.#isAsking = true;
    const [messages, bytes] = [this.#messages, this.#bytes];
    connection.flush().then(
      () => {
        if (this.#connection !== connection) return;
        this.#isAsking = false;
        this.#messages -= messages;
        this.#bytes -= bytes;
        this.#askSoon();
      },
      // `closed` handles the end of the connection, and counts messages in flight.
      () => {
        if (this.#connection === connection) this.#isAsking = false;
      },
    );
  }

  #stopTimer(): void {
    if (this.#timer !== null) this.#clock.clearTimer(this.#timer);
    this.#timer = null;
  }
}
