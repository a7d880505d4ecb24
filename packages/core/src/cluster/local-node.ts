import type { VerifiedUser } from "../auth/users.ts";
import type { StreamConnection } from "../connection/connection-sender.ts";
import type { RuntimeContext } from "../context/runtime-context.ts";
import type { EncodedValue } from "../wire/encoded-value.ts";
import type { FrameWriter } from "../wire/frame-writer.ts";
import type { Metadata } from "../wire/metadata.ts";
import type { PayloadReader } from "../wire/payload-reader.ts";
import type { ConnectionDescription } from "./cluster.ts";
import type { ConnectionFilter } from "./connection-filter.ts";

/** The recipients of a broadcast, in a form that can be sent to other nodes. */
export interface Recipients {
  readonly exclude: ReadonlySet<string> | null;
  readonly include: ReadonlySet<string> | null;
  readonly where: ConnectionFilter | null;
}

/** A connection of this node that other nodes can call. */
export interface LocalConnection {
  sendMessage(type: string, data: unknown, options?: { readonly meta?: Metadata | undefined }): boolean;
  callNoWait(method: string, params: unknown, options?: { readonly meta?: Metadata | undefined }): boolean;
  call(method: string, params: unknown, options: LocalCallOptions, validator: null): Promise<unknown>;
  request(type: string, data: unknown, options: LocalCallOptions, validator: null): Promise<unknown>;
  streamConnection(name: string): StreamConnection;
}

interface LocalCallOptions {
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
  readonly meta: Metadata | undefined;
}

/** The operations on a server's own connections that its cluster needs. */
export interface LocalNode {
  readonly context: RuntimeContext;
  readonly writer: FrameWriter;
  readonly reader: PayloadReader;
  readonly connectionCount: number;
  /** A logged-in connection. */
  connection(id: string): LocalConnection | undefined;
  /** Sends a message to the selected connections. Returns their number. */
  broadcast(type: string, data: EncodedValue, recipients: Recipients): number;
  count(where: ConnectionFilter | null): number;
  /** Up to `limit` connections whose ids come after this one, in ascending order. */
  describe(where: ConnectionFilter | null, after: string, limit: number): ConnectionDescription[];
  /** Adds or replaces a user. @throws ConduitError INVALID_CONFIG, INVALID_STATE */
  setUser(name: string, user: VerifiedUser): void;
  /** Closes a user's connections and rejects its logins from then on. Returns the number of closed connections. */
  revoke(user: string): number;
  /** Ends a session that another node takes over. Resolves with whether this node had it. */
  release(key: string): Promise<boolean>;
  /** @param count number of errors that this report stands for; 1 by default */
  report(error: unknown, count?: number): void;
  hookFailed(name: string, error: unknown): void;
}
