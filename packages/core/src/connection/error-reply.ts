import { ErrorCode, type RpcError } from "../errors.ts";
import type { FrameWriter } from "../wire/frame-writer.ts";

/**
 * Writes RPC_ERROR. If the details or message can't be encoded, sends the error without them.
 * @returns the encoding error if something was omitted, else null
 */
export function writeErrorReply(writer: FrameWriter, idHi: number, idLo: number, error: RpcError): unknown {
  const { message, code, details } = error;
  try {
    writer.rpcError(idHi, idLo, message, code, details);
    return null;
  } catch (failure) {
    writeBareError(writer, idHi, idLo, message, code);
    return failure;
  }
}

function writeBareError(writer: FrameWriter, idHi: number, idLo: number, message: string, code: number): void {
  try {
    writer.rpcError(idHi, idLo, message, code, undefined);
  } catch {
    const known = typeof code === "number" ? code : ErrorCode.INTERNAL;
    writer.rpcError(idHi, idLo, "The error cannot be sent", known, undefined);
  }
}
