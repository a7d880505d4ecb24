/** The streams of one of the peer's calls: its input, and the items that its handler returns. */

import { ConduitError, ErrorCode, RpcError } from "../../errors.ts";
import { MAX_CHUNK_BYTES } from "../../limits.ts";
import type { ItemStream, RequestStreams } from "../../rpc/request-streams.ts";
import { noItems, StreamItems } from "../../rpc/stream-items.ts";
import type { Validator } from "../../rpc/validation.ts";
import { oneLine } from "../../text/describe-value.ts";
import type { StreamKeys } from "../../wire/stream-keys.ts";
import type { ConnectionStreams, PeerCall } from "./connection-streams.ts";
import { StreamFrame } from "./stream-frames.ts";
import { StreamReceiver } from "./stream-receiver.ts";
import { StreamSender } from "./stream-sender.ts";
import { sendAll } from "./stream-source.ts";

/** Room in a frame for the map around the value. */
const PROGRESS_ENVELOPE_BYTES = 16;

export class PeerCallStreams implements RequestStreams, PeerCall {
  readonly keys: StreamKeys;
  readonly #streams: ConnectionStreams;
  readonly #idHi: number;
  readonly #idLo: number;
  readonly #name: string;
  /** Set when the handler starts. */
  #receiver: StreamReceiver | null = null;
  #items: ItemStream<unknown> | null = null;
  readonly #sender: StreamSender | null;
  /** Whether the caller has sent the end of its input. */
  #hasInputEnded = false;
  #isAnswered = false;
  #progressCheck: Validator<unknown> | null = null;
  /** The latest unsent progress value and its encoded size. */
  #progress: { readonly value: unknown; readonly bytes: number } | null = null;

  constructor(streams: ConnectionStreams, idHi: number, idLo: number, name: string, keys: StreamKeys) {
    this.#streams = streams;
    this.#idHi = idHi;
    this.#idLo = idLo;
    this.#name = name;
    this.keys = keys;
    this.#sender =
      keys.output === 0 ? null : new StreamSender(streams, name, StreamFrame.OUTPUT, idHi, idLo, keys.output);
  }

  /** The input; null if the caller may not send any. */
  get openInput(): StreamReceiver | null {
    return this.#hasInputEnded ? null : this.#receiver;
  }

  begin(input: Validator<unknown> | null, progress: Validator<unknown> | null): void {
    this.#progressCheck = progress;
    if (!this.keys.input) return;
    const streams = this.#streams;
    const stream = {
      name: this.#name,
      returnCredit: (bytes: number) => streams.send(StreamFrame.INPUT_CREDIT, this.#idHi, this.#idLo, { bytes }),
      stopped: () => this.#stopInput(),
    };
    this.#receiver = new StreamReceiver(streams, stream, streams.firstWindow(), input);
    this.#receiver.open();
  }

  get input(): ItemStream<unknown> {
    this.#items ??= this.#receiver === null ? noItems() : new StreamItems(this.#receiver);
    return this.#items;
  }

  send(source: unknown, check: Validator<unknown> | null): Promise<void> {
    const sender = this.#sender as StreamSender;
    return sendAll(source, sender, check, this.#name, `The value returned by the handler of '${this.#name}'`);
  }

  /** Sends a progress value. If values come faster than the peer reads, only the latest is sent. */
  progress(given: unknown): void {
    if (!this.keys.progress || this.#isAnswered) return;
    const value = this.#progressCheck === null ? given : this.#progressCheck.runNow(given, this.#name);
    const { connection, writer } = this.#streams;
    const { length } = writer.encodeItem(value, "progress");
    if (length > MAX_CHUNK_BYTES - PROGRESS_ENVELOPE_BYTES) {
      const message = `Cannot send the progress of '${this.#name}': ${length} bytes exceed ${MAX_CHUNK_BYTES}`;
      throw new ConduitError(ErrorCode.MESSAGE_TOO_LARGE, message);
    }
    const isWaiting = this.#progress !== null;
    if (!isWaiting && connection.sendQueue.canSend) {
      this.#sendProgress(value);
      return;
    }
    this.#keepProgress({ value, bytes: length });
    if (isWaiting) return;
    connection.whenSendable(() => {
      const latest = this.#progress;
      this.#keepProgress(null);
      if (latest !== null) this.#sendProgress(latest.value);
    });
  }

  #keepProgress(latest: { readonly value: unknown; readonly bytes: number } | null): void {
    if (latest === this.#progress) return;
    const before = this.#progress?.bytes ?? 0;
    this.#progress = latest;
    this.#streams.countHeld((latest?.bytes ?? 0) - before);
  }

  #sendProgress(value: unknown): void {
    this.#streams.send(StreamFrame.PROGRESS, this.#idHi, this.#idLo, { value }, "reply");
  }

  outputCredit(bytes: number): void {
    this.#sender?.addCredit(bytes);
  }

  inputEnded(error: Record<string, unknown> | null): void {
    this.#hasInputEnded = true;
    this.#receiver?.end(error === null ? null : inputError(this.#name, error));
    this.#deleteIfOver();
  }

  abort(reason: Error): void {
    this.#receiver?.abort(reason);
    this.#sender?.abort(reason);
    this.#keepProgress(null);
  }

  answered(): void {
    if (this.#isAnswered) return;
    this.#isAnswered = true;
    this.#keepProgress(null);
    // Check first, because creating an error takes longer than a call.
    if (this.#sender?.isFinished === false && this.#sender.reason === null) {
      this.#sender.abort(new ConduitError(ErrorCode.INVALID_STATE, `'${this.#name}' has been answered`));
    }
    // The caller stops on its own; items still in flight are dropped.
    this.#receiver?.stop();
    this.#deleteIfOver();
  }

  #stopInput(): void {
    if (!this.#isAnswered) this.#streams.send(StreamFrame.INPUT_STOP, this.#idHi, this.#idLo, null);
  }

  #deleteIfOver(): void {
    if (this.#isAnswered && (this.#receiver === null || this.#hasInputEnded)) {
      this.#streams.deletePeerCall(this.#idHi, this.#idLo);
    }
  }
}

/** Converts the error at the end of an input to the one thrown in the handler's loop. */
export function inputError(name: string, { error, code }: Record<string, unknown>): RpcError {
  const text = typeof error === "string" ? oneLine(error) : `The input of '${name}' failed`;
  return new RpcError(Number.isSafeInteger(code) ? (code as number) : ErrorCode.UNKNOWN, text, { method: name });
}
