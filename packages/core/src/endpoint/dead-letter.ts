import { codeOf, failureIdOf, messageOf, type RpcError } from "../errors.ts";
import type { OnceRequest } from "../rpc/once-window.ts";
import { toHex } from "../util/hex.ts";

/** A message that is no longer delivered, because each delivery failed. */
export interface DeadLetter {
  /** Ids sort in the order of time. */
  readonly id: string;
  readonly type: string;
  /** The data, with any changes made by its handlers. */
  readonly data: unknown;
  /** The key chosen by the sender (`ack.once`). */
  readonly key: string;
  /** How often its handlers were started. */
  readonly deliveries: number;
  /**
   * The last failure as sent to the sender. If a handler threw anything but an `RpcError`, `onError` got that error
   * with the same `failureId`; otherwise `failureId` is null.
   */
  readonly error: { readonly code: number; readonly message: string; readonly failureId: string | null };
  /** The sender's user; empty for the shared password, and on a client. */
  readonly user: string;
  /** When it was given up, in Unix milliseconds. */
  readonly at: number;
}

/** Digits of milliseconds until the year 5138. */
const TIME_DIGITS = 14;

/** @param random bytes that tell apart the letters of one millisecond */
export function deadLetter(
  { name, value, key }: OnceRequest,
  error: RpcError,
  { deliveries, user, at }: Pick<DeadLetter, "deliveries" | "user" | "at">,
  random: Uint8Array,
): DeadLetter {
  const id = `${String(at).padStart(TIME_DIGITS, "0")}-${toHex(random)}`;
  return {
    id,
    type: name,
    data: value,
    key,
    deliveries,
    error: { code: codeOf(error), message: messageOf(error), failureId: failureIdOf(error) ?? null },
    user,
    at,
  };
}
