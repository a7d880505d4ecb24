import type { Clock } from "@netconduit/core/adapter";

/** What the window needs of a connection. */
export interface Confirming {
  /** Resolves when NATS has taken everything that was published before; rejects if the connection is lost first. */
  flush(): Promise<void>;
}

/** NATS is asked this long after the first unconfirmed message at the latest, */
const CONFIRM_AFTER_MS = 50;
/** or after so many bytes. */
const CONFIRM_AFTER_BYTES = 256 * 1024;

/**
 * What was published and NATS hasn't confirmed. nats.js keeps everything that a slow NATS doesn't read, without a bound, and
 * doesn't say what was lost; a PING, which NATS answers behind all that came before, tells both.
 */
export class SendWindow {
  readonly #clock: Clock;
  readonly #maxBytes: number;
  /** Of the present connection; null while there is none. */
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

  /** A message larger than the window passes if nothing else is on its way. */
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
      // The end of the connection is told by `closed`, which counts what was on its way.
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
