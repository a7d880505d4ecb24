import type { Clock } from "@netconduit/core/adapter";

/** The part of a connection that the window uses. */
export interface Confirming {
  /** Resolves when NATS has received everything published so far; rejects if the connection is lost first. */
  flush(): Promise<void>;
}

/** A confirmation is requested this long after the first unconfirmed message, */
const CONFIRM_AFTER_MS = 50;
/** or after this many bytes, whichever comes first. */
const CONFIRM_AFTER_BYTES = 256 * 1024;

/**
 * Tracks published messages that NATS hasn't confirmed. nats.js buffers without limit for a slow NATS server, and
 * doesn't report lost messages. A PING reveals both, because NATS answers it after everything sent before.
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

  /** Unconfirmed bytes. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Whether a message fits. One larger than the window is allowed if nothing else is in flight. */
  hasRoomFor(bytes: number): boolean {
    return this.#bytes === 0 || this.#bytes + bytes <= this.#maxBytes;
  }

  opened(connection: Confirming): void {
    this.#connection = connection;
  }

  /** The connection was lost. Returns how many messages may be lost with it. */
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
