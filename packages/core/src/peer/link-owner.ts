import type { ConduitError } from "../errors.ts";
import type { Dispatcher } from "../rpc/dispatcher.ts";
import type { FrameWriter } from "../wire/frame-writer.ts";
import type { PayloadReader } from "../wire/payload-reader.ts";
import type { ResultValidators } from "./contract-option.ts";
import type { Engine } from "./engine.ts";
import type { Link } from "./link.ts";

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
export interface LinkSettings {
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
export interface LinkOwner<Face> {
  /** Which end this is. */
  readonly role: "server" | "client";
  readonly engine: Engine;
  readonly writer: FrameWriter;
  readonly reader: PayloadReader;
  readonly dispatcher: Dispatcher<Face>;
  readonly settings: LinkSettings;
  /** A handshake frame. If it takes time, the link decodes no further until the promise settles; null: it is done. */
  handshakeFrame(link: Link<Face>, type: number, payload: Record<string, unknown> | null): Promise<void> | null;
  /** The phase timer passed: login, or becoming usable, took too long. */
  phaseTimedOut(link: Link<Face>): void;
  /** What checks the results of calls that name no schema of their own; null: nothing does. */
  readonly results: ResultValidators | null;
  /** Discovery asked by an RPC_LIST frame. */
  discovery(): Record<string, unknown>;
  /** A peer's frame could not be used, or went over the rate limit; the connection lives. */
  frameRefused(link: Link<Face>, error: ConduitError): void;
  /** The link begins to close: it takes nothing any more. Not called for one that ends without closing first. */
  linkClosing(link: Link<Face>): void;
  /** The link is over. Called exactly once. */
  linkClosed(link: Link<Face>, reason: CloseReason): void;
}

/** What went wrong on one connection, in numbers. */
export interface LinkFaults {
  /** Frames that could not be used. */
  errors: number;
  /** Broadcasts not delivered because the peer read too slowly. */
  dropped: number;
  /** Messages and requests refused by the rate limit. */
  rateLimited: number;
}

/** Of most connections. */
export const NO_FAULTS: Readonly<LinkFaults> = Object.freeze({ errors: 0, dropped: 0, rateLimited: 0 });
