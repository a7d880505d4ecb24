/** Records of answers and of started deliveries. */

import { ErrorCode, RpcError } from "../errors.ts";
import { isMap } from "../util/is-map.ts";
import type { OnceAnswer } from "./once-window.ts";

/** Encodes values as bytes. */
export interface Codec {
  /** @throws ConduitError UNSERIALIZABLE */
  encode(value: unknown): Uint8Array;
  /** @throws ConduitError if the bytes are invalid */
  decode(bytes: Uint8Array): unknown;
}

/** A started delivery that hasn't ended as far as known. */
export interface Begun {
  readonly delivery: number;
  /** The process that started it. */
  readonly run: string;
  /** Unix milliseconds until which the record is valid; that process renews it before. */
  readonly untilMs: number;
}

/** The end of a delivery. */
export interface Ended {
  readonly delivery: number;
  readonly answer: OnceAnswer;
}

export function begunRecord(codec: Codec, { delivery, run, untilMs }: Begun): Uint8Array {
  return codec.encode({ delivery, run, until: untilMs });
}

/** Encodes an answer. If its result can't be encoded, the caller gets that error, including for repeated requests. */
export function endedRecord(codec: Codec, { delivery, answer }: Ended): Uint8Array {
  if ("error" in answer) return failureRecord(codec, delivery, answer.error);
  try {
    return codec.encode({ delivery, result: answer.result });
  } catch {
    return failureRecord(codec, delivery, new RpcError(ErrorCode.INTERNAL, "The result can't be sent"));
  }
}

/** The answer as recorded, so that later changes of a result object have no effect. */
export function keptAnswer(codec: Codec, record: Uint8Array, answer: OnceAnswer): OnceAnswer {
  if ("error" in answer) return answer;
  const kept = readRecord(codec, record.slice());
  // A result that can't be encoded is reported when it is sent.
  return kept !== null && "answer" in kept && "result" in kept.answer ? kept.answer : answer;
}

/** The record that replaces an answer for which there is no room. */
export function notKept(codec: Codec, delivery: number, bytes: number): Uint8Array {
  const message = `It was carried out, but its answer of ${bytes} bytes was not kept`;
  return failureRecord(codec, delivery, new RpcError(ErrorCode.MESSAGE_TOO_LARGE, message));
}

function failureRecord(codec: Codec, delivery: number, { code, message, details }: RpcError): Uint8Array {
  try {
    return codec.encode({ delivery, code, message, details: details ?? null });
  } catch {
    return codec.encode({ delivery, code, message, details: null });
  }
}

/** Null if it isn't a valid record. */
export function readRecord(codec: Codec, bytes: Uint8Array): Begun | Ended | null {
  const record = codec.decode(bytes);
  if (!isMap(record)) return null;
  const { delivery, run, until, result, code, message, details } = record;
  if (typeof delivery !== "number") return null;
  if (typeof run === "string" && typeof until === "number") return { delivery, run, untilMs: until };
  if (Number.isSafeInteger(code) && typeof message === "string") {
    const error = new RpcError(code as number, message, { details: isMap(details) ? details : undefined });
    return { delivery, answer: { error } };
  }
  return "result" in record ? { delivery, answer: { result } } : null;
}
