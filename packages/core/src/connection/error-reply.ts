import { codeOf, messageOf, RpcError } from "../errors.ts";
import { wrapError } from "../netconduit/reply.ts";
import { type FrameWriter, messageTooLarge } from "../wire/frame-writer.ts";

/** A failed call, and whether a netconduit client made it. */
export interface FailedCall {
  readonly idHi: number;
  readonly idLo: number;
  readonly method: string;
  readonly byNetconduit: boolean;
  /** Largest payload that the peer accepts. */
  readonly maxPayloadBytes: number;
}

/**
 * Writes RPC_ERROR, or netconduit's form of it. Omits the details or message if they can't be encoded or are too
 * large for the peer.
 * @returns the reason if something was omitted; null otherwise
 */
export function writeErrorReply(writer: FrameWriter, call: FailedCall, error: RpcError): unknown {
  try {
    writeError(writer, call, error);
    return null;
  } catch (failure) {
    writeBareError(writer, call, error);
    return failure;
  }
}

function writeBareError(writer: FrameWriter, call: FailedCall, error: RpcError): void {
  const code = codeOf(error);
  try {
    writeError(writer, call, new RpcError(code, messageOf(error)));
  } catch {
    writeError(writer, call, new RpcError(code, "The error cannot be sent"));
  }
}

function writeError(writer: FrameWriter, call: FailedCall, error: RpcError): void {
  const { idHi, idLo, method, byNetconduit, maxPayloadBytes } = call;
  if (byNetconduit) writer.rpcResponse(idHi, idLo, wrapError(error, method));
  else writer.rpcError(idHi, idLo, error.message, error.code, error.details);
  const { payloadBytes } = writer;
  if (payloadBytes > maxPayloadBytes) throw messageTooLarge("the error", payloadBytes, maxPayloadBytes, "peer");
}
