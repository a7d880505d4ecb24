/** Timeouts and automatic continuation of transfers. */

import { checkSignal, checkTimeout } from "../../connection/outgoing-calls.ts";
import { type Called, ConduitError, cancelledError, ErrorCode, isInstance, quoted } from "../../errors.ts";
import { CallbackTimer } from "../../util/time.ts";
import type { FileCaller } from "./file-caller.ts";
import type { ProgressReporter } from "./file-progress.ts";
import type { FileTransfers } from "./file-transfers.ts";

/** Minimum interval between attempts, because the peer may reject all of them for a while. */
const BETWEEN_ATTEMPTS_MS = 500;

/** Temporary errors that end a transfer, because only the application can decide whether to transfer the changed file. */
const ENDS: ReadonlySet<number> = new Set([ErrorCode.FILE_CHANGED, ErrorCode.CHECKSUM_MISMATCH]);

export interface AttemptsOptions {
  readonly called: Called;
  readonly peer: Pick<FileCaller, "hasEnded" | "connected">;
  readonly transfers: FileTransfers;
  readonly progress: ProgressReporter;
  readonly signal: AbortSignal | undefined;
}

/**
 * Makes attempts until one succeeds. After a temporary error, makes another attempt once the peer is connected.
 * @throws the error of the last attempt; ConduitError CONNECTION_CLOSED if the peer won't be connected, CANCELLED, TIMEOUT
 */
export async function untilComplete<T>(options: AttemptsOptions, attempt: () => Promise<T>): Promise<T> {
  const { called, peer, transfers, progress, signal } = options;
  for (;;) {
    const beganMs = transfers.now();
    try {
      return await attempt();
    } catch (error) {
      if (!mayBeRepeated(error) || peer.hasEnded()) throw error;
    }
    throwIfAborted(called, signal);
    progress.waits();
    try {
      await peer.connected(signal);
    } catch (error) {
      throwIfAborted(called, signal);
      throw error;
    }
    await pause(transfers, beganMs + BETWEEN_ATTEMPTS_MS - transfers.now(), signal);
    throwIfAborted(called, signal);
  }
}

function mayBeRepeated(error: unknown): boolean {
  return isInstance(error, ConduitError) && error.isTemporary && !ENDS.has(error.code);
}

/** @throws ConduitError CANCELLED, TIMEOUT */
function throwIfAborted(called: Called, signal: AbortSignal | undefined): void {
  if (signal?.aborted === true) throw cancelledError(called, signal.reason);
}

/** @throws ConduitError CANCELLED, TIMEOUT */
async function pause(transfers: FileTransfers, delayMs: number, signal: AbortSignal | undefined): Promise<void> {
  if (delayMs > 0) {
    await new Promise<void>((resolve) => {
      const end = (): void => {
        transfers.cancel(timer);
        signal?.removeEventListener("abort", end);
        resolve();
      };
      const timer = new CallbackTimer(end);
      transfers.schedule(timer, delayMs);
      signal?.addEventListener("abort", end, { once: true });
    });
  }
}

/**
 * Runs a transfer with a signal that fires with the application's signal or after `timeoutMs`.
 * @throws ConduitError INVALID_CONFIG; the transfer's error
 */
export async function withinTime<T>(
  called: Called,
  transfers: FileTransfers,
  { signal, timeoutMs = 0 }: { readonly signal?: AbortSignal | undefined; readonly timeoutMs?: number | undefined },
  transfer: (signal: AbortSignal | undefined) => Promise<T>,
): Promise<T> {
  checkTimeout(called, timeoutMs);
  checkSignal(called, signal);
  if (timeoutMs === 0) return await transfer(signal);
  const controller = new AbortController();
  const onTimeout = (): void =>
    controller.abort(new ConduitError(ErrorCode.TIMEOUT, `${quoted(called)} took longer than ${timeoutMs} ms`));
  const timer = new CallbackTimer(onTimeout);
  transfers.schedule(timer, timeoutMs);
  try {
    return await transfer(signal === undefined ? controller.signal : AbortSignal.any([signal, controller.signal]));
  } finally {
    transfers.cancel(timer);
  }
}
