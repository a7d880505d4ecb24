import type { ResultValidators } from "../endpoint/contract-option.ts";
import type { ConduitError } from "../errors.ts";
import type { Dispatcher } from "../rpc/dispatcher.ts";
import type { FrameWriter } from "../wire/frame-writer.ts";
import type { PayloadReader } from "../wire/payload-reader.ts";
import type { ProtocolConnection } from "./protocol-connection.ts";
import type { RuntimeContext } from "./runtime-context.ts";

/** Why a connection ended. */
export interface CloseReason {
  /** An `ErrorCode`; CONNECTION_CLOSED when nothing went wrong. */
  readonly code: number;
  /** The code's name, for logs; the number as text for one that this library does not define. */
  readonly codeName: string;
  readonly message: string;
  /** True if the peer's CLOSE said so, false if this side ended it or the stream broke. */
  readonly byPeer: boolean;
  /** False: the peer asks not to be dialled again. */
  readonly reconnect: boolean;
}

/** The options of a link; a server's and a client's configuration both fit. */
export interface ConnectionSettings {
  readonly maxMessageBytes: number;
  readonly sendQueueSize: number;
  readonly sendQueueBytes: number;
  readonly receiveQueueSize: number;
  readonly receiveQueueBytes: number;
  readonly handlerConcurrency: number;
  readonly heartbeatIntervalMs: number;
  readonly heartbeatTimeoutMs: number;
  readonly closeTimeoutMs: number;
  readonly rpcTimeoutMs: number;
  readonly enableBackpressure: boolean;
  readonly rateLimit?:
    | { readonly messagesPerSecond?: number | undefined; readonly bytesPerSecond?: number | undefined }
    | null
    | undefined;
}

/** What a link asks of its server or client. */
export interface ConnectionDelegate<Peer> {
  /** Which end this is. */
  readonly role: "server" | "client";
  readonly runtimeContext: RuntimeContext;
  readonly writer: FrameWriter;
  readonly reader: PayloadReader;
  readonly dispatcher: Dispatcher<Peer>;
  readonly settings: ConnectionSettings;
  /** A handshake frame. If it takes time, the link decodes no further until the promise settles; null: it is done. */
  handshakeFrame(
    link: ProtocolConnection<Peer>,
    type: number,
    payload: Record<string, unknown> | null,
  ): Promise<void> | null;
  /** The phase timer passed: login, or becoming usable, took too long. */
  phaseTimedOut(link: ProtocolConnection<Peer>): void;
  /** What checks the results of calls that name no schema of their own; null: nothing does. */
  readonly results: ResultValidators | null;
  /** Discovery asked by an RPC_LIST frame. */
  discovery(): Record<string, unknown>;
  /** A peer's frame could not be used, or went over the rate limit; the connection lives. */
  frameRefused(link: ProtocolConnection<Peer>, error: ConduitError): void;
  /** The link begins to close: it takes nothing any more. Not called for one that ends without closing first. */
  connectionClosing(link: ProtocolConnection<Peer>): void;
  /** The link is over. Called exactly once. */
  connectionClosed(link: ProtocolConnection<Peer>, reason: CloseReason): void;
}

/** What went wrong on one connection, in numbers. */
export interface ConnectionFaults {
  /** Frames that could not be used. */
  errors: number;
  /** Broadcasts not delivered because the peer read too slowly. */
  dropped: number;
  /** Messages and requests refused by the rate limit. */
  rateLimited: number;
}

/** Of most connections. */
export const NO_FAULTS: Readonly<ConnectionFaults> = Object.freeze({ errors: 0, dropped: 0, rateLimited: 0 });
