/**
 * CREDENTIALS_EXPIRING and CREDENTIALS: a server requests a new token before the client's identity expires, so that
 * the connection can continue. Negotiated between clients with credentials and servers that accept tokens.
 */

import { acceptWithoutParams, type Extension, type ExtensionHost } from "../connection/extension.ts";
import { ConduitError, ErrorCode } from "../errors.ts";

/** `{expires_in_ms: int}`, from the server. */
export const CREDENTIALS_EXPIRING_FRAME = 0x0118;
/** `{token: str}`, from the client. */
export const CREDENTIALS_FRAME = 0x0119;
const MAX_EXPIRING_BYTES = 128;
/** The limit of login frames. */
const MAX_CREDENTIALS_BYTES = 16 * 1024;

/** The renewals of one connection. The server or client sets what it handles. */
export interface Renewal {
  readonly connection: ExtensionHost;
  /** On a client. */
  expiring: ((expiresInMs: number) => void) | null;
  /** On a client: it is getting new credentials, and ignores further requests. */
  isUnderWay: boolean;
  /** On a client: when it hears requests again, in monotonic milliseconds. */
  nextAtMs: number;
  /** On a server. */
  received: ((token: string) => void) | null;
}

export const renewal: Extension<true, Renewal> = {
  name: "renewal",
  frames: [
    { type: CREDENTIALS_EXPIRING_FRAME, maxPayloadBytes: MAX_EXPIRING_BYTES, from: "server" },
    { type: CREDENTIALS_FRAME, maxPayloadBytes: MAX_CREDENTIALS_BYTES, from: "client" },
  ],
  offer: ({ renewsCredentials }) => (renewsCredentials === true ? true : null),
  accept: acceptWithoutParams,
  makeState: (connection) => ({ connection, expiring: null, isUnderWay: false, nextAtMs: 0, received: null }),
  receive(state, frame) {
    const { connection } = state;
    const payload = connection.readMap(frame) ?? {};
    if (frame.type === CREDENTIALS_EXPIRING_FRAME) {
      const { expires_in_ms } = payload;
      state.expiring?.(Number.isSafeInteger(expires_in_ms) ? Math.max(0, expires_in_ms as number) : 0);
      return;
    }
    const { token } = payload;
    if (typeof token !== "string") {
      throw new ConduitError(ErrorCode.INVALID_PAYLOAD_SHAPE, "token of CREDENTIALS must be a string");
    }
    state.received?.(token);
  },
};
