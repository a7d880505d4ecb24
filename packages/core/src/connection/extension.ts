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
  /** Name of the extension without which it isn't in force; earlier in the registry. Default: none. */
  readonly needs?: string | undefined;
  /** The feature that a connection has if both sides agreed on it. Default: none beside its frames. */
  readonly enables?: keyof Features | undefined;
  /** Returns the offer for the login: `true` or a map of parameters; null to offer nothing. */
  offer(settings: ConnectionSettings): Params | null;
  /** A server's parameters at the time of a login. Default: those of its offer. */
  answer?(settings: ConnectionSettings): Params;
  /** Evaluates the peer's offer or answer; null to decline. Must not throw, and must ignore unknown keys. */
  accept(theirs: unknown, settings: ConnectionSettings): Params | null;
  /** Called after the login. May return the connection's state of this extension. */
  attach?(connection: ExtensionHost, params: Params | null): State | undefined;
  /** Makes the state when it is first needed, which most connections never do. Default: the connection is the state. */
  makeState?(connection: ExtensionHost): State;
  /** A frame of this extension arrived. An error thrown here is reported, and the connection continues. */
  receive?(state: State, frame: ReceivedFrame): void;
  /** This side abandoned a call before its reply arrived. */
  callAbandoned?(state: State, idHi: number, idLo: number): void;
  /** A message or call without a reply failed, and its sender wants to hear of it. `name` is `""` if it wasn't read. */
  requestRefused?(state: State, name: string, error: RpcError): void;
  /** A request of the peer that has streams starts. @throws RpcError if it may not */
  openStreams?(state: State, idHi: number, idLo: number, name: string, keys: StreamKeys): RequestStreams;
  /** The connection starts to close. Frames sent here still leave. */
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

/** A server that is stopping says this to its clients. */
export interface DrainNotice {
  /** Milliseconds until the server closes the connection, at most. */
  readonly endsInMs: number;
  /** Milliseconds after the connection has closed until the client should come back. */
  readonly retryAfterMs: number;
}

/** A peer's limits for streams. */
export interface StreamLimits {
  /** Calls with streams that may be unanswered at a time. */
  readonly streams: number;
  /** Bytes that items may take together beyond the credit of their streams. */
  readonly overdraft: number;
}

/** Validators of a method's items and progress. */
export interface ItemChecks {
  readonly input: Validator<unknown> | null;
  readonly output: Validator<unknown> | null;
  readonly progress: Validator<unknown> | null;
}

/** A connection as an extension sees it. */
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
  /** Frames on their way to the peer. */
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
  /** Number of the frame that has arrived in part; 0 if there is none. */
  readonly incompleteFrame: number;
  readonly bytesReceived: number;

  /** The peer accepts no messages, requests and replies with a larger payload. Set by the extension `limits`. */
  maxPeerPayloadBytes: number;
  /** Frames that arrive in chunks; null until the first. Set by the extension `chunk`. */
  unfinished: { readonly heldBytes: number; readonly oldestFrame: number } | null;

  /** The peer's limits for streams; null if it takes none. Set by the extension `stream`. */
  streamLimits: StreamLimits | null;
  /** Bytes of memory held for streams. Set by the extension `stream`, which then calls `countHeldBytes`. */
  streamBytes: number;
  /** Counts the bytes that the connection holds again, after a change. */
  countHeldBytes(): void;
  /** Whether it has ended. */
  readonly isOver: boolean;
  /** Calls `action` as soon as the send queue may take frames that leave at once again. */
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
   * Messages and requests of either side need credit from now on.
   * @param theirs what the peer grants; this side grants its receive queue
   * @param frameType of the frames that return credit: `{frames, bytes}`
   */
  useCredit(theirs: { readonly frames: number; readonly bytes: number }, frameType: number): void;
  /** Payloads of either side may be compressed from now on. */
  useCompression(): void;
  /** The peer refused messages or calls of this side that expect no reply. `count` is how many the report stands for. */
  sendRefused(error: RpcError, count: number): void;
  /**
   * Frames of more than 64 KiB are sent in chunks from now on, and larger ones are refused when received.
   * @param theirs what the peer accepts at the same time
   */
  useChunks(theirs: ChunkLimits): void;
  /** A frame that came in chunks is complete, and the decoder's current frame. */
  frameAssembled(frame: FrameDecoder): void;
  /** The server's connect hooks have let this client in. */
  readyByPeer(): void;
  /** The peer takes no more messages and requests, because it is about to close the connection. */
  drainingByPeer(notice: DrainNotice): void;
  /** Calls `action` as soon as no messages and requests wait for the peer's permission, or leave in chunks. Supports one wait at a time. */
  afterMessages(action: () => void): void;
  /** Null if the loss of its stream ends the connection. */
  readonly resumption: Pick<ConnectionResumption, "stream" | "streamLost" | "unacknowledgedFrames"> | null;
  /** Why and until when the peer takes no messages and requests; null while it does. */
  readonly draining: DrainNotice | null;
  /** Whether its stream is lost, and it waits for another. */
  readonly isSuspended: boolean;
  /** Bytes that have arrived and aren't decoded. */
  readonly undecodedBytes: number;
  /** The peer is silent: cuts the stream if the connection may go on over another, and else ends it. */
  streamFailed(error: ConduitError): void;
  readonly sender: {
    /** Keeps messages until the peer has handled them; null if nothing does. Set by the extension `resume`. */
    unhandled: UnhandledMessages | null;
    /**
     * The peer has closed, and took this many messages and calls whose sender hears of failures: the rest are reported.
     * @param handled the ones that it handled completely; null if interrupted ones aren't sent again
     */
    peerTook(reportable: number, handled: HandledByPeer | null): void;
  };
  /** Reports an invalid frame or a problem of this extension. The connection continues. */
  report(error: ConduitError): void;
  /** Reports what a callback of this side's program threw or rejected with. `name` is that of the callback. */
  callbackFailed(name: string, error: unknown): void;
  /** Closes the connection gracefully. */
  close(request: CloseRequest): Promise<void>;
  /** The peer broke the protocol: sends it the reason, then ends the connection. */
  fail(error: ConduitError): void;
  /** Aborts the connection. */
  destroy(error: ConduitError): void;
}
