import { codeOf, messageOf, RpcError } from "../errors.ts";
import { wrapError } from "../netconduit/reply.ts";
import type { FrameWriter } from "../wire/frame-writer.ts";

/** The call that failed, and whether a netconduit client made it. */
export interface FailedCall {
  readonly idHi: number;
  readonly idLo: number;
  readonly method: string;
  readonly byNetconduit: boolean;
}

/**
 * Writes RPC_ERROR, or netconduit's form of it. If the details or message can't be encoded, sends the error without
 * them.
 * @returns the encoding error if something was omitted, else null
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

function writeError(writer: FrameWriter, { idHi, idLo, method, byNetconduit }: FailedCall, error: RpcError): void {
  if (byNetconduit) writer.rpcResponse(idHi, idLo, wrapError(error, method));
  else writer.rpcError(idHi, idLo, error.message, error.code, error.details);
}
