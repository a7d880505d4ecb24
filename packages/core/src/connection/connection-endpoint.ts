/** A connection's interfaces to its server or client, generic over the connection's type, which imports them. */

import type { RuntimeContext } from "../context/runtime-context.ts";
import type { ConduitError, RpcError } from "../errors.ts";
import type { Dispatcher } from "../rpc/dispatcher.ts";
import type { Validator } from "../rpc/validation.ts";
import type { FrameWriter } from "../wire/frame-writer.ts";
import type { PayloadReader } from "../wire/payload-reader.ts";
import type { CloseReason } from "./close-reason.ts";
import type { ConnectionSettings } from "./connection-settings.ts";
import type { DrainNotice, ItemChecks } from "./extension.ts";
import type { ExtensionRegistry } from "./extension-registry.ts";

/** Handlers, options and codecs, shared by all connections of a server or client. */
export interface ConnectionEndpoint<Peer, Connection> {
  readonly runtimeContext: RuntimeContext;
  readonly writer: FrameWriter;
  readonly reader: PayloadReader;
  readonly dispatcher: Dispatcher<Peer>;
  readonly settings: ConnectionSettings;
  readonly extensions: ExtensionRegistry;
  /** Validators for the results of calls without their own schema; null if there are none. */
  readonly results: { get(method: string): Validator<unknown> | undefined } | null;
  /** Validators of the items of calls; null if there are none. */
  readonly items: { get(method: string): ItemChecks | undefined } | null;
  /** The encoded payload of the reply to RPC_LIST. */
  discovery(): Uint8Array;
  /** The peer rejected messages or calls without a reply. `count` is how many the report covers. */
  sendRefused(connection: Connection, error: RpcError, count: number): void;
  /** Messages of this type failed with this code through the peer's fault. `count` is how many the report covers. */
  messageFailed(connection: Connection, error: ConduitError, type: string, count: number): void;
  /** A callback of the application threw or rejected. */
  callbackFailed(connection: Connection, name: string, error: unknown): void;
}

/** The server or client that is notified of a connection's life cycle. */
export interface ConnectionDelegate<Connection> {
  /** This end of the connection. */
  readonly role: "server" | "client";
  /** Limits the memory of all connections; null for no limit. */
  readonly buffers: { count(connection: Connection): void } | null;
  /** The phase timer fired: the login or the connect hooks took too long. */
  phaseTimedOut(connection: Connection): void;
  /**
   * Frames were invalid or over the rate limit. The connection continues.
   * @param count how many frames this report covers
   */
  frameRefused(connection: Connection, error: ConduitError, count: number): void;
  /** The server's connect hooks have finished. Called on clients if the extension `ready` was agreed on. */
  connectionReady(connection: Connection): void;
  /** The server is stopping and accepts no new messages and requests. Called on clients. */
  connectionDraining(connection: Connection, notice: DrainNotice): void;
  /**
   * The stream was lost and the session waits for a new one. The delegate may end the connection instead.
   * @param reason the reason if the connection had ended
   */
  connectionSuspended(connection: Connection, reason: CloseReason): void;
  /** The connection starts to close. Not called if it ends without closing first. */
  connectionClosing(connection: Connection): void;
  /** The connection has ended. Called once. */
  connectionClosed(connection: Connection, reason: CloseReason): void;
}
