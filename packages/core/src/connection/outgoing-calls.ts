/** Calls and requests that one side makes of the other, from their frame to their reply. */

import type { PeerInfo } from "../auth/peer-info.ts";
import { asError, ConduitError, cancelledError, ErrorCode, RpcError } from "../errors.ts";
import { PendingCall, PendingCalls, type PendingCallsOwner } from "../rpc/pending-calls.ts";
import { unwrapNetconduitResult } from "../rpc/response.ts";
import { isSchema } from "../rpc/schema.ts";
import type { Validator } from "../rpc/validation.ts";
import { describeValue } from "../util/describe-value.ts";
import { FrameType } from "../wire/constants.ts";
import type { FrameDecoder } from "../wire/frame-decoder.ts";
import type { FrameWriter } from "../wire/frame-writer.ts";
import type { ConnectionDelegate, ConnectionFaults } from "./connection-delegate.ts";
import type { Extensions } from "./extensions.ts";
import type { RequestScheduler } from "./receive/request-scheduler.ts";
import type { SendQueue } from "./send/send-queue.ts";

/** Options of one call or request. */
export interface OutgoingCallOptions {
  readonly timeoutMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** What calls need of their link. */
export interface CallingConnection<Peer> {
  readonly owner: ConnectionDelegate<Peer>;
  readonly sendQueue: SendQueue;
  readonly scheduler: RequestScheduler<Peer>;
  readonly extensions: Extensions;
  readonly info: PeerInfo | null;
  readonly isOpen: boolean;
  readonly isReading: boolean;
  countFault(kind: keyof ConnectionFaults): void;
  /** Sends a message or request. @throws ConduitError SEND_QUEUE_FULL. */
  pushBounded(frame: FrameWriter, name: string): void;
}

export class OutgoingCalls<Peer> implements PendingCallsOwner {
  readonly #link: CallingConnection<Peer>;
  readonly #pending: PendingCalls = new PendingCalls(this);
  /** Requests to a netconduit server wait here, by reply type, oldest first. */
  #legacyReplies: Map<string, PendingCall[]> | null = null;

  constructor(link: CallingConnection<Peer>) {
    this.#link = link;
  }

  /** Number of calls that wait for their reply. */
  get size(): number {
    return this.#pending.size;
  }

  /** Sends RPC_REQUEST. Throws what keeps it from being sent. */
  call(
    method: string,
    params: unknown,
    options: OutgoingCallOptions | undefined,
    validator: Validator<unknown> | null,
    resolve: (value: unknown) => void,
    reject: (error: Error) => void,
  ): void {
    const link = this.#link;
    mustAnswerCalls(link, method);
    const pending = this.#begin(method, options, validator, resolve, reject);
    if (pending === null) return;
    const { writer } = link.owner;
    try {
      const timeoutMs = link.extensions.deadline ? pending.timeoutMs : 0;
      writer.rpcRequest(pending.generation, pending.slot, method, params, timeoutMs);
      link.pushBounded(writer, method);
    } catch (error) {
      this.#pending.withdraw(pending);
      throw error;
    }
  }

  /** Sends MESSAGE and waits for its reply. Throws what keeps it from being sent. */
  request(
    type: string,
    data: unknown,
    options: OutgoingCallOptions | undefined,
    validator: Validator<unknown> | null,
    resolve: (value: unknown) => void,
    reject: (error: Error) => void,
  ): void {
    const link = this.#link;
    const { writer } = link.owner;
    const correlated = link.extensions.reply;
    if (!correlated && link.owner.role === "server") {
      const message = `Cannot request '${type}': a client of Python's netconduit does not answer messages`;
      throw new ConduitError(ErrorCode.PEER_UNSUPPORTED, message);
    }
    const pending = this.#begin(type, options, validator, resolve, reject);
    if (pending === null) return;
    try {
      writer.message(correlated ? pending.generation : 0, correlated ? pending.slot : 0, type, data);
      link.pushBounded(writer, type);
    } catch (error) {
      this.#pending.withdraw(pending);
      throw error;
    }
    if (!correlated) this.#awaitLegacyReply(`${type}_response`, pending);
  }

  #awaitLegacyReply(replyType: string, pending: PendingCall): void {
    this.#legacyReplies ??= new Map();
    const waiting = this.#legacyReplies.get(replyType);
    if (waiting === undefined) {
      this.#legacyReplies.set(replyType, [pending]);
      return;
    }
    // Those that were given up must not pile up where no reply ever comes.
    while (waiting.length > 0 && !(waiting[0] as PendingCall).isPending) waiting.shift();
    waiting.push(pending);
  }

  /** RPC_RESPONSE arrived. A reply that nobody waits for any more is ignored. */
  response(frame: FrameDecoder): void {
    const call = this.#pending.take(frame.correlationHi, frame.correlationLo);
    if (call === null) return;
    const { reader } = this.#link.owner;
    try {
      reader.readRpcResponse(frame);
    } catch (error) {
      this.#link.countFault("errors");
      call.reject(asConduitError(error));
      return;
    }
    this.#settle(call, reader.value);
  }

  /** RPC_ERROR arrived. */
  errorResponse(frame: FrameDecoder): void {
    const call = this.#pending.take(frame.correlationHi, frame.correlationLo);
    if (call === null) return;
    const { reader } = this.#link.owner;
    try {
      reader.readRpcError(frame);
    } catch (error) {
      this.#link.countFault("errors");
      call.reject(asConduitError(error));
      return;
    }
    call.reject(new RpcError(reader.code, reader.message, { details: reader.details, method: call.name }));
  }

  /** A message arrived. @returns whether it was the uncorrelated reply that a request waits for. */
  legacyReply(type: string, value: unknown): boolean {
    const waiting = this.#legacyReplies?.get(type);
    if (waiting === undefined) return false;
    let call: PendingCall | null = null;
    while (call === null && waiting.length > 0) {
      const next = waiting.shift() as PendingCall;
      call = this.#pending.take(next.generation, next.slot);
    }
    if (waiting.length === 0) this.#legacyReplies?.delete(type);
    if (call === null) return false;
    this.#settle(call, value);
    return true;
  }

  /** The connection ended: nothing will be answered any more. */
  rejectAll(message: string, cause: ConduitError): void {
    this.#legacyReplies = null;
    this.#pending.rejectAll(
      (call) => new ConduitError(ErrorCode.CONNECTION_CLOSED, `'${call.name}' got no reply: ${message}`, { cause }),
    );
  }

  // --- PendingCallsOwner --------------------------------------------------------------------------------------------

  scheduleCall(call: PendingCall): void {
    this.#link.owner.runtimeContext.wheel.schedule(call, call.timeoutMs);
  }

  unscheduleCall(call: PendingCall): void {
    this.#link.owner.runtimeContext.wheel.cancel(call);
  }

  callAbandoned(generation: number, slot: number): void {
    const { extensions, isOpen, scheduler, sendQueue, owner } = this.#link;
    if (!extensions.cancel || !isOpen) return;
    owner.writer.control(FrameType.CANCEL, generation, slot);
    // The request may still wait for RESUME, and must not be carried out then; or run already, and be the very one
    // that the peer waits for.
    if (scheduler.isPausedByPeer) sendQueue.push(owner.writer, "reply");
    sendQueue.push(owner.writer, "message");
  }

  // ------------------------------------------------------------------------------------------------------------------

  #begin(
    name: string,
    options: OutgoingCallOptions | undefined,
    validator: Validator<unknown> | null,
    resolve: (value: unknown) => void,
    reject: (error: Error) => void,
  ): PendingCall | null {
    checkOptions(name, options);
    const timeoutMs = options?.timeoutMs ?? this.#link.owner.settings.rpcTimeoutMs;
    checkTimeout(name, timeoutMs);
    const pending = new PendingCall(this.#pending, name, timeoutMs, validator, resolve, reject);
    const signal = options?.signal;
    if (signal !== undefined) {
      if (signal.aborted) {
        reject(cancelledError(name, signal.reason));
        return null;
      }
      pending.signal = signal;
      pending.onAbort = () => this.#pending.cancel(pending, signal.reason);
      signal.addEventListener("abort", pending.onAbort, { once: true });
    }
    this.#pending.add(pending);
    if (!this.#link.isReading) this.#link.scheduler.readForReply();
    return pending;
  }

  #settle(call: PendingCall, received: unknown): void {
    let value = received;
    try {
      if (this.#link.info?.netconduit === true) value = unwrapNetconduitResult(value);
      if (call.validator !== null) value = call.validator.run(value, call.name);
    } catch (error) {
      call.reject(asConduitError(error));
      return;
    }
    call.resolve(value);
  }
}

/** @throws ConduitError PEER_UNSUPPORTED if the peer answers no calls. */
export function mustAnswerCalls<Peer>({ owner, extensions }: CallingConnection<Peer>, method: string): void {
  if (owner.role === "client" || extensions.call) return;
  const message = `Cannot call '${method}': a client of Python's netconduit does not answer calls`;
  throw new ConduitError(ErrorCode.PEER_UNSUPPORTED, message);
}

/** @throws ConduitError INVALID_CONFIG for options that are none: JavaScript may call by position, `call("add", 1, 2)`. */
export function checkOptions(name: string, options: unknown): void {
  if (options === undefined) return;
  if (typeof options !== "object" || options === null) {
    const message =
      `The options of '${name}' must be an object ({ timeoutMs, signal, result }), got ${describeValue(options)}; ` +
      "parameters are one object too, the argument before it";
    throw new ConduitError(ErrorCode.INVALID_CONFIG, message);
  }
  const { result } = options as { readonly result?: unknown };
  if (result === undefined || isSchema(result)) return;
  const message = `result of '${name}' must be a schema that implements Standard Schema v1, got ${describeValue(result)}`;
  throw new ConduitError(ErrorCode.INVALID_CONFIG, message);
}

/** @throws ConduitError INVALID_CONFIG for a timeout that no timer can keep. */
export function checkTimeout(name: string, timeoutMs: number): void {
  if (typeof timeoutMs === "number" && timeoutMs >= 0 && timeoutMs < Number.POSITIVE_INFINITY) return;
  const message = `timeoutMs of '${name}' must be a number of at least 0 (0: no timeout), got ${String(timeoutMs)}`;
  throw new ConduitError(ErrorCode.INVALID_CONFIG, message);
}

/** What was thrown, as an error of this library. */
export function asConduitError(error: unknown): ConduitError {
  if (error instanceof ConduitError) return error;
  return new ConduitError(ErrorCode.INTERNAL, asError(error).message, { cause: error });
}
