import type { FrameBytes } from "../../wire/scattered-frame.ts";

/** A kept message, as it was sent. */
export interface LoggedMessage {
  readonly frame: FrameBytes;
  /** Before compression. */
  readonly payloadBytes: number;
  /** Monotonic milliseconds. */
  readonly atMs: number;
}

/** The limits of a log. */
export interface LogLimits {
  readonly messages: number;
  readonly bytes: number;
  /** Older messages are dropped, except for the last `least`. Monotonic milliseconds. */
  readonly sinceMs: number;
  readonly least: number;
}

/** The last messages of a topic, with consecutive offsets. All waiting members share their memory. */
export class MessageLog {
  #messages: (LoggedMessage | undefined)[] = [];
  /** Index of the oldest message. */
  #head = 0;
  #lastOffset = 0;
  #bytes = 0;

  get length(): number {
    return this.#messages.length - this.#head;
  }

  /** Total bytes of the frames. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Offset of the oldest message, or of the next one if the log is empty. */
  get firstOffset(): number {
    return this.#lastOffset - this.length + 1;
  }

  /** The message at this offset. */
  at(offset: number): LoggedMessage | undefined {
    return this.#messages[this.#head + offset - this.firstOffset];
  }

  /** Appends a message. If there is a gap before it, drops all earlier ones. */
  append(offset: number, message: LoggedMessage): void {
    if (offset !== this.#lastOffset + 1) this.clear();
    this.#lastOffset = offset;
    this.#messages.push(message);
    this.#bytes += lengthOf(message);
  }

  /** Drops the oldest message. The log must not be empty. */
  dropOldest(): void {
    this.#shift();
  }

  trim({ messages, bytes, sinceMs, least }: LogLimits): void {
    while (this.length > messages || (this.length > 1 && this.#bytes > bytes)) this.#shift();
    while (this.length > least && (this.#messages[this.#head] as LoggedMessage).atMs < sinceMs) this.#shift();
  }

  clear(): void {
    this.#messages = [];
    this.#head = 0;
    this.#bytes = 0;
  }

  #shift(): void {
    this.#bytes -= lengthOf(this.#messages[this.#head] as LoggedMessage);
    this.#messages[this.#head] = undefined;
    this.#head += 1;
    if (this.#head < 1024 && this.#head < this.#messages.length) return;
    this.#messages = this.#messages.slice(this.#head);
    this.#head = 0;
  }
}

function lengthOf({ frame }: LoggedMessage): number {
  return frame.end - frame.start;
}
