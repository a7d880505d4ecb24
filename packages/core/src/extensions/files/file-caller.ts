/** How operations on a peer's folder are sent to the peer. */

type Params = Readonly<Record<string, unknown>>;

/** Options of operations other than transfers. */
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
  /** Reports an error of an application callback. */
  callbackFailed(name: string, error: unknown): void;
  stream(method: string, params: Params, options: FileCallOptions): AsyncIterableIterator<unknown>;
  /** Whether the peer won't be connected again, unless the application does so. */
  hasEnded(): boolean;
  /** Resolves when the peer is connected, after a reconnect if necessary. Rejects like `Client.connected`. */
  connected(signal: AbortSignal | undefined): Promise<void>;
  /** How files are sent to a netconduit peer: by calls to a server, by messages to a client. Null for our own peers. */
  readonly netconduit: "calls" | "messages" | null;
  /** Sends a message to a netconduit client, and resolves with its reply of type `replyType`. */
  request(type: string, data: Params, replyType: string, options: FileCallOptions): Promise<unknown>;
  /** Sends a message. Resolves when there is room for the next one. */
  send(type: string, data: Params): Promise<void>;
}
