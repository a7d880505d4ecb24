import type { VerifiedUser } from "../auth/users.ts";
import type { StreamConnection } from "../connection/connection-sender.ts";
import type { RuntimeContext } from "../context/runtime-context.ts";
import type { EncodedValue } from "../wire/encoded-value.ts";
import type { FrameWriter } from "../wire/frame-writer.ts";
import type { Metadata } from "../wire/metadata.ts";
import type { PayloadReader } from "../wire/payload-reader.ts";
import type { ConnectionDescription } from "./cluster.ts";
import type { ConnectionFilter } from "./connection-filter.ts";

/** Recipients of a broadcast, as data. */
export interface Recipients {
  readonly exclude: ReadonlySet<string> | null;
  readonly include: ReadonlySet<string> | null;
  readonly where: ConnectionFilter | null;
}

/** A connection of this node, as calls from other nodes use it. */
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
  /** The first connections after this id, in the order of their ids. */
  describe(where: ConnectionFilter | null, after: string, limit: number): ConnectionDescription[];
  /** Adds or replaces a user. @throws ConduitError INVALID_CONFIG, INVALID_STATE */
  setUser(name: string, user: VerifiedUser): void;
  /** Ends a user's connections, and doesn't let it in again. Returns their number. */
  revoke(user: string): number;
  /** Ends a session, because another node has it from now on. Resolves with whether it was here. */
  release(key: string): Promise<boolean>;
  /** @param count how many this report stands for; missing for one */
  report(error: unknown, count?: number): void;
  hookFailed(name: string, error: unknown): void;
}
