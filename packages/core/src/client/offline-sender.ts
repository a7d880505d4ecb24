import { checkOptions, checkTimeout } from "../connection/outgoing-calls.ts";
import type { CallOptions } from "../endpoint/call-options.ts";
import type { Outgoing } from "../endpoint/remote-peer.ts";
import { ConduitError, cancelledError, ErrorCode } from "../errors.ts";
import type { Validator } from "../rpc/validation.ts";
import type { OfflineItem, OfflineQueue } from "./offline-queue.ts";

/** The client of an {@link OfflineSender}. */
export interface OfflineHost {
  readonly rpcTimeoutMs: number;
  /** Monotonic milliseconds. */
  now(): number;
  /** @throws ConduitError CONNECTION_CLOSED if messages and calls can't be queued now */
  mustQueue(name: string): void;
  /** A message, or a call without a reply, couldn't be sent. */
  sendFailed(error: Error, stage: "message" | "rpc", name: string): void;
}

/** Queues messages and calls while a client is disconnected, and sends them once it is connected. */
export class OfflineSender implements Outgoing {
  readonly #queue: OfflineQueue<Outgoing>;
  readonly #host: OfflineHost;

  constructor(queue: OfflineQueue<Outgoing>, host: OfflineHost) {
    this.#queue = queue;
    this.#host = host;
  }

  sendMessage(type: string, data: unknown): boolean {
    return this.#send(type, "message", (connection) => connection.sendMessage(type, data));
  }

  callNoWait(method: string, params: unknown): boolean {
    return this.#send(method, "rpc", (connection) => connection.callNoWait(method, params));
  }

  call(
    method: string,
    params: unknown,
    options: CallOptions | undefined,
    validator: Validator<unknown> | null,
  ): Promise<unknown> {
    return this.#call(method, options, (connection, rest) => connection.call(method, params, rest, validator));
  }

  request(
    type: string,
    data: unknown,
    options: CallOptions | undefined,
    validator: Validator<unknown> | null,
  ): Promise<unknown> {
    return this.#call(type, options, (connection, rest) => connection.request(type, data, rest, validator));
  }

  waitForRoom(): Promise<void> {
    return Promise.reject(new ConduitError(ErrorCode.CONNECTION_CLOSED, "Not connected"));
  }

  #send(name: string, stage: "message" | "rpc", send: (connection: Outgoing) => boolean): boolean {
    this.#host.mustQueue(name);
    const reject = (error: Error): void => this.#host.sendFailed(error, stage, name);
    return this.#queue.add({ name, timeoutMs: 0, send, reject });
  }

  #call(
    name: string,
    options: CallOptions | undefined,
    send: (connection: Outgoing, options: CallOptions) => Promise<unknown>,
  ): Promise<unknown> {
    return new Promise((resolve, reject) => {
      checkOptions(name, options);
      const { signal, timeoutMs = this.#host.rpcTimeoutMs } = options ?? {};
      checkTimeout(name, timeoutMs);
      if (signal?.aborted === true) throw cancelledError(name, signal.reason);
      this.#host.mustQueue(name);
      const queuedAt = this.#host.now();
      const item: OfflineItem<Outgoing> = {
        name,
        timeoutMs,
        send: (connection) => {
          signal?.removeEventListener("abort", onAbort);
          const leftMs = timeoutMs === 0 ? 0 : Math.max(1, timeoutMs - (this.#host.now() - queuedAt));
          resolve(send(connection, { timeoutMs: leftMs, signal }));
        },
        reject: (error) => {
          signal?.removeEventListener("abort", onAbort);
          reject(error);
        },
      };
      const onAbort = (): void => {
        this.#queue.remove(item);
        reject(cancelledError(name, signal?.reason));
      };
      this.#queue.add(item);
      signal?.addEventListener("abort", onAbort, { once: true });
    });
  }
}
