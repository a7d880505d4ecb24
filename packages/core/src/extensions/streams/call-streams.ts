/** The streams of one of this side's calls: its input and output. */

import type { CallHandle, CallStreams as Streams } from "../../connection/outgoing-calls.ts";
import {
  asConduitError,
  ConduitError,
  cancelledError,
  codeOf,
  ErrorCode,
  isInstance,
  messageOf,
  RpcError,
} from "../../errors.ts";
import type { Validator } from "../../rpc/validation.ts";
import { clip } from "../../text/describe-value.ts";
import { runCallback } from "../../util/run-callback.ts";
import { CallbackTimer } from "../../util/time.ts";
import type { StreamKeys } from "../../wire/stream-keys.ts";
import type { ConnectionStreams, OwnCall } from "./connection-streams.ts";
import { StreamFrame } from "./stream-frames.ts";
import { StreamReceiver } from "./stream-receiver.ts";
import { StreamSender } from "./stream-sender.ts";
import { closeSource, sendAll } from "./stream-source.ts";

const MAX_TEXT_CHARS = 1000;

/** Options of a call's streams. */
export interface CallStreamsOptions {
  readonly name: string;
  /** The source of the input; undefined for none. */
  readonly input: unknown;
  readonly inputCheck: Validator<unknown> | null;
  readonly wantsOutput: boolean;
  readonly outputCheck: Validator<unknown> | null;
  readonly onProgress: ((value: unknown) => unknown) | undefined;
  readonly progressCheck: Validator<unknown> | null;
}

export class CallStreams implements Streams, OwnCall {
  readonly keys: StreamKeys;
  /** Items for the caller; null if it requests none. */
  readonly output: StreamReceiver | null;
  /** The error of the input; null if it hasn't failed. */
  inputError: unknown = null;
  hasInputFailed = false;
  readonly #streams: ConnectionStreams;
  readonly #options: CallStreamsOptions;
  #call: CallHandle | null = null;
  /** Withdraws the call while it waits to be sent. */
  #withdraw: (() => void) | null = null;
  #sender: StreamSender | null = null;
  #startInput: ((sender: StreamSender) => void) | null = null;
  /** Whether the peer has opened the input, so that its end must be sent. */
  #isInputOpen = false;
  #isInputOver: boolean;
  /** Whether the caller has abandoned it, and only the peer's answer is outstanding. */
  #isAbandoned = false;
  /** Whether the peer may still send items for it until it answers. */
  #isGivenUp = false;

  constructor(streams: ConnectionStreams, options: CallStreamsOptions) {
    const { name, input, wantsOutput, outputCheck, onProgress } = options;
    this.#streams = streams;
    this.#options = options;
    this.#isInputOver = input === undefined;
    const stream = {
      name,
      returnCredit: (bytes: number) => this.#send(StreamFrame.OUTPUT_CREDIT, { bytes }),
      stopped: () => this.#cancel(),
    };
    const window = wantsOutput ? streams.firstWindow() : 0;
    this.output = wantsOutput ? new StreamReceiver(streams, stream, window, outputCheck) : null;
    this.output?.granted();
    this.keys = { output: window, input: input !== undefined, progress: onProgress !== undefined };
    // Started in the caller's async context, so that the source runs there as well.
    if (input !== undefined) void this.#sendInput(this.#openedInput());
  }

  /**
   * Sends the call as soon as the peer accepts it and, if it has an output, the send queue has room. Calls `fail` if
   * the caller abandons it or its time is up before that.
   * @param timeoutMs for the whole call, 0 for no limit; `send` gets the remaining time
   */
  openWith(
    send: (timeoutMs: number) => void,
    fail: (error: Error) => void,
    timeoutMs: number,
    signal: AbortSignal | undefined,
  ): void {
    const canOpen = this.output === null ? this.#streams.hasSlot : this.#streams.canOpen;
    if (canOpen) send(timeoutMs);
    else this.#openLater(send, fail, timeoutMs, signal);
  }

  #openLater(
    send: (timeoutMs: number) => void,
    fail: (error: Error) => void,
    timeoutMs: number,
    signal: AbortSignal | undefined,
  ): void {
    const { name } = this.#options;
    const { runtime, wheel } = this.#streams.connection.context;
    const end = (): void => {
      this.#withdraw = null;
      wheel.cancel(timer);
      signal?.removeEventListener("abort", onAbort);
    };
    const giveUp = (error: Error): void => {
      this.#withdraw?.();
      this.output?.abort(error);
      this.output?.end(null);
      this.#endInput(error);
      fail(error);
    };
    const onAbort = (): void => giveUp(cancelledError(name, signal?.reason));
    const timer = new CallbackTimer(() => {
      const why = this.#streams.hasSlot ? "the send queue was full" : "the peer hasn't answered abandoned streams";
      const message = `'${name}' timed out after ${timeoutMs} ms: it could not be sent, because ${why}`;
      giveUp(new ConduitError(ErrorCode.TIMEOUT, message));
    });
    const startedMs = runtime.now();
    if (timeoutMs > 0) wheel.schedule(timer, timeoutMs, startedMs);
    const withdraw = this.#streams.openLater(() => {
      end();
      send(timeoutMs === 0 ? 0 : Math.max(1, timeoutMs - (runtime.now() - startedMs)));
    });
    this.#withdraw = () => {
      end();
      withdraw();
    };
    if (signal?.aborted === true) onAbort();
    else signal?.addEventListener("abort", onAbort, { once: true });
  }

  get hasInput(): boolean {
    return this.keys.input;
  }

  opened(call: CallHandle): void {
    this.#call = call;
    this.#streams.addCall(call.idHi, call.idLo, this);
  }

  abandoned(isSent: boolean, error: Error): void {
    this.#isAbandoned = true;
    this.output?.abort(error);
    this.#endInput(error);
    if (isSent) this.#setGivenUp(true);
    else this.#delete();
  }

  lost(error: Error): void {
    this.#isAbandoned = true;
    this.output?.end(error);
    this.#endInput(error, brokenOff(error));
  }

  answered(): void {
    // Check first, because creating an error takes longer than a call.
    if (!this.#isInputOver) {
      this.#endInput(new ConduitError(ErrorCode.CANCELLED, `'${this.#options.name}' was answered`));
    }
    this.#delete();
  }

  /** The call has settled. If its caller has abandoned it, items may arrive until the peer has answered. */
  settled(error: Error | null): void {
    // The input has already ended, unless the call failed before it was opened.
    if (error !== null) this.#endInput(error);
    if (!this.#isAbandoned) this.output?.end(error);
  }

  inputCredit(bytes: number): void {
    if (this.#isInputOpen) {
      this.#sender?.addCredit(bytes);
      return;
    }
    this.#isInputOpen = true;
    if (this.#isInputOver) {
      this.#sendEnd(null);
      return;
    }
    const { idHi, idLo } = this.#call as CallHandle;
    this.#sender = new StreamSender(this.#streams, this.#options.name, StreamFrame.INPUT, idHi, idLo, bytes);
    this.#startInput?.(this.#sender);
  }

  inputStopped(): void {
    this.#endInput(new ConduitError(ErrorCode.CANCELLED, `'${this.#options.name}' takes no more input`));
  }

  progressed(value: unknown): void {
    if (this.#isAbandoned) return;
    const { name, onProgress, progressCheck } = this.#options;
    void runCallback(
      () => onProgress?.(progressCheck === null ? value : progressCheck.runNow(value, name)),
      (error) => this.#streams.connection.callbackFailed("onProgress", error),
    );
  }

  #openedInput(): Promise<StreamSender> {
    return new Promise((resolve) => {
      this.#startInput = resolve;
    });
  }

  async #sendInput(opened: Promise<StreamSender>): Promise<void> {
    const sender = await opened;
    const { name, input, inputCheck } = this.#options;
    let failure: Record<string, unknown> | null = null;
    try {
      await sendAll(input, sender, inputCheck, name, `The option input of '${name}'`);
    } catch (error) {
      if (error !== sender.reason) {
        this.hasInputFailed = true;
        this.inputError = error;
        failure = outward(error);
      }
    }
    if (this.#isInputOver) return;
    this.#isInputOver = true;
    this.#sendEnd(failure);
  }

  /**
   * Stops the source, because no more input is accepted, and sends the end of the input.
   * @param failure the error for the handler, so that it doesn't mistake a partial input for a complete one
   */
  #endInput(reason: Error, failure: Record<string, unknown> | null = null): void {
    if (this.#isInputOver) return;
    this.#isInputOver = true;
    if (this.#sender === null) void this.#closeInput();
    else this.#sender.abort(reason);
    if (this.#isInputOpen) this.#sendEnd(failure);
  }

  async #closeInput(): Promise<void> {
    try {
      await closeSource(this.#options.input);
    } catch (error) {
      this.hasInputFailed = true;
      this.inputError = error;
    }
  }

  #sendEnd(failure: Record<string, unknown> | null): void {
    const { idHi, idLo } = this.#call as CallHandle;
    this.#streams.send(StreamFrame.INPUT_END, idHi, idLo, failure, "reply");
  }

  #send(type: number, payload: Record<string, unknown>): void {
    const { idHi, idLo } = this.#call as CallHandle;
    this.#streams.send(type, idHi, idLo, payload);
  }

  /** The application has stopped reading. */
  #cancel(): void {
    const error = new ConduitError(ErrorCode.CANCELLED, `'${this.#options.name}' was cancelled`);
    if (this.#call !== null) {
      this.#call.abandon(error);
      return;
    }
    this.#withdraw?.();
    this.output?.end(null);
    this.#endInput(error);
  }

  #setGivenUp(isGivenUp: boolean): void {
    if (isGivenUp === this.#isGivenUp) return;
    this.#isGivenUp = isGivenUp;
    this.#streams.countGivenUp(isGivenUp ? 1 : -1);
  }

  #delete(): void {
    if (this.#isAbandoned) this.output?.end(null);
    this.#setGivenUp(false);
    const { idHi, idLo } = this.#call as CallHandle;
    this.#streams.deleteCall(idHi, idLo);
  }
}

/** The error of an input whose connection closes before it has ended. */
function brokenOff(error: Error): Record<string, unknown> {
  return { error: clip(messageOf(error), MAX_TEXT_CHARS), code: codeOf(asConduitError(error)) };
}

/** Converts an error for the peer: an RpcError unchanged, any other without details. */
export function outward(error: unknown): Record<string, unknown> {
  if (!isInstance(error, RpcError)) return { error: "The caller's input failed", code: ErrorCode.INTERNAL };
  return { error: clip(messageOf(error), MAX_TEXT_CHARS), code: codeOf(error) };
}
