/**
 * An extension of the protocol, in one place: name, frames, negotiation and behaviour.
 *
 * The registry derives from it which frames the decoder accepts, what is negotiated, and which frames are rejected.
 * MESSAGE and the RPC frames belong to no extension: the connection itself handles them, for speed.
 */

import type { RuntimeContext } from "../context/runtime-context.ts";
import type { ConduitError, RpcError } from "../errors.ts";
import type { RequestStreams } from "../rpc/request-streams.ts";
import type { Validator } from "../rpc/validation.ts";
import { isMap } from "../util/is-map.ts";
import type { FrameDecoder } from "../wire/frame-decoder.ts";
import type { PayloadReader } from "../wire/payload-reader.ts";
import type { StreamKeys } from "../wire/stream-keys.ts";
import type { CloseReason, CloseRequest } from "./close-reason.ts";
import type { ConnectionResumption } from "./connection-resumption.ts";
import type { ConnectionSettings } from "./connection-settings.ts";
import type { Features } from "./features.ts";
import type { RequestReceiver } from "./receive/request-receiver.ts";
import type { RequestScheduler } from "./receive/request-scheduler.ts";
import type { Lane } from "./send/lane.ts";
import type { ChunkLimits } from "./send/large-frames.ts";
import type { SendQueue } from "./send/send-queue.ts";
import type { HandledByPeer, UnhandledMessages } from "./send/unhandled-messages.ts";

/** A frame type of an extension. */
export interface FrameSpec {
  readonly type: number;
  /** Largest payload in bytes. Default: option `maxMessageBytes`. */
  readonly maxPayloadBytes?: number | undefined;
  /** The only side that sends it. Default: either. */
  readonly from?: "server" | "client" | undefined;
}

/** A frame as an extension receives it: valid until `receive` returns. */
export type ReceivedFrame = Pick<
  FrameDecoder,
  | "type"
  | "flags"
  | "correlationHi"
  | "correlationLo"
  | "bytes"
  | "payloadStart"
  | "payloadEnd"
  | "exclusive"
  | "isShared"
  | "isCut"
>;

/**
 * @typeParam Params negotiated parameters
 * @typeParam State per-connection state
 */
export interface Extension<Params = unknown, State = unknown> {
  /** Name used in negotiation. */
  readonly name: string;
  readonly frames: readonly FrameSpec[];
  /**
   * Whether it is attached to every connection, because its frames are part of netconduit's protocol. `params` is null
   * if it wasn't negotiated. Default false.
   */
  readonly isBase?: boolean | undefined;
  /** Name of an extension that this one requires; must come earlier in the registry. Default: none. */
  readonly needs?: string | undefined;
  /** The feature that it enables, if any, besides its frames. */
  readonly enables?: keyof Features | undefined;
  /** Returns the offer for the login: `true` or a map of parameters; null to offer nothing. */
  offer(settings: ConnectionSettings): Params | null;
  /** A server's parameters at the time of a login. Default: those of its offer. */
  answer?(settings: ConnectionSettings): Params;
  /** Evaluates the peer's offer or answer; null to decline. Must not throw, and must ignore unknown keys. */
  accept(theirs: unknown, settings: ConnectionSettings): Params | null;
  /** Called after the login. May return the connection's state of this extension. */
  attach?(connection: ExtensionHost, params: Params | null): State | undefined;
  /** Creates the state on first use, because most connections never need it. Default: the connection is the state. */
  makeState?(connection: ExtensionHost): State;
  /** Handles a frame of this extension. An error thrown here is reported, and the connection continues. */
  receive?(state: State, frame: ReceivedFrame): void;
  /** This side abandoned a call before its reply arrived. */
  callAbandoned?(state: State, idHi: number, idLo: number): void;
  /** A message or call without a reply failed and its sender requested a notification. `name` is `""` if it wasn't decoded. */
  requestRefused?(state: State, name: string, error: RpcError): void;
  /** Opens the streams of a peer's request. @throws RpcError if they aren't allowed */
  openStreams?(state: State, idHi: number, idLo: number, name: string, keys: StreamKeys): RequestStreams;
  /** The connection starts to close. Frames queued here are still sent. */
  closing?(state: State, reason: CloseReason): void;
  /** The connection has ended. Not called if the extension has a `makeState` and its state was never needed. */
  closed?(state: State, reason: CloseReason): void;
}

/** `accept` of an extension without parameters: `true`, or a map, in which every key is unknown and ignored. */
export function acceptWithoutParams(theirs: unknown): true | null {
  return theirs === true || isMap(theirs) ? true : null;
}

/** An extension with any parameters and state. */
// biome-ignore lint/suspicious/noExplicitAny: parameters and state are the extension's own affair
export type AnyExtension = Extension<any, any>;

/** A stopping server's notice to its clients. */
export interface DrainNotice {
  /** Milliseconds until the server closes the connection at the latest. */
  readonly endsInMs: number;
  /** Milliseconds that the client should wait after the close before it reconnects. */
  readonly retryAfterMs: number;
}

/** A peer's limits for streams. */
export interface StreamLimits {
  /** Maximum number of unanswered calls with streams. */
  readonly streams: number;
  /** Bytes that all items together may exceed their streams' credit by. */
  readonly overdraft: number;
}

/** Validators of a method's items and progress. */
export interface ItemChecks {
  readonly input: Validator<unknown> | null;
  readonly output: Validator<unknown> | null;
  readonly progress: Validator<unknown> | null;
}

/** The view of a connection for its extensions. */
export interface ExtensionHost {
  readonly context: RuntimeContext;
  readonly settings: ConnectionSettings;
  /** This end of the connection. */
  readonly role: "server" | "client";
  /** Whether it is logged in and not closing. */
  readonly isOpen: boolean;
  /** Whether the stream is read. */
  readonly isReading: boolean;
  /** When reading last resumed, in monotonic milliseconds; 0 if it never stopped. */
  readonly readingSinceMs: number;
  /** Frames to the peer. */
  readonly sendQueue: Pick<
    SendQueue,
    | "dataFrames"
    | "hasWaitingControl"
    | "hasUnreadReplies"
    | "acceptedBytes"
    | "addCredit"
    | "chunksAcknowledged"
    | "canSend"
    | "push"
    | "flush"
    | "isCongested"
    | "waitForRoom"
  >;
  /** The peer's messages and requests. */
  readonly requests: Pick<
    RequestReceiver<unknown>,
    | "startedIds"
    | "reportableTaken"
    | "handledMessages"
    | "frameBegun"
    | "frameAborted"
    | "charge"
    | "chargeItems"
    | "requestTaken"
  >;
  /** The reader of payloads: `size` is the approximate memory of the values that `readMap` returned last. */
  readonly reader: Pick<PayloadReader, "size">;
  readonly scheduler: Pick<RequestScheduler<unknown>, "cancel">;
  /** Whether the peer is netconduit's own. */
  readonly hasNetconduitPeer: boolean;
  readonly features: Features;
  /** Time when bytes last arrived, in monotonic milliseconds. */
  readonly receivedAtMs: number;
  /** Number of the partially received frame; 0 if there is none. */
  readonly incompleteFrame: number;
  readonly bytesReceived: number;

  /** Largest payload of messages, requests and replies that the peer accepts. Set by the extension `limits`. */
  maxPeerPayloadBytes: number;
  /** Partially received chunked frames; null until the first. Set by the extension `chunk`. */
  unfinished: { readonly heldBytes: number; readonly oldestFrame: number } | null;

  /** The peer's limits for streams; null if it supports none. Set by the extension `stream`. */
  streamLimits: StreamLimits | null;
  /** Bytes of memory held for streams. Set by the extension `stream`, which then calls `countHeldBytes`. */
  streamBytes: number;
  /** Updates the count of the bytes that the connection holds after a change. */
  countHeldBytes(): void;
  /** Whether it has ended. */
  readonly isOver: boolean;
  /** Calls `action` once the send queue can send frames immediately again. */
  whenSendable(action: () => void): void;
  /** Validators of the peer's streams, from the contract; null if there are none. */
  itemChecks(method: string): ItemChecks | null;

  /** Sends a frame without a payload. */
  sendControl(type: number, idHi: number, idLo: number, lane?: Lane): void;
  /** Sends a frame with a map. @throws ConduitError UNSERIALIZABLE, MESSAGE_TOO_LARGE. */
  sendPayload(
    type: number,
    payload: Readonly<Record<string, unknown>>,
    lane?: Lane,
    idHi?: number,
    idLo?: number,
  ): void;
  /**
   * Returns the map in a frame's payload, or null if it is empty.
   * @throws ConduitError INVALID_PAYLOAD_SHAPE, or any decoding error
   */
  readMap(frame: ReceivedFrame): Record<string, unknown> | null;
  /** Holds back messages and requests, or resumes them, as the peer asked. */
  setPausedByPeer(isPaused: boolean): void;
  /**
   * Makes messages and requests of both sides require credit.
   * @param theirs the peer's initial grant; this side grants its receive queue
   * @param frameType type of the frames that return credit: `{frames, bytes}`
   */
  useCredit(theirs: { readonly frames: number; readonly bytes: number }, frameType: number): void;
  /** Allows compressed payloads in both directions. */
  useCompression(): void;
  /** The peer rejected this side's messages or calls without a reply. `count` is how many the report covers. */
  sendRefused(error: RpcError, count: number): void;
  /**
   * Enables chunks: frames of more than 64 KiB are sent in chunks, and rejected if received as a whole.
   * @param theirs the peer's limits for concurrent chunked frames
   */
  useChunks(theirs: ChunkLimits): void;
  /** A chunked frame is complete, and is the decoder's current frame. */
  frameAssembled(frame: FrameDecoder): void;
  /** The server's connect hooks have admitted this client. */
  readyByPeer(): void;
  /** The peer accepts no more messages and requests, because it is about to close the connection. */
  drainingByPeer(notice: DrainNotice): void;
  /** Calls `action` once no messages and requests wait for the peer's permission or are being sent in chunks. Supports one wait at a time. */
  afterMessages(action: () => void): void;
  /** Null if the connection can't outlive its stream. */
  readonly resumption: Pick<ConnectionResumption, "stream" | "streamLost" | "unacknowledgedFrames"> | null;
  /** The peer's drain notice; null while it accepts messages and requests. */
  readonly draining: DrainNotice | null;
  /** Whether its stream is lost and it waits for a new one. */
  readonly isSuspended: boolean;
  /** Number of received bytes that aren't decoded yet. */
  readonly undecodedBytes: number;
  /** Handles a silent peer: cuts the stream if the connection can be resumed, and ends the connection otherwise. */
  streamFailed(error: ConduitError): void;
  readonly sender: {
    /** Keeps messages until the peer has handled them; null if not needed. Set by the extension `resume`. */
    unhandled: UnhandledMessages | null;
    /**
     * The peer has closed, after accepting this many messages and calls that request notification of failures.
     * Reports the rest.
     * @param handled those that it has fully handled; null if interrupted ones aren't resent
     */
    peerTook(reportable: number, handled: HandledByPeer | null): void;
  };
  /** Reports an invalid frame or a problem of this extension. The connection continues. */
  report(error: ConduitError): void;
  /** Reports an error of the application's callback `name`. */
  callbackFailed(name: string, error: unknown): void;
  /** Closes the connection gracefully. */
  close(request: CloseRequest): Promise<void>;
  /** Sends the reason and ends the connection, because the peer violated the protocol. */
  fail(error: ConduitError): void;
  /** Aborts the connection. */
  destroy(error: ConduitError): void;
}
