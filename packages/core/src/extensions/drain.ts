/**
 * DRAIN and DRAINED: a stopping server asks its clients to stop sending messages and requests. A client answers after
 * its last one, so both sides know what is still handled: everything before DRAINED.
 */

import { acceptWithoutParams, type DrainNotice, type Extension, type ExtensionHost } from "../connection/extension.ts";
import { MAX_RETRY_AFTER_MS } from "../limits.ts";

/** `{ends_in_ms: int, retry_after_ms: int}`, from the server. */
export const DRAIN_FRAME = 0x0108;
/** No payload, from the client. */
export const DRAINED_FRAME = 0x0109;
/** Room for two integers and their keys. */
const MAX_DRAIN_BYTES = 128;

/** The drain of one connection. */
export interface DrainState {
  readonly connection: ExtensionHost;
  /** Ends the server's wait for DRAINED; null if it isn't waiting. */
  answered: (() => void) | null;
  /** Whether DRAIN has been received. Repeated ones aren't answered, so that a peer can't fill this side's queue. */
  isAsked: boolean;
}

export const drain: Extension<true, DrainState> = {
  name: "drain",
  frames: [
    { type: DRAIN_FRAME, maxPayloadBytes: MAX_DRAIN_BYTES, from: "server" },
    { type: DRAINED_FRAME, maxPayloadBytes: 0, from: "client" },
  ],
  offer: () => true,
  accept: acceptWithoutParams,
  makeState: (connection) => ({ connection, answered: null, isAsked: false }),
  receive(state, frame) {
    const { connection } = state;
    if (frame.type === DRAINED_FRAME) {
      state.answered?.();
    } else if (connection.isOpen && !state.isAsked) {
      state.isAsked = true;
      const { ends_in_ms, retry_after_ms } = connection.readMap(frame) ?? {};
      connection.drainingByPeer({ endsInMs: milliseconds(ends_in_ms), retryAfterMs: milliseconds(retry_after_ms) });
      connection.afterMessages(() => connection.sendControl(DRAINED_FRAME, 0, 0, "reply"));
    }
  },
  closed: (state) => state.answered?.(),
};

/**
 * Sends DRAIN. Resolves when the client has answered after its last request, or when the connection has ended.
 * @param answered called before the next frame is handled
 */
export function askToDrain(state: DrainState, notice: DrainNotice, answered: () => void): Promise<void> {
  return new Promise((resolve) => {
    state.answered = () => {
      answered();
      resolve();
    };
    state.connection.sendPayload(DRAIN_FRAME, { ends_in_ms: notice.endsInMs, retry_after_ms: notice.retryAfterMs });
  });
}

function milliseconds(value: unknown): number {
  return Number.isSafeInteger(value) && (value as number) > 0 ? Math.min(value as number, MAX_RETRY_AFTER_MS) : 0;
}
