/** How the operations on a peer's folder reach the peer. */

type Params = Readonly<Record<string, unknown>>;

/** Options of everything that isn't a transfer. */
export interface FileCallOptions {
  readonly signal?: AbortSignal | undefined;
}

export interface FileCaller {
  call(
    method: string,
    params: Params,
    options: FileCallOptions & {
      readonly input?: AsyncIterable<unknown> | undefined;
      readonly onProgress?: ((value: unknown) => void) | undefined;
    },
  ): Promise<unknown>;
  /** Reports what a callback of this side's program threw or rejected with. */
  callbackFailed(name: string, error: unknown): void;
  stream(method: string, params: Params, options: FileCallOptions): AsyncIterableIterator<unknown>;
  /** Whether the peer won't be connected any more, unless the application connects it. */
  hasEnded(): boolean;
  /** Resolves when the peer is connected, again if need be. Rejects like `Client.connected`. */
  connected(signal: AbortSignal | undefined): Promise<void>;
  /** How a netconduit peer takes files: a server by calls, a client by messages. Null for our own peers. */
  readonly netconduit: "calls" | "messages" | null;
  /** Sends a netconduit client a message, and resolves when the message `replyType` has come. */
  request(type: string, data: Params, replyType: string, options: FileCallOptions): Promise<unknown>;
  /** Sends a message. Resolves when there is room for the next one. */
  send(type: string, data: Params): Promise<void>;
}
