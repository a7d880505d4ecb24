import type { StreamConnection } from "../connection/connection-sender.ts";
import { checkResult, checkSignal, checkTimeout, type OutgoingCallOptions } from "../connection/outgoing-calls.ts";
import type { CallSettings } from "../endpoint/acknowledged-send.ts";
import type { CallOptions, SendOptions } from "../endpoint/call-options.ts";
import type { Outgoing } from "../endpoint/remote-caller.ts";
import { type Called, ConduitError, cancelledError, cannot, ErrorCode } from "../errors.ts";
import { ONCE_METHOD } from "../rpc/once-window.ts";
import type { Validator } from "../rpc/validation.ts";
import type { Clock } from "../util/clock.ts";
import { calledAs } from "../wire/called-as.ts";
import type { EncodedValue } from "../wire/encoded-value.ts";
import type { FrameWriter } from "../wire/frame-writer.ts";
import { keptMetadata } from "../wire/metadata.ts";
import type { OfflineItem, OfflineQueue, QueuedAttempt } from "./offline-queue.ts";

/** Delay of the rejection of a call that can't be sent at the moment, so that a retry loop doesn't spin. */
const REFUSAL_PAUSE_MS = 50;

/** The client of an {@link OfflineSender}. */
export interface OfflineHost {
  readonly rpcTimeoutMs: number;
  readonly writer: FrameWriter;
  /**
   * @param isAttempt whether it is a message with `ack`, which is queued while the client reconnects
   * @throws ConduitError CONNECTION_CLOSED or SERVER_STOPPING if messages and calls can't be queued now
   */
  mustQueue(called: Called, isAttempt: boolean): void;
  readonly clock: Clock;
  /** Whether sending may become possible later, so that programs are likely to retry. */
  isTemporary(): boolean;
  /** The connection for a call with streams, which can't be queued; null if there is none. */
  streamConnection(): StreamConnection | null;
  /** Why there is no such connection, and what to do. */
  whyNoStream(): string;
  /** Reports a message, or a call without a reply, that couldn't be sent. */
  sendFailed(error: Error, stage: "message" | "rpc", name: string): void;
}

/**
 * Queues messages and calls while a client is disconnected, and sends them once it is connected. They are encoded
 * when they are queued, so that invalid data or metadata throws immediately, and later changes aren't sent.
 */
export class OfflineSender implements Outgoing {
  readonly #queue: OfflineQueue<Outgoing>;
  readonly #host: OfflineHost;
  /** Functions that end the delay of calls that are about to reject. */
  #pauses: Set<() => void> | null = null;

  constructor(queue: OfflineQueue<Outgoing>, host: OfflineHost) {
    this.#queue = queue;
    this.#host = host;
  }

  sendMessage(type: string, data: unknown, options?: SendOptions): boolean {
    this.#host.mustQueue(type, false);
    const value = this.#host.writer.encodeData(type, data);
    const meta = keptMetadata(type, options?.meta);
    return this.#send(type, "message", value, (connection) =>
      connection.sendMessage(type, value, { meta, isTaken: true }),
    );
  }

  callNoWait(method: string, params: unknown, options?: SendOptions): boolean {
    this.#host.mustQueue(method, false);
    const value = this.#host.writer.encodeParams(method, params);
    const meta = keptMetadata(method, options?.meta);
    return this.#send(method, "rpc", value, (connection) =>
      connection.callNoWait(method, value, { meta, isTaken: true }),
    );
  }

  async call(
    method: string,
    params: unknown,
    options: CallOptions | undefined,
    validator: Validator<unknown> | null,
  ): Promise<unknown> {
    const called = calledAs(method, params);
    this.#check(called, options);
    const refusal = this.#refusal(called);
    if (refusal !== null) throw await refusal;
    const value = this.#host.writer.encodeParams(method, params);
    return this.#call(called, options, value, (connection, rest) => connection.call(method, value, rest, validator));
  }

  async request(
    type: string,
    data: unknown,
    options: CallOptions | undefined,
    validator: Validator<unknown> | null,
    replyType: string | null = null,
  ): Promise<unknown> {
    this.#check(type, options);
    const refusal = this.#refusal(type);
    if (refusal !== null) throw await refusal;
    const value = this.#host.writer.encodeData(type, data);
    return this.#call(type, options, value, (connection, rest) =>
      connection.request(type, value, rest, validator, replyType),
    );
  }

  /** Queues an attempt of a message with `ack`. Its timeout starts when it is sent. */
  async attempt(
    attempt: QueuedAttempt,
    params: EncodedValue,
    options: CallSettings,
    send: (connection: Outgoing) => Promise<unknown>,
  ): Promise<unknown> {
    const called = calledAs(ONCE_METHOD, params);
    this.#check(called, options);
    const refusal = this.#refusal(called, true);
    if (refusal !== null) throw await refusal;
    const value = this.#host.writer.encodeParams(ONCE_METHOD, params);
    return this.#call(called, options, value, send, attempt);
  }

  async waitForRoom(): Promise<void> {
    this.#host.mustQueue("drained()", false);
    await this.#queue.waitForRoom();
  }

  /** Throws if there is no connection, because streams aren't queued. */
  streamConnection(called: Called): StreamConnection {
    const connection = this.#host.streamConnection();
    if (connection !== null) return connection;
    const how = typeof called === "string" ? " with a stream" : "";
    const message = `${cannot("call", called)}${how}: ${this.#host.whyNoStream()}`;
    throw new ConduitError(ErrorCode.CONNECTION_CLOSED, message, { details: { started: false } });
  }

  /** Ends the delays of calls that are about to reject. */
  endPauses(): void {
    for (const end of this.#pauses ?? []) end();
  }

  /** Resolves with the error of a call that can't be queued, after a delay if it may be sent later; null if it can be queued. */
  #refusal(called: Called, isAttempt = false): Promise<unknown> | null {
    try {
      this.#host.mustQueue(called, isAttempt);
      return null;
    } catch (error) {
      return this.#host.isTemporary() ? this.#pause(error) : Promise.resolve(error);
    }
  }

  #pause(error: unknown): Promise<unknown> {
    return new Promise((resolve) => {
      const end = (): void => {
        this.#host.clock.clearTimer(timer);
        this.#pauses?.delete(end);
        resolve(error);
      };
      const timer = this.#host.clock.setTimer(end, REFUSAL_PAUSE_MS, true);
      this.#pauses ??= new Set();
      this.#pauses.add(end);
    });
  }

  #send(name: string, stage: "message" | "rpc", value: EncodedValue, send: (connection: Outgoing) => boolean): boolean {
    const reject = (error: Error): void => this.#host.sendFailed(error, stage, name);
    return this.#queue.add({ called: name, timeoutMs: 0, bytes: value.bytes.length, send, reject });
  }

  /** @throws ConduitError INVALID_CONFIG, CANCELLED */
  #check(called: Called, options: CallOptions | undefined): void {
    checkResult(called, options);
    checkTimeout(called, options?.timeoutMs ?? this.#host.rpcTimeoutMs);
    const signal = options?.signal;
    checkSignal(called, signal);
    if (signal?.aborted === true) throw cancelledError(called, signal.reason);
  }

  #call(
    called: Called,
    options: CallOptions | undefined,
    value: EncodedValue,
    send: (connection: Outgoing, options: OutgoingCallOptions) => Promise<unknown>,
    attempt?: QueuedAttempt,
  ): Promise<unknown> {
    const { signal } = options ?? {};
    const meta = keptMetadata(called, options?.meta);
    const timeoutMs = attempt === undefined ? (options?.timeoutMs ?? this.#host.rpcTimeoutMs) : 0;
    return new Promise((resolve, reject) => {
      const queuedAt = this.#host.clock.now();
      const item: OfflineItem<Outgoing> = {
        called,
        timeoutMs,
        bytes: value.bytes.length,
        attempt,
        send: (connection) => {
          signal?.removeEventListener("abort", onAbort);
          const leftMs = timeoutMs === 0 ? 0 : Math.max(1, timeoutMs - (this.#host.clock.now() - queuedAt));
          resolve(send(connection, { timeoutMs: leftMs, signal, meta, isTaken: true }));
        },
        reject: (error) => {
          signal?.removeEventListener("abort", onAbort);
          reject(error);
        },
      };
      const onAbort = (): void => {
        this.#queue.remove(item);
        reject(cancelledError(called, signal?.reason));
      };
      this.#queue.add(item);
      signal?.addEventListener("abort", onAbort, { once: true });
    });
  }
}
