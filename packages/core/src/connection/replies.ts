/** Answers the peer's requests: results, errors, refusals, and the list of methods. */

import type { RuntimeContext } from "../context/runtime-context.ts";
import { asConduitError, type ConduitError, ErrorCode, RpcError } from "../errors.ts";
import { wrapError, wrapResult } from "../netconduit/reply.ts";
import type { IncomingRequest } from "../rpc/incoming-request.ts";
import { FrameType } from "../wire/constants.ts";
import type { FrameWriter } from "../wire/frame-writer.ts";
import type { ConnectionSender } from "./connection-sender.ts";
import { writeErrorReply } from "./error-reply.ts";
import type { Features } from "./features.ts";
import type { RequestReplies } from "./receive/request-receiver.ts";
import type { SendQueue } from "./send/send-queue.ts";

/** A reply of this size counts in the time slice, like a received frame. */
const LARGE_REPLY_BYTES = 1024;

/** The connection that replies leave on. */
export interface RepliesHost {
  readonly context: RuntimeContext;
  readonly writer: FrameWriter;
  readonly sendQueue: Pick<SendQueue, "push">;
  readonly isOver: boolean;
  readonly hasNetconduitPeer: boolean;
  readonly features: Features;
  readonly maxPeerPayloadBytes: number;
  /** The encoded list of methods. */
  discovery(): Uint8Array;
  readonly sender: Pick<ConnectionSender, "messagesSent" | "mustFitPeer" | "sendBounded" | "tooLargeForPeer">;
  /** Tells the sender of a message, or of a call without a reply, that it failed. `name` is `""` if it wasn't read. */
  requestRefused(name: string, error: RpcError): void;
  /** Reports a failure that the peer causes. */
  report(error: ConduitError): void;
  /** An error was sent without its details or message, because they couldn't be encoded. */
  errorCutShort(failure: ConduitError): void;
}

export class Replies<Peer> implements RequestReplies<Peer> {
  readonly #host: RepliesHost;

  constructor(host: RepliesHost) {
    this.#host = host;
  }

  sendResult(request: IncomingRequest<Peer>, result: unknown): void {
    const host = this.#host;
    if (host.isOver) return;
    const { writer } = host;
    writer.rpcResponse(request.idHi, request.idLo, host.hasNetconduitPeer ? wrapResult(result) : result);
    const { payloadBytes } = writer;
    if (payloadBytes > host.maxPeerPayloadBytes) {
      const error = host.sender.tooLargeForPeer("the reply", payloadBytes);
      // The peer chooses its limit, so it mustn't cause a report for each of its calls.
      host.report(error);
      this.sendError(request, new RpcError(error.code, error.message));
      return;
    }
    if (payloadBytes >= LARGE_REPLY_BYTES) host.context.slice.add(payloadBytes);
    host.sendQueue.push(writer, "reply");
    request.streams?.answered();
  }

  sendError(request: IncomingRequest<Peer>, error: RpcError): void {
    this.#sendError(request.idHi, request.idLo, request.method, error);
    request.streams?.answered();
  }

  sendRefusal({ method }: IncomingRequest<Peer>, error: RpcError): void {
    if (!this.#host.isOver) this.#host.requestRefused(method, error);
  }

  sendErrorOfFrame(idHi: number, idLo: number, error: RpcError): void {
    this.#sendError(idHi, idLo, "", error);
  }

  sendRefusalOfFrame(error: RpcError, name: string): void {
    this.#host.requestRefused(name, error);
  }

  sendDiscovery(idHi: number, idLo: number): void {
    const { writer, context, sendQueue } = this.#host;
    const list = this.#host.discovery();
    this.#host.sender.mustFitPeer("the list of methods", list.length);
    writer.encoded(FrameType.RPC_LIST, idHi, idLo, list);
    context.slice.add(list.length);
    sendQueue.push(writer, "reply");
  }

  sendUncorrelatedReply(type: string, data: unknown): void {
    const host = this.#host;
    if (host.isOver) return;
    host.writer.message(0, 0, type, data);
    if (host.features.hasCredit) {
      host.sender.sendBounded(type, host.writer);
      return;
    }
    host.sender.messagesSent += 1;
    host.sendQueue.push(host.writer, "reply");
  }

  sendUncorrelatedError(request: IncomingRequest<Peer>, error: RpcError): void {
    const { message, code, details } = error;
    const data = this.#host.hasNetconduitPeer
      ? wrapError(error, request.method)
      : { success: false, error: message, code, details };
    this.sendUncorrelatedReply(`${request.method}_response`, data);
  }

  #sendError(idHi: number, idLo: number, method: string, error: RpcError): void {
    const { isOver, writer, sendQueue, hasNetconduitPeer: byNetconduit, maxPeerPayloadBytes } = this.#host;
    if (isOver) return;
    const call = { idHi, idLo, method, byNetconduit, maxPayloadBytes: maxPeerPayloadBytes };
    const failure = writeErrorReply(writer, call, error);
    sendQueue.push(writer, "reply");
    if (failure === null) return;
    const reason = asConduitError(failure);
    // Peers choose their limit, and names that errors quote.
    if (reason.code === ErrorCode.MESSAGE_TOO_LARGE) this.#host.report(reason);
    else this.#host.errorCutShort(reason);
  }
}
