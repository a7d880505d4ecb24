/** The streams of a call of this side: the items it sends, and those it gets. */

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

/** The streams of a call. */
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
  /** Items for the caller; null if it wants none. */
  readonly output: StreamReceiver | null;
  /** Why the input failed; null if it didn't. */
  inputError: unknown = null;
  hasInputFailed = false;
  readonly #streams: ConnectionStreams;
  readonly #options: CallStreamsOptions;
  #call: CallHandle | null = null;
  /** While it waits to be sent: takes it back. */
  #withdraw: (() => void) | null = null;
  #sender: StreamSender | null = null;
  #startInput: ((sender: StreamSender) => void) | null = null;
  /** Whether the peer has opened the input, and so has to hear of its end. */
  #isInputOpen = false;
  #isInputOver: boolean;
  /** Whether it waits only for the peer's answer, which nobody wants any more. */
  #isAbandoned = false;
  /** Whether the peer may still send items of it, until it answers. */
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
    // It waits in the async context of the caller, so the source runs there, too.
    if (input !== undefined) void this.#sendInput(this.#openedInput());
  }

  /**
   * Sends the call as soon as the peer takes it, and if it has an output, the send queue has room. If its caller gives up or its
   * time is over before that, it calls `fail`.
   * @param timeoutMs for the whole call, 0 for no limit; `send` gets what is left of it
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
      const why = this.#streams.hasSlot
        ? "the send queue was full"
        : "the peer has not answered streams that were given up";
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
    // An error takes longer to make than a call.
    if (!this.#isInputOver) {
      this.#endInput(new ConduitError(ErrorCode.CANCELLED, `'${this.#options.name}' was answered`));
    }
    this.#delete();
  }

  /** The call has settled. If its caller gave up, items may arrive until the peer has answered. */
  settled(error: Error | null): void {
    // Over already, unless the call failed before it was opened.
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
   * Nobody takes more input: stops the source, and tells the peer that nothing follows.
   * @param failure for a handler that hears of it by nothing else: it must not take what it has for all of it
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

  /** The application takes no more items. */
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

/** The connection closes before the input has ended. */
function brokenOff(error: Error): Record<string, unknown> {
  return { error: clip(messageOf(error), MAX_TEXT_CHARS), code: codeOf(asConduitError(error)) };
}

/** An error for the peer: an RpcError as it is, of any other the fact. */
export function outward(error: unknown): Record<string, unknown> {
  if (!isInstance(error, RpcError)) return { error: "The caller's input failed", code: ErrorCode.INTERNAL };
  return { error: clip(messageOf(error), MAX_TEXT_CHARS), code: codeOf(error) };
}
