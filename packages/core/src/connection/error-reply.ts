import { ErrorCode, type RpcError } from "../errors.ts";
import type { FrameWriter } from "../wire/frame-writer.ts";

/**
 * Writes RPC_ERROR. Details or a text that cannot be sent do not cost the caller its answer.
 * @returns the failure that made the writer leave something out; null: nothing was left out
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
