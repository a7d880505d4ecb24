/**
 * An extension of the protocol, in one place: its name, its frames, what it says at login, what it does.
 *
 * The registry derives from it which frames the decoder lets in, what is negotiated, and which frames are refused.
 * MESSAGE and the RPC frames belong to no extension: the connection handles them itself, for speed.
 */

import type { ConduitError } from "../errors.ts";
import type { FrameDecoder } from "../wire/frame-decoder.ts";
import type { CloseReason, CloseRequest } from "./close-reason.ts";
import type { ConnectionSettings } from "./connection-settings.ts";
import type { RuntimeContext } from "./runtime-context.ts";
import type { Lane } from "./send/send-queue.ts";

/** A frame type of an extension. */
export interface FrameSpec {
  readonly type: number;
  /** Largest payload in bytes. Default: option `maxMessageBytes`. */
  readonly maxPayloadBytes?: number | undefined;
}

/** A frame as an extension receives it: valid until `receive` returns. */
export type ReceivedFrame = Pick<
  FrameDecoder,
  "type" | "correlationHi" | "correlationLo" | "payloadStart" | "payloadEnd"
>;

/**
 * @typeParam Params what both sides agreed on
 * @typeParam State what a connection keeps for it
 */
export interface Extension<Params = unknown, State = unknown> {
  /** As negotiated. */
  readonly name: string;
  readonly frames: readonly FrameSpec[];
  /**
   * True: its frames are part of netconduit's protocol, so it is attached to every connection, with `params` null where
   * it was not agreed on. Default false.
   */
  readonly isBase?: boolean | undefined;
  /** Said at login: `true` or a map of parameters. Null: not offered. */
  offer(settings: ConnectionSettings): Params | null;
  /** Judges what the peer said. Null: not agreed on. Must not throw; ignores keys it does not know. */
  accept(theirs: unknown, settings: ConnectionSettings): Params | null;
  /** The login succeeded. @returns the connection's state of this extension */
  attach(connection: ExtensionHost, params: Params | null): State;
  /** A frame of this extension arrived. An error thrown here costs this frame, not the connection. */
  receive?(state: State, frame: ReceivedFrame): void;
  /** The connection begins to close; what is sent here still leaves. */
  closing?(state: State, reason: CloseReason): void;
  /** The connection is over. */
  closed?(state: State, reason: CloseReason): void;
}

/** Any extension, whatever its parameters and state. */
// biome-ignore lint/suspicious/noExplicitAny: parameters and state are the extension's own affair
export type AnyExtension = Extension<any, any>;

/** A connection as an extension sees it. */
export interface ExtensionHost {
  readonly context: RuntimeContext;
  readonly settings: ConnectionSettings;
  /** Which end this is. */
  readonly role: "server" | "client";
  /** Logged in and not ending. */
  readonly isOpen: boolean;
  /** The stream is being read. */
  readonly isReading: boolean;
  /** The peer asked this side to hold messages and requests back. */
  readonly isHeldByPeer: boolean;
  /** When bytes last arrived, and when reading last began again, in monotonic milliseconds. */
  readonly receivedAtMs: number;
  readonly readingSinceMs: number;
  /** Unwritten replies wait for a peer that does not read them. */
  readonly hasUnreadReplies: boolean;
  /** Bytes that the operating system has taken so far. */
  readonly writtenBytes: number;

  /** A MESSAGE with a correlation id asks for one reply. Extension `reply` sets it. */
  correlatesReplies: boolean;
  /** RPC_REQUEST carries `timeout_ms`. Extension `deadline` sets it. */
  sendsDeadlines: boolean;
  /** The peer answers calls although it is a client. Extension `call` sets it. */
  answersCalls: boolean;

  /** Called with true when queued requests near their bound, with false when they have gone down again. */
  onReceivePressure: ((isHigh: boolean) => void) | null;
  /** Called when a call of this side is given up before its answer has come. */
  onCallAbandoned: ((idHi: number, idLo: number) => void) | null;

  /** Sends a frame without a payload. */
  sendControl(type: number, idHi: number, idLo: number, lane?: Lane): void;
  /** Sends a frame with a map. @throws ConduitError UNSERIALIZABLE, MESSAGE_TOO_LARGE. */
  sendPayload(type: number, payload: Readonly<Record<string, unknown>>, lane?: Lane): void;
  /** The map in a frame's payload; null: it is empty. @throws ConduitError INVALID_PAYLOAD_SHAPE and what decoding throws. */
  readMap(frame: ReceivedFrame): Record<string, unknown> | null;

  /** Cancels the request of the peer with this id, queued or running. */
  cancelRequest(idHi: number, idLo: number): void;
  /** Holds data back, or lets it go on: the peer asked for that. */
  setHeldByPeer(isHeld: boolean): void;
  /** Reports a frame that could not be used, or a problem of this extension; the connection lives. */
  report(error: ConduitError): void;
  /** Ends the connection in order. */
  close(request: CloseRequest): Promise<void>;
  /** Ends the connection now. */
  destroy(error: ConduitError): void;
}
